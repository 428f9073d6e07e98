"""Every record against the schema, its pictures and the geometry of its labels."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.crops.cue_table import NAMES
from twohand_jax.data import decode, schema, shards
from twohand_jax.data.decode import RecordFields
from twohand_jax.errors import InputError
from twohand_jax.inspection.summary import Errors, summary_text
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import Mean

HAND_TYPES = tuple(kind.encode() for kind in schema.HAND_TYPES)
# From wrist to middle knuckle, metres: a small child's hand to more than a giant's.
HAND_SIZE = (0.02, 0.25)
LARGEST_ANGLE = 4 * np.pi
RowMask = Bool[np.ndarray, "n"]


def label_problems(fields: RecordFields) -> Mapping[str, RowMask]:
    """Which records break which rule, as sentences that are false of good records."""
    return {sentence: rule(fields) for sentence, rule in RULES}


def _flags(fields: RecordFields) -> RowMask:
    names = [f.name for f in schema.FEATURES if f.dtype is np.bool_]
    return _any(*((fields[n] != 0) & (fields[n] != 1) for n in names))


def _boxes(fields: RecordFields) -> RowMask:
    box = fields["hands/box"]
    empty = (box[..., 2:] <= box[..., :2]).any(axis=-1)
    return _any(empty & _on(fields, "hands/valid"))


def _endless(fields: RecordFields) -> RowMask:
    far = (np.abs(fields["hands/box"]) > schema.MAX_BOX_PX).any(axis=-1)
    return _any(far & _on(fields, "hands/valid"))


def _outside(fields: RecordFields) -> RowMask:
    box = fields["hands/box"]
    size = np.stack([fields["width"], fields["height"]], axis=-1)[:, None]
    apart = (box[..., :2] > size - 1) | (box[..., 2:] < 0)
    return _any(apart.any(axis=-1) & _on(fields, "hands/valid"))


def _behind(fields: RecordFields) -> RowMask:
    seen = _on(fields, "hands/joints_2d_valid") & _on(fields, "hands/joints_3d_valid")
    seen &= _on(fields, "camera/valid")[:, None, None]
    return _any(seen & (fields["hands/joints_3d"][..., 2] <= 0))


def _hand_size(fields: RecordFields) -> RowMask:
    joints, known = fields["hands/joints_3d"], _on(fields, "hands/joints_3d_valid")
    length = np.linalg.norm(
        joints[:, :, CANONICAL.MIDDLE_BASE] - joints[:, :, WRIST], axis=-1
    )
    known = known[:, :, CANONICAL.MIDDLE_BASE] & known[:, :, WRIST]
    return _any(known & ((length < HAND_SIZE[0]) | (length > HAND_SIZE[1])))


def _angles(fields: RecordFields) -> RowMask:
    poses = np.concatenate(
        [fields["mano/global_orient"][:, :, None], fields["mano/hand_pose"]], axis=2
    )
    large = np.linalg.norm(poses, axis=-1) > LARGEST_ANGLE
    return _any(large & _on(fields, "mano/valid")[..., None])


def _fit_without_model(fields: RecordFields) -> RowMask:
    return _any(_on(fields, "mano/valid")) & (fields["mano/model"] == b"")


def _rel_trans(fields: RecordFields) -> RowMask:
    wrists = _on(fields, "hands/joints_3d_valid")[:, :, WRIST].all(axis=-1)
    return _on(fields, "rel_trans_valid") & ~wrists


def _unnamed_cues(fields: RecordFields) -> RowMask:
    return _any(
        *(
            _on(fields, f"cues/has_{cue}") & (fields[f"cues/{cue}_source"] == b"")
            for cue in NAMES
        )
    )


def _scores(fields: RecordFields) -> RowMask:
    low = _any(fields["cues/keypoints"][..., 2] < 0)
    return low & _on(fields, "cues/has_keypoints")


RULES: tuple[tuple[str, Callable[[RecordFields], RowMask]], ...] = (
    ("a flag is neither 0 nor 1", _flags),
    ("the image_id is empty", lambda fields: fields["image_id"] == b""),
    (
        "hand_type is none of right, left, interacting",
        lambda fields: ~np.isin(fields["hand_type"], HAND_TYPES),
    ),
    ("no hand is valid", lambda fields: ~_any(_on(fields, "hands/valid"))),
    ("the box of a valid hand is empty", _boxes),
    ("the box of a valid hand lies outside of the picture", _outside),
    (f"a box of a valid hand reaches over {schema.MAX_BOX_PX:,.0f} pixels", _endless),
    (
        "the camera is valid and its focal length is not above 0",
        lambda f: _on(f, "camera/valid") & (f["camera/focal"] <= 0).any(axis=-1),
    ),
    ("a joint that is seen lies behind the camera", _behind),
    ("wrist and middle knuckle are not 2 to 25 cm apart (metres?)", _hand_size),
    ("a MANO rotation is over 4 pi (radians?)", _angles),
    ("MANO parameters are valid and no hand model is named", _fit_without_model),
    ("rel_trans is valid and a wrist is not", _rel_trans),
    ("a cue is there and what made it is not named", _unnamed_cues),
    ("a keypoint cue has a score below 0", _scores),
    (
        "a depth cue is there and its scale is not above 0",
        lambda f: _on(f, "cues/has_depth") & (f["cues/depth_scale"] <= 0),
    ),
)


def _on(fields: RecordFields, flag: str) -> np.ndarray:
    return fields[flag] > 0


def _any(*masks: np.ndarray) -> RowMask:
    """Which rows hold any set element of any mask."""
    return np.any([mask.any(axis=tuple(range(1, mask.ndim))) for mask in masks], axis=0)


SHOWN = 3
DUPLICATE = "the image_id occurs more than once in the split"
NUM_LABELS = 3
DEPTH_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What counts as a violation.

    Attributes:
        max_reprojection_px: of any 3D joint from its 2D joint, where the camera is
            known; the builders project one to get the other.
        max_posing_mm: of a hand's posed joints from its 3D joints, on average. Fits
            of real datasets miss by a few millimetres; wrong units, frames or hand
            models by far more than this.
        max_rel_trans_mm: of the relative translation from the wrists.
        workers: threads that decode pictures.
    """

    max_reprojection_px: float = 1.0
    max_posing_mm: float = 50.0
    max_rel_trans_mm: float = 1.0
    workers: int = 2


