"""Measurements of a flat open hand that anthropometric surveys report as well."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull

from data_pipelines.open_hand.order import TIP_INDICES
from data_pipelines.open_hand.rig import FINGERS


def _section(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"], x: float
) -> Float[np.ndarray, "n 2"]:
    """Points (y, z) where the edges of the triangles cross the plane at x."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    edges = np.concatenate([edges, triangles[:, [2, 0]]])
    start, end = vertices[edges[:, 0]], vertices[edges[:, 1]]
    crosses = (start[:, 0] < x) != (end[:, 0] < x)
    start, end = start[crosses], end[crosses]
    share = (x - start[:, 0]) / (end[:, 0] - start[:, 0])
    return (start + share[:, None] * (end - start))[:, 1:]


def measure(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    weights: Float[np.ndarray, "v 16"],
    joints: Float[np.ndarray, "16 3"],
) -> dict[str, float]:
    """Main dimensions of a hand in the flat rest pose, in millimetres.

    Length runs from the wrist joint, which lies level with the wrist crease, to the
    middle fingertip; breadth and circumference are taken across the finger bases
    without the thumb.
    """
    thumb = weights[:, FINGERS["thumb"] :].sum(-1)
    palm = triangles[thumb[triangles].mean(-1) < 0.35]
    knuckles = _section(vertices, palm, float(joints[[1, 4, 7, 10], 0].mean()))
    wrist = _section(vertices, triangles, float(joints[0, 0]))
    result = {
        "hand length": joints[0, 0] - vertices[:, 0].min(),
        "hand breadth": np.ptp(knuckles[:, 1]),
        "hand circumference": ConvexHull(knuckles).area,
        "wrist circumference": ConvexHull(wrist).area,
    }
    for name, first in FINGERS.items():
        tip = vertices[TIP_INDICES[name][0]]
        chain = np.stack([*joints[first : first + 3], tip])
        for k, length in enumerate(np.linalg.norm(np.diff(chain, axis=0), axis=-1)):
            result[f"{name} {k + 1}"] = length
    return {name: 1000 * float(value) for name, value in result.items()}
