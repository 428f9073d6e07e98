"""InterWild's heads for one hand (Moon, CVPR 2023; METHOD §4)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax.models.layers import (
    BatchNorm,
    Conv,
    Standardise,
    conv_init,
    linear,
)
from twohand_jax.types import NUM_JOINTS

IDENTITY_6D = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], np.float32)


def soft_argmax(logits: Float[Array, "b z y x j"]) -> Float[Array, "b j 3"]:
    """Expected cell (x, y, z) of each joint's heat map."""
    heat = jax.nn.softmax(
        logits.reshape(logits.shape[0], -1, logits.shape[-1]), axis=1
    ).reshape(logits.shape)
    expected = []
    for axis in (3, 2, 1):
        others = tuple(a for a in (1, 2, 3) if a != axis)
        marginal = jnp.sum(heat, axis=others)
        cells = jnp.arange(logits.shape[axis], dtype=heat.dtype)
        expected.append(jnp.einsum("bcj,c->bj", marginal, cells))
    return jnp.stack(expected, axis=-1)


def sample(
    features: Float[Array, "b h w c"], cells: Float[Array, "b n 2"]
) -> Float[Array, "b n c"]:
    """Bilinear samples at (x, y) cells, as a product with two hat functions.

    Points outside the map fade to zero within one cell.
    """
    height, width = features.shape[1:3]
    x = jnp.maximum(0.0, 1.0 - jnp.abs(cells[..., :1] - jnp.arange(width)))
    y = jnp.maximum(0.0, 1.0 - jnp.abs(cells[..., 1:] - jnp.arange(height)))
    weights = (y[..., :, None] * x[..., None, :]).astype(features.dtype)
    return jnp.einsum("bnhw,bhwc->bnc", weights, features)


class Summary(nnx.Module):
    """What the mean of the picture's own map says of a hand, in one hidden layer.

    A backbone that was trained to find hands knows their pose there already; the way
    through the fusion has to learn it anew.
    """

    def __init__(self, channels: int, width: int, *, rngs: nnx.Rngs):
        self.standardise = Standardise(channels)
        self.hidden = linear(channels, width, rngs=rngs)

    def __call__(
        self, features: Float[Array, "b h w c"], *, frozen: bool
    ) -> Float[Array, "b d"]:
        """The hidden layer, float32."""
        pooled = jnp.mean(features.astype(jnp.float32), axis=(1, 2))
        return jax.nn.relu(self.hidden(self.standardise(pooled, frozen=frozen)))


class HandHeads(nnx.Module):
    """Joints in 2.5D, rotations, shape and camera from one hand's feature map.

    All but the joints are also told the ``summary`` of the picture, where there is one.
    """

    def __init__(
        self,
        *,
        channels: int,
        rotation_channels: int,
        depth_cells: int,
        camera_range: float,
        position_std: float,
        conv_std: float | None = None,
        summary: int = 0,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.depth_cells = depth_cells
        self.camera_range = camera_range
        self.position = Conv(
            channels,
            NUM_JOINTS * depth_cells,
            1,
            bias=True,
            init=nnx.initializers.normal(position_std),
            dtype=dtype,
            rngs=rngs,
        )
        self.squeeze = Conv(
            channels,
            rotation_channels,
            1,
            bias=True,
            init=conv_init(conv_std),
            dtype=dtype,
            rngs=rngs,
        )
        self.squeeze_norm = BatchNorm(rotation_channels, dtype=dtype, rngs=rngs)
        flat = NUM_JOINTS * (rotation_channels + 3) + summary
        self.orient = linear(
            flat, 6, std=0.01, bias=jnp.asarray(IDENTITY_6D), rngs=rngs
        )
        self.pose = linear(
            flat, 90, std=0.01, bias=jnp.tile(IDENTITY_6D, 15), rngs=rngs
        )
        self.shape = linear(channels + summary, 10, std=0.01, rngs=rngs)
        self.camera = linear(channels + summary, 3, std=0.01, rngs=rngs)

    def __call__(
        self,
        features: Float[Array, "b h w c"],
        summary: Float[Array, "b d"],
        *,
        frozen: bool,
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Joints (b, 21, 3) in cells, root 6D, pose 6D, shape, camera translation."""
        batch, height, width, _ = features.shape
        logits = self.position(features).astype(jnp.float32)
        logits = logits.reshape(batch, height, width, NUM_JOINTS, self.depth_cells)
        joints = soft_argmax(jnp.transpose(logits, (0, 4, 1, 2, 3)))
        squeezed = self.squeeze_norm(self.squeeze(features), use_running_average=frozen)
        fixed = jax.lax.stop_gradient(joints)
        sampled = sample(jax.nn.relu(squeezed), fixed[..., :2]).astype(jnp.float32)
        pooled = jnp.mean(features, axis=(1, 2)).astype(jnp.float32)
        pooled = jnp.concatenate([pooled, summary], axis=-1)
        flat = jnp.concatenate([sampled, fixed], axis=-1).reshape(batch, -1)
        flat = jnp.concatenate([flat, summary], axis=-1)
        raw = self.camera(pooled)
        depth = self.camera_range * jax.nn.sigmoid(raw[:, 2:])
        return (
            joints,
            self.orient(flat),
            self.pose(flat).reshape(batch, 15, 6),
            self.shape(pooled),
            jnp.concatenate([raw[:, :2], depth], axis=-1),
        )