class Violation(NamedTuple):
    """A kind of violation, how many records have it, where the first lie."""

    kind: str
    records: int
    first: tuple[str, ...]


class Checker:
    """Collects violations over the records of a split; use it as a context manager.

    Memory: sixteen bytes a record, to find an ``image_id`` that is there twice.
    """

    def __init__(self, split: shards.Split, config: CheckConfig) -> None:
        """Start with nothing found."""
        self.split, self.config = split, config
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[str]] = {}
        self._ids: list[np.ndarray] = []
        self._records: list[np.ndarray] = []
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="check")

    def __enter__(self) -> "Checker":
        return self

    def __exit__(self, *unused: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, fields: RecordFields, errors: Errors, records: np.ndarray) -> None:
        """Check a batch.

        Args:
            fields: parsed, of usable records only.
            errors: ``summary.measure_errors`` of them.
            records: their numbers in the split.
        """
        problems = {**label_problems(fields), **self._geometry_problems(errors)}
        for kind, rows in problems.items():
            for row in np.flatnonzero(rows):
                self._found(kind, int(records[row]), fields["image_id"][row])
        numbers = range(len(records))
        decoded = self._pool.map(lambda row: picture_problems(fields, row), numbers)
        for number, kinds in zip(numbers, decoded, strict=True):
            for kind in kinds:
                self._found(kind, int(records[number]), fields["image_id"][number])
        self._ids.append(_hashes(fields["image_id"]))
        self._records.append(np.asarray(records, np.int64))

    def add_damaged(self, sentences: Iterable[str]) -> None:
        """Count records that cannot be read, from what the reader says of them."""
        for sentence in sentences:
            place, _, problem = sentence.partition(" is damaged: ")
            self._count(f"damaged: {problem}", place)

    def violations(self) -> list[Violation]:
        """All that was found, the most frequent first; looks for duplicates as well."""
        counts, first = self._counts.copy(), dict(self._first)
        repeated = self._duplicates()
        if len(repeated):
            counts[DUPLICATE] = len(repeated)
            first[DUPLICATE] = [self._place(n) for n in repeated[:SHOWN].tolist()]
        return [Violation(k, n, tuple(first[k])) for k, n in counts.most_common()]

    def _geometry_problems(self, errors: Errors) -> dict[str, Bool[np.ndarray, "n"]]:
        limits = self.config
        reprojection = _largest(errors.reprojection_px)
        posing = _largest(_means(errors.posing_mm))
        rel_trans = _largest(errors.rel_trans_mm)
        return {
            "a 3D joint projects more than "
            f"{limits.max_reprojection_px:g} px from its 2D joint": reprojection
            > limits.max_reprojection_px,
            "a hand's posed joints are on average more than "
            f"{limits.max_posing_mm:g} mm from its 3D joints": posing
            > limits.max_posing_mm,
            "rel_trans is more than "
            f"{limits.max_rel_trans_mm:g} mm from the wrists' difference": rel_trans
            > limits.max_rel_trans_mm,
        }

    def _duplicates(self) -> np.ndarray:
        """Numbers of the records whose id an earlier record has."""
        ids = np.concatenate([np.zeros(0, np.uint64), *self._ids])
        records = np.concatenate([np.zeros(0, np.int64), *self._records])
        order = np.argsort(ids, kind="stable")
        again = ids[order][1:] == ids[order][:-1]
        return np.sort(records[order][1:][again])

    def _found(self, kind: str, record: int, image_id: bytes) -> None:
        shown = len(self._first.get(kind, ())) < SHOWN
        place = f"{self._place(record)} ({summary_text(image_id)})" if shown else ""
        self._count(kind, place)

    def _count(self, kind: str, place: str) -> None:
        self._counts[kind] += 1
        first = self._first.setdefault(kind, [])
        if len(first) < SHOWN:
            first.append(place)

    def _place(self, record: int) -> str:
        path, number = self.split.locate(record)
        return f"record {number} of {Path(path).name}"


