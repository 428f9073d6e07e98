"""Published figures to print beside ours, and how far their protocol is known.

All are copied from METHOD §8, which takes them from the tables of the paper and of its
successor; those print other methods' figures beside their own without saying how each
was measured. METHOD §7: IntagHand and ACR measure InterHand2.6M by ``mcp`` (with or
without scale is not said), and the tables as a whole very probably do.
"""

import dataclasses
from collections.abc import Mapping

TWO_HAND_COLUMNS = ("MRRPE", "MPJPE", "MPVPE")
INTERHAND_COLUMNS = (
    *(*TWO_HAND_COLUMNS, "MPJPE/interacting", "MPVPE/interacting"),
    *("MPJPE/single", "MPVPE/single"),
)
FREIHAND_COLUMNS = ("PA-MPJPE", "PA-MPVPE")
ABLATION_COLUMNS = (*TWO_HAND_COLUMNS, "MPJPE-XY", "MPJPE-Z", "MPVPE-XY", "MPVPE-Z")

PAPER = (
    "Robust two-hand reconstruction with additional 2D information and diffusion "
    "prior, 2024"
)
SUCCESSOR = (
    "From 2D Alignment to 3D Plausibility: Unifying Heterogeneous 2D Priors and "
    "Penetration-Free Diffusion for Occlusion-Robust Two-Hand Reconstruction, CVPR 2026"
)
MOON = (
    "InterHand2.6M: A Dataset and Baseline for 3D Interacting Hand Pose Estimation "
    "from a Single RGB Image, ECCV 2020"
)
ZHANG = (
    "Interacting Two-Hand 3D Pose and Shape Reconstruction from Single Color Image, "
    "ICCV 2021"
)
INTAGHAND = (
    "Interacting Attention Graph for Single Image Two-Hand Reconstruction, CVPR 2022"
)
ACR = (
    "ACR: Attention Collaboration-Based Regressor for Arbitrary Two-Hand "
    "Reconstruction, CVPR 2023"
)
INTERWILD = (
    "Bringing Inputs to Shared Domains for 3D Interacting Hands Recovery in the Wild, "
    "CVPR 2023"
)
REN = (
    "Decoupled Iterative Refinement Framework for Interacting Hands Reconstruction "
    "from a Single RGB Image, ICCV 2023"
)
FOUR_D_HANDS = (
    "4DHands: Reconstructing Interactive Hands in 4D with Transformers, "
    "arXiv 2405.20330, 2024"
)
METRO = "End-to-End Human Pose and Mesh Reconstruction with Transformers, CVPR 2021"
MESH_GRAPHORMER = "Mesh Graphormer, ICCV 2021"
AMVUR = (
    "A Probabilistic Attention Model with Occlusion-Aware Texture Regression for 3D "
    "Hand Reconstruction from a Single RGB Image, CVPR 2023"
)
HAMER = "Reconstructing Hands in 3D with Transformers, CVPR 2024"
SIMPLE_HAND = "A Simple Baseline for Efficient Hand Mesh Reconstruction, CVPR 2024"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """A row of a published table.

    Attributes:
        method: its name there.
        source: title, venue and year of the method's paper.
        dataset: name of the record set, as in its metadata.
        protocol: name of the protocol of METHOD §7.
        certain: whether it was surely measured so; otherwise it is only probable.
        figures: of the metrics that are printed, millimetres.
        decimals: that are printed.
    """

    method: str
    source: str
    dataset: str
    protocol: str
    certain: bool
    figures: Mapping[str, float]
    decimals: int = 2


def _interhand(
    method: str, source: str, *figures: float | None, certain: bool = False
) -> Published:
    """A row on InterHand2.6M; None where the table has no figure."""
    columns = INTERHAND_COLUMNS[: len(figures)]
    return Published(
        method=method,
        source=source,
        dataset="interhand26m",
        protocol="mcp",
        certain=certain,
        figures={
            name: figure
            for name, figure in zip(columns, figures, strict=True)
            if figure is not None
        },
    )


def _hic(method: str, source: str, *figures: float) -> Published:
    return Published(
        method=method,
        source=source,
        dataset="hic",
        protocol="hic",
        certain=False,
        figures=dict(zip(TWO_HAND_COLUMNS, figures, strict=True)),
    )


def _freihand(method: str, source: str, *figures: float) -> Published:
    return Published(
        method=method,
        source=source,
        dataset="freihand",
        protocol="freihand",
        certain=True,
        figures=dict(zip(FREIHAND_COLUMNS, figures, strict=True)),
        decimals=1,
    )


def _ablation(method: str, *figures: float) -> Published:
    return Published(
        method=method,
        source=PAPER,
        dataset="interhand26m",
        protocol="mcp",
        certain=False,
        figures=dict(zip(ABLATION_COLUMNS, figures, strict=True)),
    )


INTERHAND = (
    _interhand("Moon et al. 2020", MOON, None, 13.98, None, 16.02, None, 12.16),
    _interhand(
        *("Zhang et al. 2021", ZHANG, None, 11.58, 12.04, 11.28, 12.01, 11.73, 12.06)
    ),
    _interhand(
        *("IntagHand", INTAGHAND, None, 9.95, 10.29, 10.27, 10.53, 9.67, 9.91),
        certain=True,
    ),
    _interhand("ACR", ACR, None, 8.09, 8.29, 9.08, 9.31, 6.85, 7.01, certain=True),
    _interhand("InterWild", INTERWILD, 26.74, 7.85, 8.16),
    _interhand("Ren et al.", REN, 28.98, 7.51, 7.72),
    _interhand("4DHands", FOUR_D_HANDS, 24.58, 7.49, 7.72),
    _interhand("the paper", PAPER, 21.80, 5.41, 5.67),
    _interhand("its successor", SUCCESSOR, 21.60, 5.36, 5.58),
)
HIC = (
    _hic("IntagHand", INTAGHAND, 73.04, 20.38, 21.56),
    _hic("InterWild", INTERWILD, 26.43, 15.62, 15.17),
    _hic("4DHands", FOUR_D_HANDS, 25.26, 9.32, 9.93),
    _hic("the paper", PAPER, 22.34, 6.36, 6.62),
    _hic("its successor", SUCCESSOR, 22.24, 6.67, 6.93),
)
FREIHAND = (
    _freihand("METRO", METRO, 6.7, 6.8),
    _freihand("MeshGraphormer", MESH_GRAPHORMER, 6.3, 6.5),
    _freihand("AMVUR", AMVUR, 6.2, 6.1),
    _freihand("HaMeR", HAMER, 6.0, 5.7),
    _freihand("Zhou et al. (SimpleHand)", SIMPLE_HAND, 5.8, 6.1),
    _freihand("the paper", PAPER, 5.1, 5.2),
)
ABLATION = (
    _ablation("baseline", 25.30, 7.77, 7.93, 5.21, 4.54, 5.29, 4.63),
    _ablation("+ keypoints", 24.40, 6.43, 6.67, 4.22, 4.36, 4.35, 4.45),
    _ablation("+ segmentation", 24.20, 6.14, 6.34, 4.12, 4.32, 4.22, 4.41),
    _ablation("+ depth", 21.93, 5.63, 5.92, 4.09, 3.31, 4.15, 3.40),
    _ablation("+ diffusion", 21.80, 5.41, 5.67, 4.02, 3.24, 4.09, 3.34),
)
