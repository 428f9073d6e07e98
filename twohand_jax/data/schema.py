"""The record: every feature's name, shape, type and encoding, defined once.

One record is one picture (one person in COCO-WholeBody), the same for every dataset.
Source joint orders, pose conventions, axes and units are settled when it is written:

- pixels of the stored picture, pixel centres at integer coordinates;
- metres and radians in the camera frame (x right, y down, z forward);
- both hands on one axis, right first, and the canonical 21 joints;
- MANO pose relative to the mean pose of the model named in ``mano/model``.

A cue's features follow from its kind (``crops.cue_table``). A record set holds those of
some kinds: a reader passes over kinds that it does not know and takes a kind that the
records lack as absent, so a new kind of cue needs no other schema version.

``twohand_jax.pipelines.shard_file`` turns the table into TFDS features and
``twohand_jax.data.tfrecord`` into a parser, so neither repeats a name or a shape.
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from twohand_jax.crops.cue_kinds import PointStorage
from twohand_jax.crops.cue_table import CUE_KINDS, DEFAULT
from twohand_jax.errors import InputError
from twohand_jax.types import LEFT, RIGHT, SIDES

RecordFields = Mapping[str, np.ndarray]
SCHEMA_VERSION = 1
MAX_BOX_PX = 1e6
BACKGROUND, RIGHT_LABEL, LEFT_LABEL = 0, 1, 2
INTERACTING = "interacting"
HAND_TYPES = (*SIDES, INTERACTING)


def hand_type(shown: Sequence[bool] | np.ndarray) -> str:
    """What a picture of the right hand, the left one, or both is called."""
    right, left = (bool(hand) for hand in shown)
    assert right or left, "A picture without hands has no hand type."
    return INTERACTING if right and left else SIDES[LEFT if left else RIGHT]


class Encoding(enum.Enum):
    """How a feature lies in a record."""

    TENSOR = "tensor"
    TEXT = "text"
    JPEG = "jpeg"
    PNG = "png"


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of the record.

    ``shape`` and ``dtype`` are those of the decoded value; None marks an open size.
    ``flag`` names the feature that says which of its values count, if any does.
    """

    name: str
    dtype: type
    shape: tuple[int | None, ...]
    doc: str
    encoding: Encoding = Encoding.TENSOR
    flag: str | None = None

    @property
    def size(self) -> int:
        """Number of values of a tensor."""
        return math.prod(length or 0 for length in self.shape)

    def zeros(self) -> np.ndarray:
        """A tensor's value where nothing is known."""
        return np.zeros([length or 0 for length in self.shape], self.dtype)


def _text(name: str, doc: str) -> Feature:
    return Feature(name, np.str_, (), doc, Encoding.TEXT)


def _flag(name: str, doc: str, *shape: int) -> Feature:
    return Feature(name, np.bool_, shape, doc)


def _real(name: str, doc: str, *shape: int, flag: str) -> Feature:
    return Feature(name, np.float32, shape, doc, flag=flag)


def _integer(name: str, doc: str) -> Feature:
    return Feature(name, np.int64, (), doc)


def cue_features(name: str) -> tuple[Feature, ...]:
    """The features of a kind of cue: its values, its flag, and what made it."""
    kind, flag = CUE_KINDS[name], f"cues/has_{name}"
    found: list[Feature] = []
    if isinstance(kind.storage, PointStorage):
        shape = kind.storage.shape
        found.append(_real(f"cues/{name}", kind.doc, *shape, flag=flag))
    else:
        size = (None, None, kind.storage.channels)
        levels = kind.storage.levels
        found.append(Feature(f"cues/{name}", levels, size, kind.doc, Encoding.PNG))
        if kind.storage.scale_in_record:
            found += [
                _real(f"cues/{name}_{part}", f"see cues/{name}", flag=flag)
                for part in ("scale", "offset")
            ]
    return (
        *found,
        _flag(flag, f"whether the {name} cue is there"),
        _text(f"cues/{name}_source", "name of what made the cue"),
        _text(f"cues/{name}_version", "version of what made the cue"),
    )


