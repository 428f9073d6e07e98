"""ConfigDicts become objects here, and nowhere else."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import jax
from ml_collections import ConfigDict

from twohand_jax import fields
from twohand_jax.crops.augment import AugmentConfig
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.crops.region import RegionConfig
from twohand_jax.errors import InputError
from twohand_jax.losses import LossWeights
from twohand_jax.models import apply
from twohand_jax.models.denoiser import Denoiser, DenoiserConfig
from twohand_jax.models.pair_encoder import PairEncoder, PairEncoderConfig
from twohand_jax.models.regressor import Regressor, RegressorConfig
from twohand_jax.models.segdepth import SegDepthConfig, SegDepthNetwork
from twohand_jax.train.loop import LoopConfig
from twohand_jax.train.optim import OptimConfig
from twohand_jax.train.pair_encoder import PairEncoderLossConfig
from twohand_jax.train.prior import DiffusionConfig, PriorLossConfig
from twohand_jax.train.regressor import RegressorLossConfig
from twohand_jax.train.segdepth import SegDepthAugmentConfig, SegDepthLossConfig

if TYPE_CHECKING:
    from twohand_jax.data.mixture import Mixture
    from twohand_jax.data.tfrecord import Reader

T = TypeVar("T")
REGRESSOR, PRIOR, FEATURES, MAPS = KINDS = "regressor", "prior", "features", "maps"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetConfig:
    """A record set in a mixture; sets count in proportion to their weights."""

    directory: str
    weight: float = 1.0
    split: str = "train"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where records lie and how they are read.

    Attributes:
        train: directory of TFRecords, or several sets to be mixed.
        test: directory of TFRecords for the evaluation during training.
        canvas_size: side in pixels of the picture handed to the device.
        skip_corrupt: pass over records that cannot be read, and count them.
        workers: threads that decode.
    """

    train: str | tuple[SetConfig, ...]
    test: str
    canvas_size: int = 512
    skip_corrupt: bool = False
    workers: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitConfig:
    """Converted backbones (``twohand weights convert``) to start from; empty: none."""

    image: str = ""
    cue: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A whole experiment with the regressor, checked and typed."""

    model: RegressorConfig
    crop: CropConfig
    augment: AugmentConfig
    loss: LossWeights
    optim: OptimConfig
    train: LoopConfig
    data: DataConfig
    init: InitConfig = InitConfig()


@dataclasses.dataclass(frozen=True, kw_only=True)
class PosesConfig:
    """Pose sets or record sets with a ``train`` and a ``test`` split."""

    train: str
    test: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorExperiment:
    """A whole experiment with the two-hand prior, checked and typed."""

    model: DenoiserConfig
    diffusion: DiffusionConfig
    loss: PriorLossConfig
    optim: OptimConfig
    train: LoopConfig
    data: PosesConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairEncoderExperiment:
    """A whole experiment with the feature network, checked and typed."""

    model: PairEncoderConfig
    loss: PairEncoderLossConfig
    optim: OptimConfig
    train: LoopConfig
    data: PosesConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegDepthExperiment:
    """A whole experiment with the map network, checked and typed."""

    model: SegDepthConfig
    crop: RegionConfig
    augment: SegDepthAugmentConfig
    loss: SegDepthLossConfig
    optim: OptimConfig
    train: LoopConfig
    data: DataConfig


def kind(config: ConfigDict | Mapping[str, Any]) -> str:
    """What a config trains, one of ``KINDS``; "regressor" when it does not say.

    Raises:
        InputError: something else.
    """
    found = config.get("task", REGRESSOR)
    if found not in KINDS:
        raise InputError(
            f"config.task is {found!r}; it must be one of {', '.join(KINDS)}."
        )
    return found


def experiment(config: ConfigDict | Mapping[str, Any]) -> Experiment:
    """Turn a regressor's config (ConfigDict or parsed JSON) into dataclasses.

    Raises:
        InputError: a section or field is unknown, missing or of the wrong type.
    """
    built = _sections(Experiment, config, REGRESSOR)
    if built.model.crop_size != built.crop.crop_size:
        raise InputError(
            f"config.model.crop_size is {built.model.crop_size} but "
            f"config.crop.crop_size is {built.crop.crop_size}; they must be equal."
        )
    return built


def prior_experiment(config: ConfigDict | Mapping[str, Any]) -> PriorExperiment:
    """Turn a prior's config (ConfigDict or parsed JSON) into dataclasses.

    Raises:
        InputError: a section or field is unknown, missing or of the wrong type.
    """
    return _sections(PriorExperiment, config, PRIOR)


def pair_encoder_experiment(
    config: ConfigDict | Mapping[str, Any],
) -> PairEncoderExperiment:
    """Turn a feature network's config (ConfigDict or parsed JSON) into dataclasses.

    Raises:
        InputError: a section or field is unknown, missing or of the wrong type.
    """
    return _sections(PairEncoderExperiment, config, FEATURES)


def segdepth_experiment(config: ConfigDict | Mapping[str, Any]) -> SegDepthExperiment:
    """Turn a map network's config (ConfigDict or parsed JSON) into dataclasses.

    Raises:
        InputError: a section or field is unknown, missing or of the wrong type.
    """
    built = _sections(SegDepthExperiment, config, MAPS)
    built.model.check_sides(built.crop.crop_size)
    return built


def network(config: ConfigDict | Mapping[str, Any]) -> apply.Network:
    """The network of a whole config, whatever it trains.

    Raises:
        InputError: a section or field is unknown, missing or of the wrong type.
    """
    found = kind(config)
    if found == PRIOR:
        return denoiser(prior_experiment(config).model)
    if found == FEATURES:
        return pair_encoder(pair_encoder_experiment(config).model)
    if found == MAPS:
        return segdepth_network(segdepth_experiment(config).model)
    return regressor(experiment(config).model)


def regressor(config: RegressorConfig) -> apply.Network:
    """The regressor as pure functions."""
    return apply.network(lambda rngs: Regressor(config, rngs=rngs))


def denoiser(config: DenoiserConfig) -> apply.Network:
    """The prior's network as pure functions."""
    return apply.network(lambda rngs: Denoiser(config, rngs=rngs))


