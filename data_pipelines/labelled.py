"""What all datasets share: an annotated picture as a record, a dataset as shards."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, UInt8

from twohand_jax import reading
from twohand_jax.crops.cue_table import DEFAULT
from twohand_jax.data import decode, schema
from twohand_jax.errors import InputError, MissingFileError
from twohand_jax.geometry import boxes
from twohand_jax.mano.joints import WRIST
from twohand_jax.types import LEFT, RIGHT, Camera, ManoParams

JPEG_QUALITY = 95
JPEG_SUFFIXES = (".jpg", ".jpeg")
MISSING = "the picture is missing"
UNREADABLE = "the picture does not decode"
OTHER_SIZE = "the picture's size is not the annotated one"
DAMAGED = "the stored record is damaged"
NO_HAND = "no labelled hand in the picture"
NOT_FINITE = "a value marked valid is NaN or infinite"
# Reasons that say that a file is at fault, which may be better another day; of the cue
# stage as well, and of sets that older versions wrote.
HOLES = frozenset(
    (
        MISSING,
        UNREADABLE,
        DAMAGED,
        "the stored picture does not decode",
        "the picture is missing or does not decode",
    )
)


class Labelled(NamedTuple):
    """One annotated picture (one person in COCO-WholeBody), both hands, right first.

    Numpy throughout; metres, radians and the camera frame; pixels of the stored
    picture. Values whose flag is false do not count and may hold anything finite or
    not.

    Attributes:
        image: the file, which a JPEG's record holds as it is, or an RGB array.
        image_id: unique within the dataset.
        subset: part of the dataset, "" for none.
        size: width and height that the annotations give; None where they do not.
        camera: None where the intrinsics are not known.
        hand_type: right, left or interacting; None: by the hands that are labelled.
        box: of the unexpanded hands; None for 1.2 times the tight box of the valid 2D
            joints.
        mano: pose relative to the mean pose of the hand model.
    """

    image: Path | UInt8[np.ndarray, "h w 3"]
    image_id: str
    subset: str
    size: tuple[int, int] | None
    camera: Camera | None
    joints_2d: Float[np.ndarray, "2 21 2"]
    joints_2d_valid: Bool[np.ndarray, "2 21"]
    joints_3d: Float[np.ndarray, "2 21 3"]
    joints_3d_valid: Bool[np.ndarray, "2 21"]
    mano: ManoParams
    mano_valid: Bool[np.ndarray, "2"]
    box: Float[np.ndarray, "2 4"] | None = None
    hand_type: str | None = None
    doubt: Float[np.ndarray, "2"] | None = None


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A sample that was left out, and why (a short reason, the same for its like)."""

    reason: str
    sample: str


class Dataset(Protocol):
    """A dataset on disk. Pickled into worker processes, so keep it small."""

    @property
    def name(self) -> str:
        """Dataset name, lower case with underscores."""
        ...

    @property
    def version(self) -> str:
        """Version of the reader's output, three numbers."""
        ...

    @property
    def description(self) -> str:
        """One paragraph with source, paper and licence."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides what is read, as JSON values; no paths."""
        ...

    @property
    def hand_model(self) -> str:
        """Name of the hand model the MANO parameters belong to."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Number of samples of each split, rejected ones included.

        Raises:
            InputError: the source lacks something: what, where to get it, its licence.
        """
        ...

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """The samples of these numbers, in their order."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardConfig:
    """How a dataset is cut into shards.

    Attributes:
        splits: to write; empty for all.
        shard_size: pictures a shard.
        max_samples: of each split, for a trial; None for all.
        seed: of the order. Neighbouring frames hardly differ, so records are shuffled.
    """

    splits: tuple[str, ...] = ()
    shard_size: int = 1024
    max_samples: int | None = None
    seed: int = 0


Example = Mapping[str, object]


class LabelledSource:
    """Shards of a dataset in shuffled order (a ``ShardSource``)."""

    cues = DEFAULT

    @property
    def is_pseudo(self) -> bool:
        """Whether the dataset says how certain its labels are; few do."""
        return bool(getattr(self.dataset, "is_pseudo", False))

    def __init__(self, dataset: Dataset, config: ShardConfig) -> None:
        """Cut the dataset.

        Raises:
            InputError: the source is not complete, or a wanted split is not there.
        """
        self.dataset, self.config = dataset, config
        self.name, self.version = dataset.name, dataset.version
        self.description = dataset.description
        counts = dataset.counts()
        wanted = config.splits or tuple(counts)
        for split in wanted:
            if not counts.get(split):
                known = ", ".join(f"{name} ({n})" for name, n in counts.items())
                raise InputError(
                    f"Dataset {dataset.name} has no samples of split {split!r}; the "
                    f"source holds {known or 'none'}."
                )
        self._counts = {split: counts[split] for split in wanted}

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides the bytes."""
        return {
            "reader": {**self.dataset.settings, "version": self.version},
            "hand_model": self.dataset.hand_model,
            "samples": self._counts,
            **dataclasses.asdict(self.config),
        }

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        """Full shards and a last smaller one for each split."""
        limit, size = self.config.max_samples, self.config.shard_size
        cut = {}
        for split, count in self._counts.items():
            full, rest = divmod(count if limit is None else min(count, limit), size)
            cut[split] = (size,) * full + (rest,) * (rest > 0)
        return cut

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        """The records of a shard, and what was left out of it."""
        order = np.random.default_rng(self.config.seed).permutation(self._counts[split])
        start = shard * self.config.shard_size
        numbers = order[start : start + self.shard_sizes[split][shard]].tolist()
        for sample in self.dataset.samples(split, numbers):
            if isinstance(sample, Rejection):
                yield sample
                continue
            try:
                yield record(
                    sample, dataset=self.name, hand_model=self.dataset.hand_model
                )
            except Unusable as reason:
                yield Rejection(str(reason), sample.image_id)


