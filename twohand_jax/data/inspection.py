"""What is in a record set, in numbers: counts, validity rates, provenance, histograms.

Everything is a sum over records, so memory does not grow with the set.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from twohand_jax.data import histogram, schema
from twohand_jax.data.decode import Fields
from twohand_jax.data.geometry_errors import Errors
from twohand_jax.data.histogram import Histogram
from twohand_jax.types import LEFT, RIGHT

TEXTS = ("dataset", "hand_type", "subset", "mano/model")
FLAGS = tuple(feature.name for feature in schema.FEATURES if feature.dtype is np.bool_)
ABSENT, OTHERS = "absent", "(others)"
MOST_NAMES = 1000


def _histograms() -> dict[str, Histogram]:
    plots = (
        ("hand_pose", histogram.linear("joint angles, degrees", 0, 180, 720)),
        ("wrist_depth", histogram.linear("depth of the wrists, m", 0, 10, 2000)),
        ("box", histogram.linear("longer side of hand boxes, px", 0, 4096, 2048)),
        ("iou", histogram.linear("IoU of the two hands' boxes", 0, 1, 400)),
        ("reprojection", _error("3D joints projected, off the 2D joints, px")),
        ("posing", _error("hand model posed, off the 3D joints, mm")),
        ("rel_trans", _error("relative translation, off the wrists, mm")),
        ("keypoints", _error("keypoint cue, off the 2D joints, % of the box")),
    )
    return dict(plots)


def _error(title: str) -> Histogram:
    return histogram.logarithmic(title, 1e-6, 1e5, 1100)


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
        default_factory=lambda: _counters(schema.CUES)
    )
    flags: dict[str, np.ndarray] = dataclasses.field(
        default_factory=lambda: {
            name: np.zeros(_shape(name), np.int64) for name in FLAGS
        }
    )
    sizes: Counter[str] = dataclasses.field(default_factory=Counter)
    histograms: dict[str, Histogram] = dataclasses.field(default_factory=_histograms)

    def add(self, fields: Fields, errors: Errors) -> None:
        """Count a batch of parsed records.

        Args:
            fields: of usable records only.
            errors: ``geometry_errors.measure`` of them.
        """
        self.records += len(fields["image_id"])
        for name, counter in self.texts.items():
            _tally(counter, map(text, fields[name]))
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

    def text(self) -> str:
        """The summary in lines for a terminal."""
        lines = [f"{self.records} records"]
        for name, counter in self.texts.items():
            lines.append(f"{name}: {self._shares(counter)}")
        for cue, counter in self.sources.items():
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


def text(value: bytes) -> str:
    """A text feature; bytes that are no UTF-8 show as such."""
    return value.decode(errors="backslashreplace")


def _tally(counter: Counter[str], names: Iterable[str]) -> None:
    """Count names; a feature that is different in every record must not fill memory."""
    for name in names:
        known = name in counter or len(counter) < MOST_NAMES
        counter[name if known else OTHERS] += 1


def _makers(fields: Fields, cue: str) -> Iterable[str]:
    parts = (f"cues/{cue}_source", f"cues/{cue}_version", f"cues/has_{cue}")
    for source, version, there in zip(*(fields[p] for p in parts), strict=True):
        yield f"{text(source)} {text(version)}".strip() if there else ABSENT


def _shown(errors: Errors) -> dict[str, np.ndarray]:
    return {
        "reprojection": errors.reprojection_px,
        "posing": errors.posing_mm,
        "rel_trans": errors.rel_trans_mm,
    }


def _distributions(fields: Fields) -> dict[str, np.ndarray]:
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
    fields: Fields, longer: Float[np.ndarray, "n 2"]
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
