"""What a protocol is, and what all of them share.

A protocol is a pure function of estimates and labels (``truth``), both in the
picture's camera frame, to a dictionary of ``Mean`` in millimetres, which add up over
batches, devices and hosts; ``metric_values`` makes numbers of them. Never compare
numbers of different protocols. Hands not in the picture, rows of weight 0 and labels
without their flag are never looked at, NaN included.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float

from twohand_jax import metrics
from twohand_jax.errors import InputError
from twohand_jax.evaluation.truth import Truth
from twohand_jax.mano.joint_set import INTERWILD, JointSet
from twohand_jax.mano.joints import WRIST
from twohand_jax.types import (
    NUM_JOINTS,
    NUM_VERTICES,
    ManoModel,
    Mean,
    Prediction,
)

Compare = Callable[[Prediction, Truth, ManoModel, Float[Array, "*b"]], dict[str, Mean]]
MetricValues = dict[str, float]
ServerPoints = tuple[Float[np.ndarray, "n 21 3"], Float[np.ndarray, "n 778 3"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """The form in which a benchmark's server takes estimates of its hidden labels.

    Attributes:
        pictures: how many it expects, in words.
        order: the official order, of the records' names and of the ``listing`` file.
        convert: joints and vertices, metres and camera frame, as its file has them.
        listing: name of its file with the official order; "" where names tell it.
        wrist_given: whether the true wrist comes with each picture, so that the
            estimate is laid on it.
    """

    pictures: str
    order: Callable[[Sequence[str], Path | None], list[str]]
    convert: Callable[[ServerPoints], ServerPoints]
    listing: str = ""
    wrist_given: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetLabels:
    """What a dataset's labels leave out.

    Attributes:
        dataset: name of the set in its metadata, such as ``freihand``.
        withheld: splits without the labels that protocols compare, and the reason.
    """

    dataset: str
    withheld: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way to compare, and what it needs.

    Attributes:
        name: on the command line.
        compare: the comparison of a batch.
        counts: the records it looks at, in words.
        meaning: what is relative to what, for a reader who does not know the name.
        essential: metrics without which a figure of this protocol is none.
        columns: of its tables, in order.
        right_hand: whether it looks at right hands only.
        without_mesh: whether it compares joints of predictions without a mesh.
        by_hand: whether MPJPE and MPVPE of a hand are means of ``Scores``' errors.
        units: of its figures.
        labels: what the labels of its own dataset leave out.
        server: of its benchmark, which keeps the labels.
        subset: part of a set to which published figures belong; "" for all of it.
        root: joint that plots of single joints are relative to.
        joints: which joints of a mesh are compared.
        of_mesh: whether true joints are those of the fitted mesh, too.
    """

    name: str
    compare: Compare
    counts: str
    meaning: str
    essential: tuple[str, ...]
    columns: tuple[str, ...]
    right_hand: bool = False
    without_mesh: bool = False
    by_hand: bool = False
    units: str = "mm"
    labels: DatasetLabels | None = None
    server: Server | None = None
    subset: str = ""
    root: int = WRIST
    joints: JointSet = INTERWILD
    of_mesh: bool = False


def check_shapes(prediction: Prediction) -> None:
    """Refuse predictions of other joints or another mesh than the protocols compare.

    A prediction may have no mesh at all.

    Raises:
        InputError: the number of joints or vertices differs.
    """
    joints, vertices = prediction.geometry.joints, prediction.geometry.vertices
    for what, array, rows in (
        ("joints", joints, NUM_JOINTS),
        ("vertices", vertices, NUM_VERTICES),
    ):
        if array is not None and array.shape[-3:] != (2, rows, 3):
            raise InputError(
                f"The predicted {what} have shape {array.shape}, but the protocols "
                f"compare (…, 2, {rows}, 3): right and left hand, {rows} {what} in "
                "the order of twohand_jax.types, in metres."
            )


def metric_values(found: Mapping[str, Mean]) -> MetricValues:
    """``reduced_means`` of summed means as numbers, from sums in double precision."""
    wide = {
        name: Mean(np.asarray(mean.total, np.float64), np.asarray(mean.count))
        for name, mean in found.items()
    }
    return {name: float(figure) for name, figure in reduced_means(wide).items()}


def reduced_means(found: Mapping[str, Mean]) -> dict[str, Float[Array, ""]]:
    """Metrics of summed means, as a pure function (``vmap`` it over many sums).

    A metric that is kept a joint is the mean of its joints' means. A curve ``PCK-…``
    becomes its area ``AUC-…``.
    """
    row = {}
    for name, mean in found.items():
        if "PCK" in name:
            row[name.replace("PCK", "AUC")] = metrics.auc(mean)
        else:
            row[name] = metrics.mean_of_means(mean)
    return row
