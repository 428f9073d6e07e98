"""Where the hands are and how near: a small U-Net for the two cues that are maps.

It sees a square region with both hands and, as two more channels, where each side's
box lies; it answers at half of the region's resolution. Encoder and skips are those of
Ronneberger et al. (MICCAI 2015) with residual blocks, and skips are added, which costs
half as much as joining them.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.errors import InputError
from twohand_jax.models.layers import BatchNorm, Conv, kaiming
from twohand_jax.models.resnet import ResidualBlock

CHANNELS, CLASSES = 5, 3
STRIDE = 2  # of the answer


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegDepthConfig:
    """Sizes of the network.

    Attributes:
        widths: channels of the stages, from half of the region's resolution down.
        depths: residual blocks of the stages; the first stage is the costliest and may
            have none, which leaves the stem's features for its skip.
    """

    widths: tuple[int, ...] = (16, 24, 48, 96, 192)
    depths: tuple[int, ...] = (0, 2, 2, 2, 2)

    def __post_init__(self) -> None:
        fields.check(self, widths=fields.COUNT, depths=fields.NOT_NEGATIVE)
        if not self.widths:
            raise fields.error(self, "widths", "is (); give the width of each stage.")
        if len(self.depths) != len(self.widths):
            raise fields.error(
                self,
                "depths",
                f"is {self.depths}, of length {len(self.depths)}; it needs an entry "
                f"for each of the {len(self.widths)} widths.",
            )
        if 0 in self.depths[1:]:
            raise fields.error(
                self,
                "depths",
                f"is {self.depths}; only the first stage may have no block.",
            )

    @property
    def stride(self) -> int:
        """Pixels of the region, along an axis, for each cell of the coarsest stage."""
        return STRIDE * 2 ** (len(self.widths) - 1)

    def check_sides(self, *sides: int) -> None:
        """Refuse a region that the stages cannot halve evenly.

        Raises:
            InputError: a side is not a multiple of the coarsest stage's stride.
        """
        if any(side % self.stride for side in sides):
            raise InputError(
                f"A segdepth network with {len(self.widths)} stages cannot look at a "
                f"region of {' x '.join(map(str, sides))} pixels (crop_size): it must "
                f"be a multiple of {self.stride}."
            )


class SegDepth(NamedTuple):
    """The network's answer at half of the region's resolution.

    ``logits`` are of background, right and left hand. ``depth`` grows with distance;
    only differences within a picture mean something, and only on the hands.
    """

    logits: Float[Array, "*b i j 3"]
    depth: Float[Array, "*b i j"]


class Rise(nnx.Module):
    """One stage up: enlarged coarse features plus the skip, then a convolution."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.reduce = Conv(inputs, outputs, 1, rngs=rngs)
        self.conv = Conv(outputs, outputs, 3, rngs=rngs)
        self.norm = BatchNorm(outputs, dtype=jnp.dtype(jnp.float32), rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b i j c"],
        skip: Float[Array, "b h w d"],
        *,
        frozen: bool,
    ) -> Float[Array, "b h w d"]:
        """Features as fine as the skip."""
        fine = jnp.repeat(jnp.repeat(self.reduce(x), 2, axis=1), 2, axis=2)
        joined = jax.nn.relu(fine + skip)
        return jax.nn.relu(self.norm(self.conv(joined), use_running_average=frozen))


class SegDepthNetwork(nnx.Module):
    """From a region and the hands' places to label and depth maps."""

    def __init__(self, config: SegDepthConfig, *, rngs: nnx.Rngs):
        real = jnp.dtype(jnp.float32)
        first = config.widths[0]
        self.config = config
        self.stem = Conv(CHANNELS, first, 3, stride=STRIDE, rngs=rngs)
        self.stem_norm = BatchNorm(first, dtype=real, rngs=rngs)
        stages, inputs = [], first
        for index, (width, depth) in enumerate(
            zip(config.widths, config.depths, strict=True)
        ):
            blocks = []
            for block in range(depth):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.append(
                    ResidualBlock(
                        inputs,
                        width,
                        stride=stride,
                        bottleneck=False,
                        dtype=real,
                        rngs=rngs,
                    )
                )
                inputs = width
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        pairs = zip(config.widths[:0:-1], config.widths[-2::-1], strict=True)
        self.rises = nnx.List([Rise(deep, fine, rngs=rngs) for deep, fine in pairs])
        self.head = Conv(first, CLASSES + 1, 1, bias=True, init=kaiming, rngs=rngs)

    def __call__(
        self, region: Float[Array, "b h w 5"], *, train: bool = False
    ) -> SegDepth:
        """Maps of regions.

        Args:
            region: see ``crops.region.network_input``.
            train: normalise with the batch's statistics.
        """
        chex.assert_shape(region, (None, None, None, CHANNELS))
        self.config.check_sides(*region.shape[1:3])
        frozen = not train
        x = jax.nn.relu(self.stem_norm(self.stem(region), use_running_average=frozen))
        skips = []
        for stage in self.stages:
            for block in stage:
                x = block(x, frozen=frozen)
            skips.append(x)
        for rise, skip in zip(self.rises, skips[-2::-1], strict=True):
            x = rise(x, skip, frozen=frozen)
        answer = self.head(x)
        return SegDepth(answer[..., :CLASSES], answer[..., CLASSES])
