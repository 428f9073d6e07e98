"""The labels of a batch as comparisons want them, and how hard each record is."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from twohand_jax import mano, metrics
from twohand_jax.geometry import boxes
from twohand_jax.mano.joint_set import JointSet
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Array,
    HandGeometry,
    ManoModel,
    Prediction,
    Targets,
)


class Truth(NamedTuple):
    """Labels, and what follows from them.

    Attributes:
        targets: the labels.
        hands: the fits, each posed with its ``transl`` taken away: what is relative to
            a root in the end is compared near the origin, where float32 rounds less.
        overlap: of the hands' boxes (``box_overlap``); None where only a
            protocol's figures are wanted.
        occluded: share of joints that the other hand hides (``occlusion_share``),
            likewise.
    """

    targets: Targets
    hands: HandGeometry
    overlap: Float[Array, "*b"] | None = None
    occluded: Float[Array, "*b 2"] | None = None


def posed_truth(targets: Targets, model: ManoModel) -> Truth:
    """Labels with their fits posed, for any leading batch."""
    nowhere = jnp.zeros_like(targets.mano.transl)
    return Truth(targets, mano.forward(model, targets.mano._replace(transl=nowhere)))


@jax.jit
def batch_truth(targets: Targets, model: ManoModel) -> Truth:
    """Labels of a batch with all that follows, a jitted program of its own.

    A program apart writes the posed hands to memory; as part of a comparison XLA would
    pose them again in each of its sums.
    """

    def one(targets: Targets) -> Truth:
        return posed_truth(targets, model)._replace(
            overlap=box_overlap(targets),
            occluded=occlusion_share(targets, model),
        )

    return jax.vmap(one)(targets)


def near_origin(geometry: HandGeometry) -> HandGeometry:
    """Each hand relative to its first vertex (or joint, without a mesh).

    Half a metre away float32 rounds to 6e-5 mm, and differently in batches of another
    size; what is relative to a root in the end is computed here, where it rounds less.
    """
    points = geometry.joints if geometry.vertices is None else geometry.vertices
    first = points[..., :1, :]
    return jax.tree.map(lambda place: place - first, geometry)


def compared_joints(
    model: ManoModel, geometry: HandGeometry, joints: JointSet
) -> Float[Array, "*b 2 21 3"]:
    """Joints to compare: the protocol's, or as they are where there is no surface."""
    if geometry.vertices is None:
        return geometry.joints
    return joints.of(model, geometry)


def joint_errors(
    joints: Float[Array, "*b 2 21 3"],
    truth: Truth,
    model: ManoModel,
    *,
    root: int,
    joint_set: JointSet,
    of_mesh: bool,
) -> Float[Array, "*b 2 21"]:
    """Distance of each joint relative to the root (mm), NaN where it has no label.

    Args:
        joints: estimates, any frame.
        truth: labels.
        model: hand model.
        root: joint that is subtracted.
        joint_set: the protocol's joints of a mesh.
        of_mesh: whether the truth is taken from the fitted mesh, as the estimate is,
            or is the dataset's own.
    """
    targets = truth.targets
    hands = targets.hand_valid[..., None]
    if of_mesh:
        target = joint_set.of(model, truth.hands)
        known = targets.mano_valid[..., None] & hands
    else:
        target = targets.joints_3d
        known = targets.joints_3d_valid & hands
        known &= known[..., root : root + 1]
    errors = metrics.point_errors(
        metrics.relative(joints, joints[..., root, :]),
        metrics.relative(target, target[..., root, :]),
    )
    return jnp.where(known, errors, jnp.nan)


def vertex_errors(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    *,
    root: int,
    joint_set: JointSet,
) -> Float[Array, "*b 2"]:
    """Mean distance of the vertices relative to the root (mm).

    NaN without a fit, and everywhere for a method without meshes.
    """
    targets = truth.targets
    if prediction.geometry.vertices is None:
        return jnp.full(targets.hand_valid.shape, jnp.nan)
    placed = (
        metrics.relative(hand.vertices, joint_set.of(model, hand)[..., root, :])
        for hand in (prediction.geometry, truth.hands)
    )
    mean = jnp.mean(metrics.point_errors(*placed), axis=-1)
    return jnp.where(targets.mano_valid & targets.hand_valid, mean, jnp.nan)


Planes = tuple[Array, Array, Array]


def box_overlap(targets: Targets) -> Float[Array, "*b"]:
    """Intersection over union of the two hands' boxes; NaN where a hand is missing."""
    both = jnp.all(targets.hand_valid, axis=-1)
    shared = boxes.iou(targets.box[..., RIGHT, :], targets.box[..., LEFT, :])
    return jnp.where(both, shared, jnp.nan)


def occlusion_share(targets: Targets, model: ManoModel) -> Float[Array, "*b 2"]:
    """Share of each hand's 21 joints that the other hand hides from the camera.

    Of the fitted meshes: a joint is hidden when the line of sight to it passes through
    the other hand's surface first. A hand's own fingers do not count. NaN where either
    hand has no fit.
    """
    known = jnp.all(targets.hand_valid & targets.mano_valid, axis=-1)
    truth = mano.forward(model, targets.mano)
    hidden = jnp.stack(
        [hidden_by(truth, model.faces, side) for side in (RIGHT, LEFT)], axis=-2
    )
    share = jnp.mean(hidden.astype(jnp.float32), axis=-1)
    return jnp.where(known[..., None], share, jnp.nan)


def hidden_by(
    geometry: HandGeometry, faces: Int[Array, "2 f 3"], side: int
) -> Bool[Array, "*b 21"]:
    """Which joints of a hand lie behind the other hand's surface.

    The ray from the camera (the origin) to a joint d meets the triangle a, b, c at
    t·d, where t = a·(b×c) over the sum of the three edges' volumes d·(a×b), d·(b×c)
    and d·(c×a), if these have the same sign.
    """
    rays = _coordinates(geometry.joints[..., side, :, None, :])
    mesh = geometry.vertices[..., 1 - side, :, :]
    a, b, c = (
        _coordinates(mesh[..., None, faces[1 - side, :, corner], :])
        for corner in range(3)
    )
    edges = _cross(a, b), _cross(b, c), _cross(c, a)
    first, second, third = (_dot(rays, edge) for edge in edges)
    meets = (first > 0) & (second > 0) & (third > 0)
    meets |= (first < 0) & (second < 0) & (third < 0)
    total = first + second + third
    place = _dot(a, edges[1]) / jnp.where(meets, total, 1.0)
    return jnp.any(meets & (place > 0) & (place < 1), axis=-1)


# A plane for each coordinate: the tests of all rays with all triangles are then one
# loop without tables between its steps.
def _coordinates(points: Float[Array, "*b 3"]) -> Planes:
    return points[..., 0], points[..., 1], points[..., 2]


def _cross(first: Planes, second: Planes) -> Planes:
    (x, y, z), (u, v, w) = first, second
    return y * w - z * v, z * u - x * w, x * v - y * u


def _dot(first: Planes, second: Planes) -> Array:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]
