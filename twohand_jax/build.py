"""ConfigDicts become objects here, and nowhere else."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import jax
from ml_collections import ConfigDict

from twohand_jax.data.augment import AugmentConfig
from twohand_jax.data.inputs import CropConfig
from twohand_jax.errors import InputError
from twohand_jax.losses import LossWeights
from twohand_jax.models import apply
from twohand_jax.models.regressor import Regressor, RegressorConfig
from twohand_jax.train.loop import LoopConfig
from twohand_jax.train.optim import OptimConfig
from twohand_jax.train.step import StepConfig

if TYPE_CHECKING:
    from twohand_jax.data.tfrecord import Reader

T = TypeVar("T")
SECTIONS = ("model", "crop", "augment", "loss", "optim", "train", "data")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where records lie and how they are read.

    Attributes:
        train, test: directories of TFRecords.
        canvas_size: side in pixels of the picture handed to the device.
        skip_corrupt: pass over records that cannot be read, and count them.
        workers: threads that decode.
    """

    train: str
    test: str
    canvas_size: int = 512
    skip_corrupt: bool = False
    workers: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A whole experiment, checked and typed."""

    model: RegressorConfig
    crop: CropConfig
    augment: AugmentConfig
    loss: LossWeights
    optim: OptimConfig
    train: LoopConfig
    data: DataConfig


def experiment(config: ConfigDict | Mapping[str, Any]) -> Experiment:
    """Turn a config (ConfigDict or parsed JSON) into dataclasses.

    Raises:
        InputError: a section or field is unknown, missing or of the wrong type.
    """
    if isinstance(config, ConfigDict):
        config = config.to_dict()
    unknown = sorted(set(config) - set(SECTIONS))
    if unknown:
        raise InputError(
            f"The config has an unknown section {unknown[0]!r}; sections are "
            f"{', '.join(SECTIONS)}."
        )
    sections = {name: dict(config.get(name, {})) for name in SECTIONS}
    sections["optim"].setdefault("total_steps", sections["train"].get("total_steps", 1))
    built = _dataclass(Experiment, sections, "config")
    if built.model.crop_size != built.crop.crop_size:
        raise InputError(
            f"config.model.crop_size is {built.model.crop_size} but "
            f"config.crop.crop_size is {built.crop.crop_size}; they must be equal."
        )
    return built


def regressor(config: RegressorConfig) -> apply.Network:
    """The network as pure functions."""
    return apply.network(lambda rngs: Regressor(config, rngs=rngs))


def reader(
    config: Experiment, directory: str, split: str, *, shuffle: bool
) -> "Reader":
    """This process's reader of a split; loads TensorFlow.

    Args:
        config: canvas, batch size and seed.
        directory: of the records.
        split: its name.
        shuffle: the training order, or the order on disk.
    """
    from twohand_jax.data.canvas import CanvasConfig
    from twohand_jax.data.tfrecord import Reader, ReaderConfig

    processes = jax.process_count()
    if config.train.batch_size % processes:
        raise InputError(
            f"train.batch_size {config.train.batch_size} cannot be split over "
            f"{processes} processes; choose a multiple."
        )
    settings = ReaderConfig(
        directory=directory,
        split=split,
        batch_size=config.train.batch_size // processes,
        canvas=CanvasConfig(
            size=config.data.canvas_size, crop_scale=config.crop.crop_scale
        ),
        shuffle=shuffle,
        seed=config.train.seed,
        workers=config.data.workers,
        skip_corrupt=config.data.skip_corrupt,
    )
    return Reader(settings, process=jax.process_index(), num_processes=processes)


def step_config(config: Experiment) -> StepConfig:
    """Settings of the training step."""
    return StepConfig(
        crop=config.crop,
        augment=config.augment,
        weights=config.loss,
        ema_decay=config.optim.ema_decay,
    )


def _dataclass(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from a mapping, converting sections, tuples and numbers."""
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(
            f"{where} has no field {unknown[0]!r}; its fields are "
            f"{', '.join(sorted(hints))}."
        )
    kept = {
        name: _convert(hints[name], value, f"{where}.{name}")
        for name, value in values.items()
    }
    try:
        return cls(**kept)
    except TypeError as error:
        raise InputError(f"{where} is incomplete: {error}.") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    kind = next(option for option in options if option is not type(None))
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return _dataclass(typing.cast(type, kind), value, where)
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and not isinstance(value, kind):
        raise InputError(
            f"{where} is {value!r}, a {type(value).__name__}; expected {kind.__name__}."
        )
    return value
