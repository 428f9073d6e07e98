"""What is in a record set, in numbers: counts, provenance, agreement of the labels."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twohand_jax import mano
from twohand_jax.crops.cue_table import DEFAULT, NAMES
from twohand_jax.data import schema
from twohand_jax.data.decode import RecordFields
from twohand_jax.mano.joints import WRIST
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams


class Errors(NamedTuple):
    """Disagreements of a batch of records.

    Attributes:
        reprojection_px: of the projected 3D joints from the 2D joints.
        posing_mm: of the posed hand model's joints from the 3D joints; NaN for
            records of another hand model.
        rel_trans_mm: of the relative translation from the wrists' 3D joints.
    """

    reprojection_px: Float[np.ndarray, "n 2 21"]
    posing_mm: Float[np.ndarray, "n 2 21"]
    rel_trans_mm: Float[np.ndarray, "n"]


def measure_errors(fields: RecordFields, model: ManoModel) -> Errors:
    """All disagreements of parsed records."""
    return Errors(
        reprojection_errors(fields),
        posing_errors_mm(fields, model),
        rel_trans_errors_mm(fields),
    )


def reprojection_errors(fields: RecordFields) -> Float[np.ndarray, "n 2 21"]:
    """Distance in pixels of each projected 3D joint from its 2D joint.

    NaN for pictures without a known camera and for joints that lack one of the two. A
    joint behind the camera is infinitely far off.
    """
    points = fields["hands/joints_3d"]
    depth = points[..., 2:]
    focal = fields["camera/focal"][:, None, None]
    center = fields["camera/center"][:, None, None]
    before = np.where(depth > 0, depth, 1.0)
    error = np.linalg.norm(
        points[..., :2] / before * focal + center - fields["hands/joints_2d"], axis=-1
    )
    error = np.where(depth[..., 0] > 0, error, np.inf)
    known = fields["hands/joints_3d_valid"] * fields["hands/joints_2d_valid"]
    known = known * fields["camera/valid"][:, None, None]
    return np.where(known > 0, error, np.nan)


def posing_errors_mm(
    fields: RecordFields, model: ManoModel
) -> Float[np.ndarray, "n 2 21"]:
    """Distance of each posed joint from its 3D joint.

    NaN for records made with another hand model and where one of the two is unknown.
    """
    posed = np.asarray(_joints(model, mano_params(fields)))
    error_mm = 1000 * np.linalg.norm(posed - fields["hands/joints_3d"], axis=-1)
    known = (fields["mano/valid"][..., None] * fields["hands/joints_3d_valid"]) > 0
    known &= belongs_to(fields, model)[:, None, None]
    return np.where(known, error_mm, np.nan)


def rel_trans_errors_mm(fields: RecordFields) -> Float[np.ndarray, "n"]:
    """Distance of the relative translation from left wrist minus right wrist."""
    wrists = fields["hands/joints_3d"][:, :, WRIST]
    error = fields["rel_trans"] - (wrists[:, LEFT] - wrists[:, RIGHT])
    known = fields["hands/joints_3d_valid"][:, :, WRIST].all(axis=1)
    known = known & (fields["rel_trans_valid"] > 0)
    return np.where(known, 1000 * np.linalg.norm(error, axis=-1), np.nan)


def belongs_to(fields: RecordFields, model: ManoModel) -> np.ndarray:
    """Which records' parameters are of this hand model ``(n,)``."""
    return fields["mano/model"] == model.name.encode()


def mano_params(fields: RecordFields) -> ManoParams:
    """The parameters of parsed records."""
    return ManoParams(
        *(jnp.asarray(fields[f"mano/{name}"]) for name in ManoParams._fields)
    )


@jax.jit
def _joints(model: ManoModel, params: ManoParams) -> Float[Array, "*b 2 21 3"]:
    return mano.forward(model, params).joints


TEXTS = ("dataset", "hand_type", "subset", "mano/model")
FLAGS = tuple(
    feature.name for feature in schema.features() if feature.dtype is np.bool_
)
ABSENT, OTHERS = "absent", "(others)"
MOST_NAMES = 1000


