"""What experiments read: record sets and pose sets, and their batches on devices."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float

from twohand_jax import fields
from twohand_jax.data import poses
from twohand_jax.data.batching import Prefetcher, to_global
from twohand_jax.diffusion import representation
from twohand_jax.errors import InputError
from twohand_jax.train.loop import LoopConfig
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams

if TYPE_CHECKING:
    from twohand_jax.crops.canvas import CanvasConfig
    from twohand_jax.data.mixture import Mixture
    from twohand_jax.data.tfrecord import Reader


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetConfig:
    """A record set in a mixture; sets count in proportion to their weights."""

    directory: str
    weight: float = 1.0
    split: str = "train"

    def __post_init__(self) -> None:
        fields.check(self, weight=fields.POSITIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where records lie and how they are read.

    Attributes:
        train: directory of TFRecords, or several sets to be mixed.
        test: directory of TFRecords for the evaluation during training.
        canvas_size: side in pixels of the picture handed to the device.
        skip_corrupt: pass over records that cannot be read, and count them.
        workers: threads that decode.
        hand: name of the hand model that the fits belong to, as ``twohand data
            inspect`` shows it; what is trained is refused with another one.
        mano: folder or file of that model; empty for the open hand.
    """

    train: str | tuple[SetConfig, ...]
    test: str
    canvas_size: int = 512
    skip_corrupt: bool = False
    workers: int = 2
    hand: str = "open-hand-1"
    mano: str = ""

    def __post_init__(self) -> None:
        fields.check(self, canvas_size=fields.COUNT, workers=fields.COUNT)
        if not self.train:
            raise fields.error(
                self, "train", f"is {self.train!r}; name a record set or several."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PosesConfig:
    """Pose sets or record sets with a ``train`` and a ``test`` split."""

    train: str
    test: str


class Cut(Protocol):
    """How hands or regions are cut out, as far as the canvas depends on it."""

    def canvas(self) -> "CanvasConfig":
        """The canvas of a photograph, which covers what is cut out."""


class ReadsRecords(Protocol):
    """The sections of an experiment that decide how records are read."""

    @property
    def data(self) -> DataConfig:
        """Canvas and workers."""

    @property
    def crop(self) -> Cut:
        """What the canvas must cover."""

    @property
    def train(self) -> LoopConfig:
        """Batch size and seed."""

    @property
    def cues(self) -> tuple[str, ...]:
        """Kinds of cues that it needs beside the usual ones."""


def reader(
    config: ReadsRecords,
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
        shuffle: the training order, on canvases with room for the augmentation; or the
            order on disk, on the canvases that photographs have.
        batch_size: records of this process; None for those of training.
    """
    from twohand_jax.crops import cue_table
    from twohand_jax.crops.canvas import TRAINING_ROOM
    from twohand_jax.data.tfrecord import Reader, ReaderConfig

    canvas = config.crop.canvas()
    if shuffle:
        canvas = dataclasses.replace(
            canvas, size=config.data.canvas_size, room=TRAINING_ROOM
        )
    settings = ReaderConfig(
        directory=directory,
        split=split,
        batch_size=batch_size or local_batch(config.train),
        cues=cue_table.in_order({*cue_table.DEFAULT, *config.cues}),
        canvas=canvas,
        shuffle=shuffle,
        seed=config.train.seed,
        workers=config.data.workers,
        skip_corrupt=config.data.skip_corrupt,
    )
    return Reader(
        settings, process=jax.process_index(), num_processes=jax.process_count()
    )


def train_reader(config: ReadsRecords) -> "Reader | Mixture":
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


def records(config: DataConfig | PosesConfig) -> dict[str, str]:
    """What tells the records of a config's sets from others, by field.

    Sets that are not there are left out: a run need not have a test set.
    """
    sets: dict[str, list[tuple[str, str]]] = {"data.test": [(config.test, "test")]}
    if isinstance(config.train, str):
        sets["data.train"] = [(config.train, "train")]
    else:
        sets["data.train"] = [(one.directory, one.split) for one in config.train]
    found = {}
    for name, places in sets.items():
        with contextlib.suppress(InputError):
            found[name] = " ".join(poses.digest(*place) for place in places)
    return found


def local_batch(train: LoopConfig) -> int:
    """Rows of a batch that each process reads.

    Raises:
        InputError: the devices cannot have equal parts.
    """
    processes, devices = jax.process_count(), jax.device_count()
    if train.batch_size % devices:
        raise InputError(
            f"config.train.batch_size {train.batch_size} cannot be split over "
            f"{devices} devices of {processes} processes; choose a multiple of "
            f"{devices}."
        )
    return train.batch_size // processes


def pair_vectors(model: ManoModel, params: ManoParams) -> Float[np.ndarray, "n 2 64"]:
    """All pairs as the prior's raw vectors, and all again with the other reference.

    In the first half the right hand is the reference, in the second the left one.
    """
    pack = jax.jit(representation.pack)
    parts = []
    for side in (RIGHT, LEFT):
        reference = jnp.full(params.transl.shape[:-2], side)
        parts.append(np.asarray(pack(model, params, reference)))
    return np.concatenate(parts)


def split_vectors(
    model: ManoModel, directory: str, split: str
) -> Float[np.ndarray, "n 2 64"]:
    """``pair_vectors`` of a split of a pose set."""
    return pair_vectors(model, poses.load(directory, split))


def expect_hand(model: ManoModel, name: str, where: str) -> None:
    """Refuse another hand model than the one that poses belong to.

    Args:
        model: at hand.
        name: of the model wanted.
        where: the field that says so.

    Raises:
        InputError: they differ.
    """
    if model.name != name:
        raise InputError(
            f"{where} is {name!r}, but the hand model at hand is {model.name!r}: what "
            "is trained on poses belongs to one hand model."
        )


def pair_batches(
    vectors: Float[np.ndarray, "n 2 64"], loop: LoopConfig
) -> Callable[[int, NamedSharding], Prefetcher[Any]]:
    """Batches of pairs on devices from a step on, as ``train.task`` wants them."""

    def batches(step: int) -> Any:
        return poses.batches(
            vectors,
            step,
            batch_size=local_batch(loop),
            seed=loop.seed,
            process=jax.process_index(),
            num_processes=jax.process_count(),
        )

    return prefetched(batches)


def prefetched(
    batches: Callable[[int], Any],
) -> Callable[[int, NamedSharding], Prefetcher[Any]]:
    """Batches of this process as global arrays, made while a step runs."""

    def start(step: int, sharding: NamedSharding) -> Prefetcher[Any]:
        return Prefetcher(
            batches(step), functools.partial(to_global, sharding=sharding)
        )

    return start