LABELS: tuple[Feature, ...] = (
    _integer("schema_version", "SCHEMA_VERSION at the time of writing"),
    Feature(
        "image",
        np.uint8,
        (None, None, 3),
        "the picture as stored by the source",
        Encoding.JPEG,
    ),
    _text("image_id", "unique within the dataset"),
    _text("dataset", "name of the source dataset"),
    _text("subset", "part of the dataset, such as H or M of InterHand2.6M"),
    _text("hand_type", "right, left or interacting"),
    _integer("height", "of the picture, pixels"),
    _integer("width", "of the picture, pixels"),
    _real("camera/focal", "pixels", 2, flag="camera/valid"),
    _real("camera/center", "principal point, pixels", 2, flag="camera/valid"),
    _flag("camera/valid", "whether the intrinsics are known"),
    _flag("hands/valid", "whether the hand is in the picture and labelled", 2),
    _real(
        "hands/box",
        "x0, y0, x1, y1 of the unexpanded hand box, pixels",
        2,
        4,
        flag="hands/valid",
    ),
    _real("hands/joints_2d", "pixels", 2, 21, 2, flag="hands/joints_2d_valid"),
    _flag("hands/joints_2d_valid", "per joint", 2, 21),
    _real(
        "hands/joints_3d",
        "camera frame, metres",
        2,
        21,
        3,
        flag="hands/joints_3d_valid",
    ),
    _flag("hands/joints_3d_valid", "per joint", 2, 21),
    _text("mano/model", "the hand model the parameters belong to"),
    _real("mano/global_orient", "axis-angle, camera frame", 2, 3, flag="mano/valid"),
    _real(
        "mano/hand_pose",
        "axis-angle, relative to the mean pose",
        2,
        15,
        3,
        flag="mano/valid",
    ),
    _real("mano/betas", "shape coefficients", 2, 10, flag="mano/valid"),
    _real("mano/transl", "camera frame, metres", 2, 3, flag="mano/valid"),
    _flag("mano/valid", "per hand", 2),
    _real(
        "rel_trans",
        "left wrist minus right wrist, camera frame, metres",
        3,
        flag="rel_trans_valid",
    ),
    _flag("rel_trans_valid", "whether both wrists are known in one frame"),
)
# Of sets with pseudo labels alone. What other records hold counts as 0: no doubt.
DOUBT = _real(
    "hands/doubt",
    "1 - confidence of a hand's labels, where a network made them; 0 for others",
    2,
    flag="hands/valid",
)
CUE_FEATURES = {name: cue_features(name) for name in CUE_KINDS}


def features(
    cues: Iterable[str] = DEFAULT, *, is_pseudo: bool = False
) -> tuple[Feature, ...]:
    """All features of records with these kinds of cues, and with pseudo labels."""
    doubt = (DOUBT,) if is_pseudo else ()
    return (*LABELS, *doubt, *(one for name in cues for one in CUE_FEATURES[name]))


# Every feature that this version knows.
FEATURES = features(CUE_KINDS, is_pseudo=True)
BY_NAME: Mapping[str, Feature] = {feature.name: feature for feature in FEATURES}


def check(
    example: Mapping[str, object],
    *,
    where: str = "the example",
    cues: Iterable[str] = DEFAULT,
    is_pseudo: bool = False,
) -> None:
    """Refuse an example that lacks a feature, has an unknown one, or a wrong shape.

    Args:
        example: flat mapping from feature name to value; pictures and maps are encoded
            bytes, everything else is convertible to an array.
        where: the example's name in the message.
        cues: kinds of cues that the record set holds.
        is_pseudo: whether its records say how certain their labels are.
    """
    wanted = {one.name: one for one in features(cues, is_pseudo=is_pseudo)}
    missing = sorted(wanted.keys() - example.keys())
    unknown = sorted(example.keys() - wanted.keys())
    if missing or unknown:
        raise InputError(
            f"{where} does not fit record schema {SCHEMA_VERSION}: missing features "
            f"{missing}, unknown features {unknown}."
        )
    for feature in wanted.values():
        _check_value(feature, example[feature.name], where)