def picture_problems(fields: RecordFields, row: int) -> list[str]:
    """What is wrong with the picture and the maps of a record."""
    size = int(fields["height"][row]), int(fields["width"][row])
    problems = []
    try:
        if decode.decode_jpeg(fields["image"][row]).shape[:2] != size:
            problems.append("the picture has not the size that height and width say")
    except InputError:
        problems.append("the picture does not decode")
    for cue in ("segmentation", "depth"):
        if fields[f"cues/has_{cue}"][row]:
            problems += _map_problems(fields, cue, row, size)
    return problems


def _map_problems(
    fields: RecordFields, cue: str, row: int, size: tuple[int, int]
) -> Iterator[str]:
    try:
        values = decode.decode_map(fields[f"cues/{cue}"][row])
    except InputError:
        yield f"the {cue} map does not decode"
        return
    if values.shape != size:
        yield f"the {cue} map has not the picture's size"
    if cue == "segmentation":
        if values.dtype != np.uint8 or values.max() >= NUM_LABELS:
            yield "the segmentation map holds other labels than 0, 1 and 2"
        return
    if values.dtype != np.uint16:
        yield "the depth map has not 16 bits a pixel"
    scale, offset = fields["cues/depth_scale"][row], fields["cues/depth_offset"][row]
    ends = scale * np.array([values.min(), values.max()]) + offset
    if (values.min() > 0 and ends[0] < 0) or ends[1] > 1 + DEPTH_TOLERANCE:
        yield "the depth map leaves the range from 0 to 1"


def _largest(errors: Float[np.ndarray, "n *d"]) -> Float[np.ndarray, "n"]:
    """Of each record; below any limit where nothing is known."""
    known = np.nan_to_num(errors, nan=-1.0)
    return known.max(axis=tuple(range(1, known.ndim)), initial=-1.0)


def _means(errors: Float[np.ndarray, "n 2 21"]) -> Float[np.ndarray, "n 2"]:
    """Over the joints that are known; NaN for none."""
    known = np.isfinite(errors)
    total = np.where(known, errors, 0.0).sum(axis=-1)
    return Mean(total, known.sum(axis=-1)).value()


def _hashes(names: Iterable[bytes]) -> np.ndarray:
    """64 bits of each name: for four million names two collide once in a million."""
    digests = (hashlib.blake2b(name, digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), np.uint64)
