"""TransNet: the left wrist relative to the right from both hands' 2.5D joints.

The network's input are 3D Gaussian heat maps of all joints of both hands, depth cells
as channels (METHOD §4). A Gaussian is separable, so the first convolution over
2·21·64 channels is computed exactly as one over 2·21 channels whose kernel is weighted
by the depth profile of each sample: 64 times less arithmetic, no heat map volume.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.geometry import affine, boxes
from twohand_jax.models.heads import sample
from twohand_jax.models.layers import BatchNorm, conv_init, linear
from twohand_jax.models.resnet import ResNetConfig, Stages
from twohand_jax.types import NUM_JOINTS


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransNetConfig:
    """Grid, Gaussians and network of TransNet; the defaults are InterWild's.

    ``hidden`` is the width of a layer that sees the numbers themselves, all joints and
    both hands' summaries, beside what their Gaussians say; 0 for none.
    """

    grid: int = 64
    depth: int = 64
    sigma: float = 2.5
    amplitude: float = 255.0
    resnet: ResNetConfig = ResNetConfig()
    hidden: int = 0

    def __post_init__(self) -> None:
        fields.check(
            self,
            grid=fields.COUNT,
            depth=fields.COUNT,
            sigma=fields.POSITIVE,
            amplitude=fields.POSITIVE,
            hidden=fields.Range(low=0),
        )


def place_joints(
    joints_25d: Float[Array, "b 2 21 3"],
    T_crop_image: Float[Array, "b 2 2 3"],
    *,
    cell_px: float,
    cells: int,
    grid: int,
    depth: int,
) -> Float[Array, "b 2 21 3"]:
    """Both hands' joints in one grid over the union of their (grown, square) boxes."""
    crop_px = joints_25d[..., :2] * cell_px
    image_px = affine.apply(affine.invert(T_crop_image), crop_px)
    hands = boxes.around_joints(image_px)
    both = boxes.square(boxes.union(hands[:, 0], hands[:, 1]))
    corner = both[:, None, None, :2]
    side = jnp.maximum(boxes.size(both)[:, :1], 1e-6)[:, None, None]
    planar = (image_px - corner) / side * grid
    return jnp.concatenate([planar, joints_25d[..., 2:] / cells * depth], axis=-1)


class TransNet(nnx.Module):
    """Relative translation of two hands."""

    def __init__(
        self,
        config: TransNetConfig,
        *,
        summary: int = 0,
        conv_std: float | None = None,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.config = config
        self.dtype = dtype
        width = config.resnet.width
        shape = (3, 3, 2 * NUM_JOINTS * config.depth, width)
        self.kernel = nnx.Param(conv_init(conv_std)(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,)))
        self.norm = BatchNorm(width, dtype=dtype, rngs=rngs)
        self.stages = Stages(config.resnet, inputs=width, dtype=dtype, rngs=rngs)
        parts = 2 * (config.resnet.channels + 2) + config.hidden
        if config.hidden:
            numbers = 2 * (NUM_JOINTS * 3 + summary)
            self.hidden = linear(numbers, config.hidden, rngs=rngs)
        self.output = linear(parts, 3, std=0.01, rngs=rngs)

    def __call__(
        self,
        joints: Float[Array, "b 2 21 3"],
        summary: Float[Array, "b d"],
        *,
        frozen: bool,
    ) -> Float[Array, "b 3"]:
        """Left wrist minus right wrist, metres.

        Args:
            joints: joints in grid cells, see ``place_joints``.
            summary: of both hands (``heads.Summary``), only looked at by ``hidden``.
            frozen: normalise with the running statistics.
        """
        heat = self._first(joints) + self.bias[...].astype(self.dtype)
        x = jax.nn.relu(self.norm(heat, use_running_average=frozen))
        x = self.stages(x, frozen=frozen)
        wrists = joints[:, :, 0, :2]
        stride = self.config.grid / x.shape[1]
        sampled = sample(x, wrists / stride).astype(jnp.float32)
        parts = jnp.concatenate([sampled, wrists / stride], axis=-1)
        parts = parts.reshape(parts.shape[0], -1)
        if self.config.hidden:
            size = jnp.array([self.config.grid, self.config.grid, self.config.depth])
            numbers = (4.0 * joints / size - 2.0).reshape(parts.shape[0], -1)
            seen = jnp.concatenate([numbers, summary], axis=-1)
            parts = jnp.concatenate([parts, jax.nn.relu(self.hidden(seen))], axis=-1)
        return self.output(parts)

    def _first(self, joints: Float[Array, "b 2 21 3"]) -> Float[Array, "b g g w"]:
        """The 3x3 convolution of the Gaussian maps, without building them."""
        config, batch = self.config, joints.shape[0]
        flat = joints.reshape(batch, 2 * NUM_JOINTS, 3)

        def profile(values: Array, size: int) -> Array:
            cells = jnp.arange(size, dtype=jnp.float32)
            squared = (cells - values[..., None]) ** 2
            return jnp.exp(-squared / (2 * config.sigma**2))

        gx, gy = profile(flat[..., 0], config.grid), profile(flat[..., 1], config.grid)
        gz = profile(flat[..., 2], config.depth) * config.amplitude
        width = self.kernel.shape[-1]
        kernel = self.kernel[...].reshape(9, 2 * NUM_JOINTS, config.depth, width)
        mixed = jnp.einsum(
            "tjzo,bjz->btjo", kernel.astype(self.dtype), gz.astype(self.dtype)
        )
        taps = [_shift(g.astype(self.dtype)) for g in (gy, gx)]
        patches = jnp.einsum("bjuy,bjvx->byxuvj", *taps)
        patches = patches.reshape(batch, config.grid**2, 9 * 2 * NUM_JOINTS)
        out = jnp.matmul(patches, mixed.reshape(batch, -1, width))
        return out.reshape(batch, config.grid, config.grid, width)


def _shift(profile: Float[Array, "b j n"]) -> Float[Array, "b j 3 n"]:
    """The profile as seen by the three taps of a zero-padded convolution."""
    padded = jnp.pad(profile, ((0, 0), (0, 0), (1, 1)))
    size = profile.shape[-1]
    return jnp.stack([padded[..., i : i + size] for i in range(3)], axis=-2)
