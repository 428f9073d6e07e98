"""Least-squares similarity alignment of point sets (Umeyama, 1991)."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

HIGHEST = jax.lax.Precision.HIGHEST


def procrustes(
    source: Float[Array, "*b n 3"],
    target: Float[Array, "*b n 3"],
    valid: Bool[Array, "*b n"] | None = None,
    *,
    allow_reflection: bool = False,
) -> Float[Array, "*b n 3"]:
    """Move the source onto the target by the best scale, rotation and translation.

    Args:
        source: points to move.
        target: points to reach.
        valid: points that determine the motion; all points are moved.
        allow_reflection: whether the motion may mirror the points, as it may in
            FreiHAND's official evaluation.
    """
    chex.assert_equal_shape([source, target])
    chex.assert_shape(source, (..., None, 3))
    if valid is None:
        valid = jnp.ones(source.shape[:-1], bool)
    weight = valid[..., None, :].astype(source.dtype)
    count = jnp.maximum(jnp.sum(weight, axis=-1, keepdims=True), 1.0)
    source, target = (_planes(each) for each in (source, target))
    mean_source = jnp.sum(source * weight, axis=-1, keepdims=True) / count
    mean_target = jnp.sum(target * weight, axis=-1, keepdims=True) / count
    centered, reached = (source - mean_source) * weight, (target - mean_target) * weight
    R, gain = _turn(centered, reached, allow_reflection=allow_reflection)
    spread = jnp.trace(_products(centered, centered), axis1=-2, axis2=-1)
    scale = gain / jnp.maximum(spread, 1e-12)
    columns = (scale[..., None, None] * R)[..., None]
    from_mean = (source - mean_source)[..., None, :, :]
    moved = sum(columns[..., k, :] * from_mean[..., k, :] for k in range(3))
    return jnp.swapaxes(moved + mean_target, -1, -2)


def rotation_onto(
    source: Float[Array, "*b n 3"], target: Float[Array, "*b n 3"]
) -> Float[Array, "*b 3 3"]:
    """The rotation of the best rigid motion of the source onto the target."""
    chex.assert_equal_shape([source, target])
    chex.assert_shape(source, (..., None, 3))
    centered, reached = (
        jnp.swapaxes(points - jnp.mean(points, axis=-2, keepdims=True), -1, -2)
        for points in (source, target)
    )
    R, _ = _turn(centered, reached, allow_reflection=False)
    return R


def _turn(
    centered: Float[Array, "*b 3 n"],
    reached: Float[Array, "*b 3 n"],
    *,
    allow_reflection: bool,
) -> tuple[Float[Array, "*b 3 3"], Float[Array, "*b"]]:
    """The best rotation of centred points, and the sum of their products after it."""
    covariance = _products(reached, centered)
    u, singular, vt = jnp.linalg.svd(covariance)
    flip = jnp.sign(jnp.linalg.det(u) * jnp.linalg.det(vt))
    last = jnp.ones_like(flip) if allow_reflection else flip
    signs = jnp.stack([jnp.ones_like(flip), jnp.ones_like(flip), last], axis=-1)
    R = jnp.einsum("...ij,...j,...jk->...ik", u, signs, vt, precision=HIGHEST)
    return R, jnp.sum(singular * signs, axis=-1)


def _planes(points: Float[Array, "*b n 3"]) -> Float[Array, "*b 3 n"]:
    """Coordinates before points, and so in memory.

    A CPU works along the last axis, and 3 is short. Without the barrier XLA goes back
    to the points wherever it fuses the swap into what uses them.
    """
    return jax.lax.optimization_barrier(jnp.swapaxes(points, -1, -2))


def _products(
    first: Float[Array, "*b 3 n"], second: Float[Array, "*b 3 n"]
) -> Float[Array, "*b 3 3"]:
    return jnp.einsum("...in,...jn->...ij", first, second, precision=HIGHEST)