class Unusable(ValueError):
    """A picture or label that no record can be made of; the text is the reason."""


def record(sample: Labelled, *, dataset: str, hand_model: str) -> dict[str, object]:
    """The flat example of a picture (``schema.FEATURES``), without cues.

    Raises:
        Unusable: the picture is missing, does not decode or has another size, no hand
            is labelled, or a value that is marked valid is not finite.
        UnreadableError: the picture is there, but the system cannot read it.
    """
    data, (height, width) = _picture(sample)
    labels = _labels(sample)
    for feature in schema.LABELS:
        if feature.name in labels and not np.isfinite(labels[feature.name]).all():
            raise Unusable(NOT_FINITE)
    if sample.doubt is not None:
        labels[schema.DOUBT.name] = np.asarray(sample.doubt, np.float32)
    shown = labels["hands/valid"]
    kind = sample.hand_type or schema.hand_type(shown)
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "image": data,
        "image_id": sample.image_id,
        "dataset": dataset,
        "subset": sample.subset,
        "hand_type": kind,
        "height": height,
        "width": width,
        "mano/model": hand_model,
        **labels,
        **no_cues(),
    }


def no_cues() -> dict[str, object]:
    """The cue features of a record that has none."""
    absent: dict[str, object] = {}
    for name in DEFAULT:
        absent |= decode.absent_cue(name)
    return absent


def _picture(sample: Labelled) -> tuple[bytes, tuple[int, int]]:
    """The JPEG as it lies on disk, or one made of another picture, and its size."""
    if isinstance(sample.image, Path):
        data, pixels = read_picture(sample.image)
        if sample.image.suffix.lower() not in JPEG_SUFFIXES:
            data = decode.encode_jpeg(pixels, quality=JPEG_QUALITY)
    else:
        pixels = sample.image
        data = decode.encode_jpeg(pixels, quality=JPEG_QUALITY)
    height, width = pixels.shape[:2]
    if sample.size is not None and sample.size != (width, height):
        raise Unusable(OTHER_SIZE)
    return data, (height, width)


def read_picture(path: Path) -> tuple[bytes, UInt8[np.ndarray, "h w 3"]]:
    """A picture's file and its pixels.

    Raises:
        Unusable: it is missing, or no picture.
        UnreadableError: it is there, but the system cannot read it.
    """
    try:
        data = reading.read_bytes(path)
        return data, decode.decode_jpeg(data)
    except MissingFileError as error:
        raise Unusable(MISSING) from error
    except InputError as error:
        raise Unusable(UNREADABLE) from error


def _labels(sample: Labelled) -> dict[str, np.ndarray]:
    """The label features; what is not valid is zero."""
    box = sample.box
    if box is None:
        box = boxes.around_joints(sample.joints_2d, sample.joints_2d_valid)
        box = box.astype(np.float32)
    if not np.isfinite(box).all():  # comparisons with NaN would hide the hand
        raise Unusable(NOT_FINITE)
    shown = (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
    if not shown.any():
        raise Unusable(NO_HAND)
    wrists = sample.joints_3d[:, WRIST]
    # Where no box shows a hand, no crop does: nothing of it may be learnt from.
    known_2d = sample.joints_2d_valid & shown[:, None]
    known_3d = sample.joints_3d_valid & shown[:, None]
    fitted = sample.mano_valid & shown
    both = np.asarray(known_3d[:, WRIST].all())
    with np.errstate(invalid="ignore"):  # infinite ones are refused where they count
        apart = wrists[LEFT] - wrists[RIGHT]
    camera = sample.camera or Camera(np.zeros(2), np.zeros(2))
    return {
        "camera/focal": np.asarray(camera.focal, np.float32),
        "camera/center": np.asarray(camera.center, np.float32),
        "camera/valid": np.asarray(sample.camera is not None),
        "hands/valid": shown,
        "hands/box": _kept(box, shown),
        "hands/joints_2d": _kept(sample.joints_2d, known_2d),
        "hands/joints_2d_valid": known_2d,
        "hands/joints_3d": _kept(sample.joints_3d, known_3d),
        "hands/joints_3d_valid": known_3d,
        **{
            f"mano/{name}": _kept(np.asarray(value), fitted)
            for name, value in sample.mano._asdict().items()
        },
        "mano/valid": fitted,
        "rel_trans": _kept(apart, both),
        "rel_trans_valid": both,
    }


def _kept(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The values where they are valid, zeros elsewhere."""
    mask = np.reshape(valid, np.shape(valid) + (1,) * (values.ndim - np.ndim(valid)))
    return np.where(mask, values, 0.0).astype(np.float32)


def needs_device(source: "ShardSource") -> bool:
    """Whether each worker wants an accelerator of its own; few sources do."""
    return bool(getattr(source, "needs_device", False))


class ShardSource(Protocol):
    """A dataset cut into shards. Pickled into worker processes, so keep it small.

    ``examples(split, shard)`` must depend on its arguments and the source's settings
    alone: a shard written again is then the same byte for byte.
    """

    @property
    def name(self) -> str:
        """Dataset name, lower case with underscores."""
        ...

    @property
    def version(self) -> str:
        """Version of the dataset, three numbers."""
        ...

    @property
    def description(self) -> str:
        """One paragraph for the metadata."""
        ...

    @property
    def cues(self) -> tuple[str, ...]:
        """Names of the cues that its records hold (``crops.cue_table``)."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides what is written, as JSON values."""
        ...

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        """For each split, the samples of each shard (before rejections)."""
        ...

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        """The samples of a shard: flat examples (``schema``) or rejections."""
        ...