@dataclasses.dataclass
class Histogram:
    """Counts in fixed bins, the smallest and the largest number.

    Numbers beyond the edges count in the outer bins. Quantiles are exact to a bin.

    Attributes:
        title: what is counted, with its unit.
        edges: of the bins, ascending; ``linear`` and ``logarithmic`` make them.
        is_log: whether each edge is a multiple of the one before.
    """

    title: str
    edges: Float[np.ndarray, "n+1"]
    is_log: bool = False
    low: float = math.inf
    high: float = -math.inf

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    @property
    def total(self) -> int:
        """How many numbers were added."""
        return int(self.counts.sum())

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to draw: no number, or all in one bin."""
        return int((self.counts > 0).sum()) < 2

    def add(self, values: Float[np.ndarray, "*b"]) -> None:
        """Count finite numbers; NaN and infinities are passed over."""
        values = values[np.isfinite(values)]
        if values.size:
            inside = np.clip(values, self.edges[0], self.edges[-1])
            self.counts += np.histogram(inside, self.edges)[0]
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))

    def quantile(self, share: float) -> float:
        """The number below which this share lies; NaN when there are none."""
        if not self.total:
            return math.nan
        below = np.concatenate([[0], np.cumsum(self.counts)])
        found = float(np.interp(share * self.total, below, self.edges))
        return min(max(found, self.low), self.high)

    def bars(
        self, count: int = 40
    ) -> tuple[Float[np.ndarray, "m+1"], Int[np.ndarray, "m"]]:
        """At most ``count`` equal bars over all but the outermost numbers.

        A thousandth at each end does not stretch the axis: it is added to the first
        and the last bar.

        Returns:
            The bars' edges and counts; none when nothing was added.
        """
        if not self.total:
            return self.edges[:1], self.counts[:0]
        below = np.cumsum(self.counts) / self.total
        first = int(np.searchsorted(below, TAIL, side="right"))
        last = int(np.searchsorted(below, 1 - TAIL)) + 1
        step = math.ceil((last - first) / count)
        starts = np.arange(first, last, step)
        counts = np.add.reduceat(self.counts[first:last], starts - first)
        counts[0] += self.counts[:first].sum()
        counts[-1] += self.counts[last:].sum()
        ends = np.append(starts, min(starts[-1] + step, len(self.counts)))
        return self.edges[ends], counts

    def ends(self) -> str:
        """The smallest and the largest number in words."""
        if not self.total:
            return "none"
        low, high = f"{self.low:.3g}", f"{self.high:.3g}"
        return f"all {low}" if low == high else f"{low} to {high}"

    def text(self) -> str:
        """Quantiles in words."""
        if not self.total:
            return "none"
        low, middle, high = (self.quantile(share) for share in (0.05, 0.5, 0.95))
        return (
            f"5 % {low:.3g}, median {middle:.3g}, 95 % {high:.3g}, "
            f"largest {self.high:.3g}"
        )


def _histograms() -> dict[str, Histogram]:
    plots = (
        ("hand_pose", linear_histogram("joint angles, degrees", 0, 180, 720)),
        ("wrist_depth", linear_histogram("depth of the wrists, m", 0, 10, 2000)),
        ("box", linear_histogram("longer side of hand boxes, px", 0, 4096, 2048)),
        ("iou", linear_histogram("IoU of the two hands' boxes", 0, 1, 400)),
        ("reprojection", _error("3D joints projected, off the 2D joints, px")),
        ("posing", _error("hand model posed, off the 3D joints, mm")),
        ("rel_trans", _error("relative translation, off the wrists, mm")),
        ("keypoints", _error("keypoint cue, off the 2D joints, % of the box")),
    )
    return dict(plots)


def _error(title: str) -> Histogram:
    return logarithmic_histogram(title, 1e-6, 1e5, 1100)


def _counters(names: Iterable[str]) -> dict[str, Counter[str]]:
    return {name: Counter() for name in names}


def _shape(flag: str) -> tuple[int, ...]:
    return tuple(length or 0 for length in schema.BY_NAME[flag].shape)


@dataclasses.dataclass
class Summary:
    """Sums over the records of a split.

    Attributes:
        records: how many were added.
        texts: for each text of ``TEXTS`` how often each value occurs.
        sources: for each cue how often it was made by what ("source version").
        flags: for each flag how often it is set, in the flag's shape.
        sizes: pictures of each width and height.
        histograms: distributions by name.
    """

    records: int = 0
    texts: dict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: _counters(TEXTS)
    )
    sources: dict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: _counters(NAMES)
    )
    flags: dict[str, np.ndarray] = dataclasses.field(
        default_factory=lambda: {
            name: np.zeros(_shape(name), np.int64) for name in FLAGS
        }
    )
    sizes: Counter[str] = dataclasses.field(default_factory=Counter)
    histograms: dict[str, Histogram] = dataclasses.field(default_factory=_histograms)

    def add(self, fields: RecordFields, errors: Errors) -> None:
        """Count a batch of parsed records.

        Args:
            fields: of usable records only.
            errors: ``measure_errors`` of them.
        """
        self.records += len(fields["image_id"])
        for name, counter in self.texts.items():
            _tally(counter, map(summary_text, fields[name]))
        for cue, counter in self.sources.items():
            _tally(counter, _makers(fields, cue))
        for name in FLAGS:
            self.flags[name] += (fields[name] != 0).sum(axis=0)
        sizes = zip(fields["width"].tolist(), fields["height"].tolist(), strict=True)
        _tally(self.sizes, (f"{width} x {height}" for width, height in sizes))
        for name, values in {**_distributions(fields), **_shown(errors)}.items():
            self.histograms[name].add(values)

    def rates(self) -> Mapping[str, tuple[float, ...]]:
        """Share of records in which each flag is set: one, or right and left hand's.

        Flags of joints are averaged over a hand's joints.
        """
        total = max(self.records, 1)
        return {
            name: (float(sums) / total,)
            if sums.ndim == 0
            else tuple((sums.reshape(2, -1).mean(axis=-1) / total).tolist())
            for name, sums in self.flags.items()
        }

    def made_by(self) -> Mapping[str, Counter[str]]:
        """The sources of the usual cues, and of further ones that any record has."""
        return {
            cue: counter
            for cue, counter in self.sources.items()
            if cue in DEFAULT or counter.keys() - {ABSENT}
        }

    def text(self) -> str:
        """The summary in lines for a terminal."""
        lines = [f"{self.records} records"]
        for name, counter in self.texts.items():
            lines.append(f"{name}: {self._shares(counter)}")
        for cue, counter in self.made_by().items():
            lines.append(f"{cue} cue: {self._shares(counter)}")
        lines.append(f"pictures: {self._shares(self.sizes)}")
        for name, rates in self.rates().items():
            if not name.startswith("cues/"):
                lines.append(f"{name}: {_percent(rates)}")
        lines += [f"{plot.title}: {plot.text()}" for plot in self.histograms.values()]
        return "\n".join(lines)

    def _shares(self, counter: Counter[str]) -> str:
        total = max(self.records, 1)
        return ", ".join(
            f"{name or '(empty)'} {count / total:.1%}"
            for name, count in counter.most_common(12)
        )


def summary_text(value: bytes) -> str:
    """A text feature; bytes that are no UTF-8 show as such."""
    return value.decode(errors="backslashreplace")


def _tally(counter: Counter[str], names: Iterable[str]) -> None:
    """Count names; a feature that is different in every record must not fill memory."""
    for name in names:
        known = name in counter or len(counter) < MOST_NAMES
        counter[name if known else OTHERS] += 1


def _makers(fields: RecordFields, cue: str) -> Iterable[str]:
    parts = (f"cues/{cue}_source", f"cues/{cue}_version", f"cues/has_{cue}")
    for source, version, there in zip(*(fields[p] for p in parts), strict=True):
        yield (
            f"{summary_text(source)} {summary_text(version)}".strip()
            if there
            else ABSENT
        )


def _shown(errors: Errors) -> dict[str, np.ndarray]:
    return {
        "reprojection": errors.reprojection_px,
        "posing": errors.posing_mm,
        "rel_trans": errors.rel_trans_mm,
    }


def _distributions(fields: RecordFields) -> dict[str, np.ndarray]:
    """What the histograms count, of a batch."""
    box, shown = fields["hands/box"], fields["hands/valid"] > 0
    angles = np.linalg.norm(fields["mano/hand_pose"], axis=-1)[fields["mano/valid"] > 0]
    wrists = fields["hands/joints_3d"][:, :, 0, 2]
    longer = (box[..., 2:] - box[..., :2]).max(axis=-1)
    both = shown.all(axis=-1)
    return {
        "hand_pose": np.degrees(angles),
        "wrist_depth": wrists[fields["hands/joints_3d_valid"][:, :, 0] > 0],
        "box": longer[shown],
        "iou": _iou(box[both, RIGHT], box[both, LEFT]),
        "keypoints": _keypoint_errors(fields, longer),
    }


def _keypoint_errors(
    fields: RecordFields, longer: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "m"]:
    """Distance of cue and label in percent of the box's longer side."""
    found = fields["cues/keypoints"]
    known = (found[..., 2] > 0) & (fields["hands/joints_2d_valid"] > 0)
    known &= fields["cues/has_keypoints"][:, None, None] > 0
    known &= (longer > 0)[..., None]
    distance = np.linalg.norm(found[..., :2] - fields["hands/joints_2d"], axis=-1)
    return (100 * distance / np.maximum(longer, 1e-6)[..., None])[known]


def _iou(
    first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n"]:
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    shared, one, two = (
        np.prod(np.maximum(sides, 0.0), axis=-1)
        for sides in (
            high - low,
            first[:, 2:] - first[:, :2],
            second[:, 2:] - second[:, :2],
        )
    )
    return shared / np.maximum(one + two - shared, 1e-6)


def _percent(rates: tuple[float, ...]) -> str:
    if len(rates) == 1:
        return f"{rates[0]:.1%}"
    return f"right {rates[RIGHT]:.1%}, left {rates[LEFT]:.1%}"


TAIL = 0.001


def linear_histogram(title: str, low: float, high: float, bins: int) -> Histogram:
    """Equal bins."""
    return Histogram(title, np.linspace(low, high, bins + 1))


def logarithmic_histogram(
    title: str, low: float, high: float, bins: int = 800
) -> Histogram:
    """Bins that grow with the number, for errors over many orders of magnitude."""
    return Histogram(title, np.geomspace(low, high, bins + 1), is_log=True)