def _check_value(feature: Feature, value: object, where: str) -> None:
    if feature.encoding is Encoding.TENSOR:
        array = np.asarray(value)
        if array.shape != feature.shape:
            raise InputError(
                f"{where}: feature {feature.name!r} has shape {array.shape}, expected "
                f"{feature.shape}."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"{where}: feature {feature.name!r} holds NaN or infinity; write zeros "
                "and clear its validity flag instead."
            )
        return
    expected = str if feature.encoding is Encoding.TEXT else bytes
    if not isinstance(value, expected):
        raise InputError(
            f"{where}: feature {feature.name!r} is {type(value).__name__}, expected "
            f"{expected.__name__}."
        )
    if expected is bytes and not value:
        raise InputError(
            f"{where}: feature {feature.name!r} is empty; an absent map is stored as "
            "a picture of one zero pixel with its flag cleared."
        )


def check_version(version: int, *, where: str) -> None:
    """Refuse records of another schema version."""
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{where} was written with record schema {version}, but this version of "
            f"twohand_jax reads schema {SCHEMA_VERSION}: build the set again."
        )


def settle_labels(fields: RecordFields) -> dict[int, str]:
    """Find labels that count and are NaN or infinite, and zero those that don't count.

    Args:
        fields: parsed records with a leading batch axis; values whose validity flag is
            cleared and that are not finite become 0 in place, since NaN times a mask
            of 0 is NaN.

    Returns:
        A sentence for each row with a label that is marked valid and not finite.
    """
    problems: dict[int, str] = {}
    for feature in FEATURES:
        if feature.flag is None:
            continue
        values = fields[feature.name]
        finite = np.isfinite(values)
        if finite.all():
            continue
        counts = fields[feature.flag].astype(bool)
        counts = counts.reshape(*counts.shape, *(1,) * (values.ndim - counts.ndim))
        for row in np.flatnonzero((counts & ~finite).reshape(len(values), -1).any(1)):
            problems.setdefault(
                int(row),
                f"its {feature.name!r} is marked valid by {feature.flag!r} and holds "
                "NaN or infinity",
            )
        values[~finite] = 0.0
    return problems


def check_boxes(boxes: np.ndarray, valid: np.ndarray) -> None:
    """Refuse boxes of valid hands that no picture is cut out by.

    Args:
        boxes: ``(2, 4)``, pixels.
        valid: ``(2,)``.

    Raises:
        InputError: one is empty, or reaches absurdly far.
    """
    for box in boxes[valid.astype(bool)]:
        x0, y0, x1, y1 = box.tolist()
        if not (x0 < x1 and y0 < y1 and np.abs(box).max() <= MAX_BOX_PX):
            raise InputError(
                f"its 'hands/box' is marked valid by 'hands/valid' and is {x0:g}, "
                f"{y0:g}, {x1:g}, {y1:g}; x0 < x1 and y0 < y1 are expected, all within "
                f"{MAX_BOX_PX:,.0f} pixels"
            )


def leave_out(
    problems: Mapping[int, str],
    records: np.ndarray,
    usable: np.ndarray,
    report: Callable[[int, str], None],
) -> None:
    """Report problems by row with the records' numbers, and mark the rows in place.

    Args:
        problems: a sentence for each bad row.
        records: number of each row's record.
        usable: cleared for the bad rows, unless ``report`` raises.
        report: called with a record's number and the sentence.
    """
    for row, problem in problems.items():
        report(int(records[row]), problem)
        usable[row] = False


def check_versions(
    versions: np.ndarray,
    records: np.ndarray,
    usable: np.ndarray,
    describe: Callable[[int], str],
) -> None:
    """Refuse usable rows of another schema version; ``describe`` says where one lies.

    Raises:
        InputError: there is one: the whole set is another, so nothing is skipped.
    """
    for row in np.flatnonzero(usable & (versions != SCHEMA_VERSION)):
        check_version(int(versions[row]), where=describe(int(records[row])))
