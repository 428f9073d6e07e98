"""Conversions between rotation representations, smooth wherever they can be.

Every function takes any leading batch. Singular points (zero angle, half turn) carry
finite gradients: the guarded branch is chosen by the double ``where`` idiom.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax import switches

HIGHEST = jax.lax.Precision.HIGHEST


def axis_angle_to_matrix(
    axis_angle: Float[Array, "*b 3"],
) -> Float[Array, "*b 3 3"]:
    """Rodrigues' formula in the form ``I + a K + b K²``, Taylor-expanded near zero."""
    chex.assert_shape(axis_angle, (..., 3))
    squared = jnp.sum(axis_angle**2, axis=-1)
    small = squared < 1e-6
    safe = jnp.where(small, 1.0, squared)
    angle = jnp.sqrt(safe)
    sine = jnp.where(small, 1.0 - squared / 6.0, jnp.sin(angle) / angle)
    cosine = jnp.where(small, 0.5 - squared / 24.0, (1.0 - jnp.cos(angle)) / safe)
    x, y, z = axis_angle[..., 0], axis_angle[..., 1], axis_angle[..., 2]
    sx, sy, sz = sine * x, sine * y, sine * z
    cxy, cxz, cyz = cosine * x * y, cosine * x * z, cosine * y * z
    cxx, cyy, czz = cosine * x * x, cosine * y * y, cosine * z * z
    entries = [
        [1.0 - cyy - czz, cxy - sz, cxz + sy],
        [cxy + sz, 1.0 - cxx - czz, cyz - sx],
        [cxz - sy, cyz + sx, 1.0 - cxx - cyy],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in entries], axis=-2)


def matrix_to_quaternion(matrix: Float[Array, "*b 3 3"]) -> Float[Array, "*b 4"]:
    """Unit quaternion (w, x, y, z), w >= 0, by the largest of Shepperd's four forms."""
    chex.assert_shape(matrix, (..., 3, 3))
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    candidates = [
        (1 + xx + yy + zz, _shepperd(m, 0)),
        (1 + xx - yy - zz, _shepperd(m, 1)),
        (1 - xx + yy - zz, _shepperd(m, 2)),
        (1 - xx - yy + zz, _shepperd(m, 3)),
    ]
    squares = jnp.stack([square for square, _ in candidates], axis=-1)
    best = jnp.argmax(squares, axis=-1)
    rows = jnp.stack([row for _, row in candidates], axis=-2)
    row = jnp.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    quaternion = row / jnp.linalg.norm(row, axis=-1, keepdims=True)
    return jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def _shepperd(m: Float[Array, "*b 3 3"], which: int) -> Float[Array, "*b 4"]:
    """Four times the quaternion times its component ``which``."""
    w = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0]]
    w += [m[..., 1, 0] - m[..., 0, 1]]
    xy = m[..., 0, 1] + m[..., 1, 0]
    xz = m[..., 0, 2] + m[..., 2, 0]
    yz = m[..., 1, 2] + m[..., 2, 1]
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    rows = [
        [1 + xx + yy + zz, w[0], w[1], w[2]],
        [w[0], 1 + xx - yy - zz, xy, xz],
        [w[1], xy, 1 - xx + yy - zz, yz],
        [w[2], xz, yz, 1 - xx - yy + zz],
    ]
    return jnp.stack(rows[which], axis=-1)


def quaternion_to_axis_angle(
    quaternion: Float[Array, "*b 4"],
) -> Float[Array, "*b 3"]:
    """Axis-angle in [0, π] of a unit quaternion (w, x, y, z)."""
    chex.assert_shape(quaternion, (..., 4))
    quaternion = jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, xyz = quaternion[..., 0], quaternion[..., 1:]
    squared = jnp.sum(xyz**2, axis=-1)
    small = squared < 1e-10
    sine = jnp.sqrt(jnp.where(small, 1.0, squared))
    factor = jnp.where(small, 2.0, 2.0 * jnp.arctan2(sine, w) / sine)
    return factor[..., None] * xyz


def matrix_to_axis_angle(matrix: Float[Array, "*b 3 3"]) -> Float[Array, "*b 3"]:
    """Axis-angle with an angle in [0, π]; accurate at zero and at π."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def rotation_6d_to_matrix(six: Float[Array, "*b 6"]) -> Float[Array, "*b 3 3"]:
    """Gram-Schmidt on the first two *rows* (Zhou et al., CVPR 2019, eq. 15)."""
    chex.assert_shape(six, (..., 6))
    first = _normalize(six[..., :3])
    overlap = jnp.sum(first * six[..., 3:], axis=-1, keepdims=True)
    second = _normalize(six[..., 3:] - overlap * first)
    return jnp.stack([first, second, jnp.cross(first, second)], axis=-2)


def matrix_to_rotation_6d(matrix: Float[Array, "*b 3 3"]) -> Float[Array, "*b 6"]:
    """The first two rows of the matrix."""
    chex.assert_shape(matrix, (..., 3, 3))
    return matrix[..., :2, :].reshape(*matrix.shape[:-2], 6)


def rotation_z(angle: Float[Array, "*b"]) -> Float[Array, "*b 3 3"]:
    """Rotation about the optical axis; positive is x towards y, clockwise as seen."""
    zero = jnp.zeros_like(angle)
    return axis_angle_to_matrix(jnp.stack([zero, zero, angle], axis=-1))


@switches.promotions()
def mirror_axis_angle(axis_angle: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    """The rotation seen in a mirror that negates x."""
    chex.assert_shape(axis_angle, (..., 3))
    return axis_angle * jnp.array([1.0, -1.0, -1.0], axis_angle.dtype)


def angle_between(
    first: Float[Array, "*b 3 3"], second: Float[Array, "*b 3 3"]
) -> Float[Array, "*b"]:
    """Geodesic distance of two rotations in radians; its gradient at 0 is 0."""
    chex.assert_shape([first, second], (..., 3, 3))
    relative = jnp.einsum("...ji,...jk->...ik", first, second, precision=HIGHEST)
    squared = jnp.sum(matrix_to_axis_angle(relative) ** 2, axis=-1)
    apart = squared > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0)


def _normalize(vector: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    squared = jnp.sum(vector**2, axis=-1, keepdims=True)
    return vector * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
