"""How well label and depth maps are told, over a record set."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import stats

from twohand_jax.crops.region import RegionConfig, network_input
from twohand_jax.data.schema import LEFT_LABEL, RIGHT_LABEL
from twohand_jax.experiments.segdepth import SegDepthSample, prepare
from twohand_jax.geometry import boxes
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import Batch

FEWEST = 20  # hand cells of a picture whose depth is compared
CUT = 0.02
GROUPS = ("all", "overlapping")


class SegDepthScores:
    """Sums over pictures; ``values`` makes the metrics of them."""

    def __init__(self) -> None:
        """Start with no picture."""
        self._shared = np.zeros(3)
        self._either = np.zeros(3)
        self._wrong_side = 0
        self._depth: list[tuple[float, float]] = []

    def add(
        self,
        labels: Int[np.ndarray, "h w"],
        depth: Float[np.ndarray, "h w"],
        true_labels: Int[np.ndarray, "h w"],
        true_depth: Float[np.ndarray, "h w"],
        measured: Bool[np.ndarray, "h w"],
    ) -> None:
        """Count one picture.

        Args:
            labels: told, 0 background, 1 right, 2 left.
            depth: told, in any unit, growing with distance.
            true_labels, true_depth: of the record.
            measured: where ``true_depth`` counts.
        """
        for row, side in enumerate((RIGHT_LABEL, LEFT_LABEL)):
            self._count(row, labels == side, true_labels == side)
        self._count(2, labels > 0, true_labels > 0)
        hands = (labels > 0) & (true_labels > 0)
        self._wrong_side += int((hands & (labels != true_labels)).sum())
        if measured.sum() >= FEWEST and np.ptp(true_depth[measured]) > 0:
            self._depth.append(depth_scores(depth[measured], true_depth[measured]))

    def values(self) -> dict[str, float]:
        """Metrics over the pictures.

        ``iou_right``, ``iou_left`` and ``iou_hands`` (sides ignored) pool the pixels of
        all pictures; ``wrong_side`` is the share of a hand's pixels, found as a hand's,
        with the other hand's label; ``depth_error`` and ``depth_rank`` are means over
        pictures, see ``depth_scores``.
        """
        iou = self._shared / np.maximum(self._either, 1)
        names = ("iou_right", "iou_left", "iou_hands")
        out = {name: float(v) for name, v in zip(names, iou, strict=True)}
        out["wrong_side"] = self._wrong_side / max(float(self._shared[2]), 1.0)
        if self._depth:
            error, rank = np.mean(self._depth, axis=0)
            out |= {"depth_error": float(error), "depth_rank": float(rank)}
        return out

    def _count(
        self,
        row: int,
        found: Bool[np.ndarray, "h w"],
        wanted: Bool[np.ndarray, "h w"],
    ) -> None:
        self._shared[row] += (found & wanted).sum()
        self._either[row] += (found | wanted).sum()


def depth_scores(
    depth: Float[np.ndarray, "n"], truth: Float[np.ndarray, "n"]
) -> tuple[float, float]:
    """Mean absolute error in units of the range, and Spearman's rank correlation.

    Both depths are brought to 0 for the nearest and 1 for the farthest, where the
    outermost 2 % at either end are cut: records' labels spill over hands' edges.
    """
    error = np.abs(_unit(depth) - _unit(truth)).mean()
    if np.ptp(depth) == 0:
        return float(error), 0.0
    return float(error), float(stats.spearmanr(depth, truth).statistic)


def _unit(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    low, high = np.quantile(values, (CUT, 1.0 - CUT))
    return np.clip((values - low) / max(float(high - low), 1e-12), 0.0, 1.0)


def evaluate(
    network: Network,
    variables: Variables,
    batches: Iterable[Batch],
    *,
    region: RegionConfig,
) -> dict[str, float]:
    """Metrics over records, ``all/NAME`` and of pictures with ``overlapping/`` boxes.

    Args:
        network: pure functions of the segdepth network.
        variables: its weights.
        batches: every record once, padded with weight 0.
        region: how regions are cut out.
    """

    @jax.jit
    def told(
        variables: Variables, batch: Batch
    ) -> tuple[Int[Array, "b i i"], Float[Array, "b i i"], SegDepthSample]:
        sample = prepare(batch, region=region)
        seen = network_input(sample.image, sample.boxes, sample.seen)
        maps, _ = network.apply(variables, seen)
        return jnp.argmax(maps.logits, axis=-1), maps.depth, sample

    scores = {group: SegDepthScores() for group in GROUPS}
    for batch in batches:
        labels, depth, sample = jax.device_get(told(variables, batch))
        overlap = np.asarray(boxes.overlap(sample.boxes, sample.seen))
        for row in np.flatnonzero(sample.weight > 0):
            truth = sample.labels[row], sample.depth[row], sample.measured[row]
            for group in GROUPS if overlap[row] else GROUPS[:1]:
                scores[group].add(labels[row], depth[row], *truth)
    return {
        f"{group}/{name}": value
        for group, score in scores.items()
        for name, value in score.values().items()
    }