def pair_encoder(config: PairEncoderConfig) -> apply.Network:
    """The network that pairs are compared in, as pure functions."""
    return apply.network(lambda rngs: PairEncoder(config, rngs=rngs))


def segdepth_network(config: SegDepthConfig) -> apply.Network:
    """The network of the segmentation and depth cues, as pure functions."""
    return apply.network(lambda rngs: SegDepthNetwork(config, rngs=rngs))


def reader(
    config: Experiment | SegDepthExperiment,
    directory: str,
    split: str,
    *,
    shuffle: bool,
    batch_size: int | None = None,
) -> "Reader":
    """This process's reader of a split; loads TensorFlow.

    Args:
        config: canvas, batch size and seed.
        directory: of the records.
        split: its name.
        shuffle: the training order, or the order on disk.
        batch_size: records of this process; None for those of training.
    """
    from twohand_jax.crops import cue_table
    from twohand_jax.crops.canvas import TRAINING_ROOM, CanvasConfig
    from twohand_jax.data.tfrecord import Reader, ReaderConfig

    canvas = CanvasConfig(
        crop_size=config.crop.crop_size, crop_scale=config.crop.crop_scale
    )
    if shuffle:
        canvas = dataclasses.replace(
            canvas, size=config.data.canvas_size, room=TRAINING_ROOM
        )
    settings = ReaderConfig(
        directory=directory,
        split=split,
        batch_size=batch_size or local_batch(config.train),
        cues=cue_table.in_order({*cue_table.DEFAULT, *_cues_of(config)}),
        canvas=canvas,
        shuffle=shuffle,
        seed=config.train.seed,
        workers=config.data.workers,
        skip_corrupt=config.data.skip_corrupt,
    )
    return Reader(
        settings, process=jax.process_index(), num_processes=jax.process_count()
    )


def _cues_of(config: "Experiment | SegDepthExperiment") -> tuple[str, ...]:
    return config.model.cues if isinstance(config, Experiment) else ()


def train_reader(config: Experiment | SegDepthExperiment) -> "Reader | Mixture":
    """This process's shuffled reader of the training set, or of the mixture."""
    sets = config.data.train
    if isinstance(sets, str):
        return reader(config, sets, "train", shuffle=True)
    from twohand_jax.data.mixture import Mixture

    return Mixture(
        [reader(config, one.directory, one.split, shuffle=True) for one in sets],
        weights=[one.weight for one in sets],
        batch_size=local_batch(config.train),
    )


def local_batch(train: LoopConfig) -> int:
    """Rows of a batch that each process reads."""
    processes, devices = jax.process_count(), jax.device_count()
    if train.batch_size % devices:
        raise InputError(
            f"train.batch_size {train.batch_size} cannot be split over {devices} "
            f"devices of {processes} processes; choose a multiple of {devices}."
        )
    return train.batch_size // processes


def regressor_loss(config: Experiment) -> RegressorLossConfig:
    """Settings of the regressor's loss."""
    return RegressorLossConfig(
        crop=config.crop,
        augment=config.augment,
        weights=config.loss,
        remat=config.model.remat,
    )


def _sections(cls: type[T], config: ConfigDict | Mapping[str, Any], expected: str) -> T:
    if isinstance(config, ConfigDict):
        config = config.to_dict()
    config = _upgraded(config)
    if kind(config) != expected:
        raise InputError(
            f"This config is of a {kind(config)}, where a {expected}'s is needed."
        )
    names = list(typing.get_type_hints(cls))
    unknown = sorted(set(config) - set(names) - {"task"})
    if unknown:
        raise InputError(
            f"The config has an unknown section {unknown[0]!r}; sections are "
            f"{', '.join(names)}."
        )
    sections = {name: dict(config.get(name, {})) for name in names}
    sections["optim"].setdefault("total_steps", sections["train"].get("total_steps", 1))
    return fields.dataclass_of(cls, sections, "config")


def _upgraded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config in today's words: older ones told cues by their place, not by name."""
    names = ("keypoints", "segmentation", "depth")
    sections = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
    }
    model, crop = sections.get("model"), sections.get("crop")
    augment = sections.get("augment")
    if isinstance(model, dict) and _all(model.get("cues"), bool):
        flags = zip(names, model["cues"], strict=True)
        model["cues"] = tuple(name for name, is_used in flags if is_used)
    if isinstance(augment, dict) and _all(augment.get("cue_dropout"), float | int):
        shares = zip(names, augment["cue_dropout"], strict=True)
        augment["cue_dropout"] = {name: share for name, share in shares if share}
    if isinstance(crop, dict) and {"gate_keypoints", "gate_segmentation"} & set(crop):
        gates = {name: crop.pop(f"gate_{name}", True) for name in names[:2]}
        crop["gate"] = tuple(name for name, is_gated in gates.items() if is_gated)
    return sections


def _all(value: Any, kind: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(one, kind) for one in value)
    )
