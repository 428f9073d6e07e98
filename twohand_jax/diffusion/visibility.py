"""How much of each hand a picture shows: the better-seen hand stays (METHOD §6)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from twohand_jax.geometry import boxes, cameras
from twohand_jax.types import LEFT, RIGHT, Array, ManoModel, Prediction

CELLS = 32  # side of the grid about both hands: a cell is a few millimetres


def visible_area(
    model: ManoModel,
    prediction: Prediction,
    labelled: Float[Array, "*b 2"] | None = None,
) -> Float[Array, "*b 2"]:
    """Visible area of each hand, for comparison within a sample only.

    Args:
        model: hand model.
        prediction: both hands in the camera, any leading batch.
        labelled: areas from ``labelled_area``. Samples in which both are 0, and all
            samples without this argument, get the visible areas of the drawn meshes.
    """
    drawn = drawn_area(model, prediction)
    if labelled is None:
        return drawn
    is_known = jnp.sum(labelled, axis=-1, keepdims=True) > 0
    return jnp.where(is_known, labelled, drawn)


def labelled_area(
    segmentation: UInt8[Array, "*b h w"], present: Bool[Array, "*b"] | bool = True
) -> Float[Array, "*b 2"]:
    """Number of pixels of each hand in a segmentation (``types.Cues``).

    Args:
        segmentation: labels 0 background, 1 right, 2 left; numpy or JAX.
        present: samples that have a segmentation; others get zeros.
    """
    xp = np if isinstance(segmentation, np.ndarray) else jnp
    counts = [xp.sum(segmentation == label, axis=(-2, -1)) for label in (1, 2)]
    areas = xp.stack(counts, axis=-1).astype(xp.float32)
    return xp.where(xp.asarray(present)[..., None], areas, xp.float32(0.0))


def drawn_area(model: ManoModel, prediction: Prediction) -> Float[Array, "*b 2"]:
    """Cells of a coarse grid in which each hand's surface is the nearer one.

    Vertices and middles of the faces are drawn as points into one depth buffer a hand.
    A hand that is not wholly in front of the camera, or has numbers that are not
    finite, is not seen at all.
    """
    vertices = jax.lax.stop_gradient(prediction.geometry.vertices)
    batch = vertices.shape[:-3]
    points = jnp.concatenate([vertices, _middles(model, vertices)], axis=-2)
    in_front = jnp.isfinite(points).all((-2, -1)) & (points[..., 2] > 0).all(-1)
    points = jnp.where(in_front[..., None, None], points, 1.0)
    camera = jax.tree.map(lambda leaf: leaf[..., None, :], prediction.camera)
    pixels = jax.lax.stop_gradient(cameras.project(points, camera))
    shown = jnp.broadcast_to(in_front[..., None], pixels.shape[:-1])
    area = boxes.from_points(pixels.reshape(*batch, -1, 2), shown.reshape(*batch, -1))
    side = jnp.max(boxes.size(area), axis=-1)[..., None, None, None]
    corner = area[..., None, None, :2]
    cells = (pixels - corner) / jnp.maximum(side, 1e-6) * CELLS
    column, row = jnp.moveaxis(jnp.clip(cells, 0, CELLS - 1).astype(jnp.int32), -1, 0)
    depth = jnp.where(shown, points[..., 2], jnp.inf)
    right, left = jnp.moveaxis(_nearest_depth(row * CELLS + column, depth), -2, 0)
    counts = [jnp.sum(right < left, axis=-1), jnp.sum(left < right, axis=-1)]
    return jnp.stack(counts, axis=-1).astype(jnp.float32)


def _middles(
    model: ManoModel, vertices: Float[Array, "*b 2 778 3"]
) -> Float[Array, "*b 2 1538 3"]:
    sides = [
        jnp.mean(vertices[..., side, :, :][..., model.faces[side], :], axis=-2)
        for side in (RIGHT, LEFT)
    ]
    return jnp.stack(sides, axis=-3)


def _nearest_depth(
    cell: Array, depth: Float[Array, "*b 2 n"]
) -> Float[Array, "*b 2 c"]:
    """The least depth in each cell of each hand; infinite where there is none."""
    flat = cell.reshape(-1, cell.shape[-1])
    hand = jnp.arange(len(flat))[:, None]
    blank = jnp.full((len(flat), CELLS * CELLS), jnp.inf, depth.dtype)
    drawn = blank.at[hand, flat].min(depth.reshape(flat.shape))
    return drawn.reshape(*depth.shape[:-1], CELLS * CELLS)
