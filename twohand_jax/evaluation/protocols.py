"""What is compared with what: the protocols of METHOD §7.

A protocol is a pure function of estimates and labels (``truth``), both in the
picture's camera frame, to a dictionary of ``Mean`` in millimetres, which add up over
batches, devices and hosts; ``numbers`` makes figures of them. Never compare figures of
different protocols. Hands not in the picture, rows of weight 0 and labels without their
flag are never looked at, NaN included.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Array, Float

from twohand_jax import metrics
from twohand_jax.errors import InputError
from twohand_jax.evaluation import single_hand, two_hands
from twohand_jax.evaluation.single_hand import FREIHAND_TIPS, HO3D_TIPS
from twohand_jax.evaluation.truth import Truth
from twohand_jax.evaluation.two_hands import INTAGHAND_TIPS, INTERWILD_TIPS
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import (
    NUM_JOINTS,
    NUM_VERTICES,
    ManoModel,
    Mean,
    Prediction,
)

Compare = Callable[[Prediction, Truth, ManoModel, Float[Array, "*b"]], dict[str, Mean]]
AXES = ("MPJPE-XY", "MPJPE-Z", "MPVPE-XY", "MPVPE-Z")
SERVER = (
    *("PA-MPJPE", "PA-MPVPE", "PA-F@5", "PA-F@15", "PA-AUC-J", "PA-AUC-V"),
    *("MPJPE", "MPVPE", "F@5", "F@15", "AUC-J", "AUC-V"),
)
SERVER_UNITS = "mm (F and AUC from 0 to 1)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way to compare, and what it needs.

    Attributes:
        name: on the command line.
        compare: the comparison of a batch.
        counts: the records it looks at, in words.
        essential: metrics without which a figure of this protocol is none.
        columns: of its tables, in order.
        two_hands: whether it needs pictures of two hands.
        units: of its figures.
        submission: whether its benchmark has a server with a format of its own.
        root: joint that plots of single joints are relative to.
        tips: which vertices are fingertips (``mano.joints.FINGERTIPS``).
        of_mesh: whether true joints are regressed from the fitted mesh.
    """

    name: str
    compare: Compare
    counts: str
    essential: tuple[str, ...]
    columns: tuple[str, ...]
    two_hands: bool = False
    units: str = "mm"
    submission: bool = False
    root: int = WRIST
    tips: str = INTERWILD_TIPS
    of_mesh: bool = False


_ALL = (
    Protocol(
        name="wrist",
        compare=two_hands.wrist,
        counts="hands with 3D joints and a visible wrist",
        essential=("MPJPE",),
        columns=(
            *("MPJPE", "MPVPE", "MRRPE", "RRVE", "PA-MPJPE", "PA-MPVPE", *AXES),
            *("MPJPE/single", "MPJPE/interacting"),
            *("MPVPE/single", "MPVPE/interacting"),
        ),
    ),
    Protocol(
        name="mcp",
        root=CANONICAL.MIDDLE_BASE,
        tips=INTAGHAND_TIPS,
        of_mesh=True,
        compare=two_hands.mcp,
        counts="pictures of two hands that both have meshes",
        essential=("MPJPE", "MPVPE"),
        columns=("MPJPE", "MPVPE", "MRRPE", "PA-MPJPE", "PA-MPVPE", *AXES),
        two_hands=True,
    ),
    Protocol(
        name="mcp_scaled",
        root=CANONICAL.MIDDLE_BASE,
        tips=INTAGHAND_TIPS,
        of_mesh=True,
        compare=functools.partial(two_hands.mcp, scaled=True),
        counts="pictures of two hands that both have meshes",
        essential=("MPJPE", "MPVPE"),
        columns=("MPJPE", "MPVPE", "MRRPE", "PA-MPJPE", "PA-MPVPE", *AXES),
        two_hands=True,
    ),
    Protocol(
        name="hic",
        of_mesh=True,
        compare=two_hands.hic,
        counts="hands with meshes",
        essential=("MPVPE",),
        columns=(
            *("MRRPE", "MPJPE", "MPVPE", "RRVE", *AXES),
            *("MPVPE/single", "MPVPE/interacting"),
        ),
    ),
    Protocol(
        name="freihand",
        tips=FREIHAND_TIPS,
        compare=single_hand.freihand,
        counts="right hands with all 3D joints and a mesh",
        essential=("PA-MPJPE", "PA-MPVPE"),
        columns=SERVER,
        units=SERVER_UNITS,
        submission=True,
    ),
    Protocol(
        name="ho3d",
        tips=HO3D_TIPS,
        compare=single_hand.ho3d,
        counts="right hands with all 3D joints and a mesh",
        essential=("PA-MPJPE", "PA-MPVPE"),
        columns=(*SERVER[:2], "ST-MPJPE", *SERVER[2:6], "ST-AUC-J", *SERVER[6:]),
        units=SERVER_UNITS,
        submission=True,
    ),
)
PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def get(name: str) -> Protocol:
    """The named protocol.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise InputError(
            f"There is no protocol {name!r}; choose from {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]


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


def numbers(found: Mapping[str, Mean]) -> dict[str, float]:
    """``figures`` of summed means as numbers, from sums in double precision."""
    wide = {
        name: Mean(np.asarray(mean.total, np.float64), np.asarray(mean.count))
        for name, mean in found.items()
    }
    return {name: float(figure) for name, figure in figures(wide).items()}


def figures(found: Mapping[str, Mean]) -> dict[str, Float[Array, ""]]:
    """Figures of summed means, as a pure function (``vmap`` it over many sums).

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


FLAT = "has no 3D labels"
ONE_HAND = "shows one right hand a picture"
# Datasets of which some protocol can find nothing to compare, and the reason.
ONE_HANDED = {"freihand": ONE_HAND, "ho3d": ONE_HAND}
UNLABELLED = {
    ("coco_wholebody", "train"): FLAT,
    ("coco_wholebody", "test"): FLAT,
    ("ho3d", "test"): "keeps joints and meshes of its evaluation split to its server",
}
OWN_PROTOCOL = {"freihand": "freihand", "ho3d": "ho3d", "hic": "hic"}


def check_fit(protocol: Protocol, *, dataset: str, split: str) -> None:
    """Refuse a protocol that would find nothing to compare in a dataset.

    Args:
        protocol: what is to be computed.
        dataset: name of the set in its metadata, such as ``freihand``.
        split: name of the split.

    Raises:
        InputError: the labels that the protocol needs do not exist.
    """
    reason = UNLABELLED.get((dataset, split))
    if reason is not None:
        hint = (
            "write the estimates for the server instead, with --submission."
            if dataset in PROTOCOLS and PROTOCOLS[dataset].submission
            else "choose a record set with 3D labels."
        )
    elif protocol.two_hands and dataset in ONE_HANDED:
        reason = ONE_HANDED[dataset]
        hint = f"choose --protocol {OWN_PROTOCOL[dataset]} or wrist."
    if reason is not None:
        raise InputError(
            f"Protocol {protocol.name!r} compares {protocol.counts}, but {dataset} "
            f"({split}) {reason}: {hint}"
        )
