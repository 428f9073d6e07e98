"""ResNets in torchvision's V1.5 geometry (He et al., 2016; stride in the 3x3 layer)."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.models.backbone import BackboneConfig
from twohand_jax.models.layers import BatchNorm, Conv, block_output, max_pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetConfig(BackboneConfig):
    """Shape of a ResNet.

    Attributes:
        depths: number of blocks in each of the four stages.
        width: channels of the first stage (64 in the published networks).
        bottleneck: whether blocks have three layers and a fourfold output (ResNet-50
            and deeper).
        last_stride: stride of the last stage; 1 gives a total stride of 16, for crops
            of 128 pixels.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    bottleneck: bool = False
    last_stride: int = 2

    def __post_init__(self) -> None:
        if not self.depths:
            raise fields.error(
                self, "depths", "is (); give the number of blocks of each stage."
            )
        fields.check(
            self, depths=fields.COUNT, width=fields.COUNT, last_stride=fields.COUNT
        )

    @property
    def stride(self) -> int:
        """Pixels of the picture, along an axis, for each cell of the last stage."""
        halved = 2 ** (len(self.depths) - 1)
        return 4 * (halved if len(self.depths) == 1 else halved // 2 * self.last_stride)

    @property
    def channels(self) -> int:
        """Channels of the last stage."""
        return self.width * 2 ** (len(self.depths) - 1) * (4 if self.bottleneck else 1)

    def build(self, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> "ResNet":
        """The network."""
        return ResNet(self, dtype=dtype, rngs=rngs)


RESNET18 = ResNetConfig()
RESNET50 = ResNetConfig(depths=(3, 4, 6, 3), bottleneck=True)


class ResidualBlock(nnx.Module):
    """A basic or bottleneck residual block."""

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        stride: int,
        bottleneck: bool,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        outputs = width * 4 if bottleneck else width
        plan = (
            [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
            if bottleneck
            else [(inputs, width, 3, stride), (width, width, 3, 1)]
        )
        self.convs = nnx.List(
            [Conv(i, o, k, stride=s, dtype=dtype, rngs=rngs) for i, o, k, s in plan]
        )
        self.norms = nnx.List(
            [BatchNorm(o, dtype=dtype, rngs=rngs) for _, o, _, _ in plan]
        )
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.project = Conv(
                inputs, outputs, 1, stride=stride, dtype=dtype, rngs=rngs
            )
            self.project_norm = BatchNorm(outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b h w c"], *, frozen: bool
    ) -> Float[Array, "b i j d"]:
        """Residual function plus (projected) input."""
        y = x
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y), use_running_average=frozen)
            if index + 1 < len(self.convs):
                y = jax.nn.relu(y)
        if self.projects:
            x = self.project_norm(self.project(x), use_running_average=frozen)
        return block_output(jax.nn.relu(x + y))


class Stages(nnx.Module):
    """The four stages of residual blocks, without the stem."""

    def __init__(
        self, config: ResNetConfig, *, inputs: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ):
        blocks = []
        for stage, depth in enumerate(config.depths):
            width = config.width * 2**stage
            last = stage == len(config.depths) - 1
            stride = 1 if stage == 0 else (config.last_stride if last else 2)
            for index in range(depth):
                blocks.append(
                    ResidualBlock(
                        inputs,
                        width,
                        stride=stride if index == 0 else 1,
                        bottleneck=config.bottleneck,
                        dtype=dtype,
                        rngs=rngs,
                    )
                )
                inputs = width * 4 if config.bottleneck else width
        self.blocks = nnx.List(blocks)

    def __call__(
        self, x: Float[Array, "b h w c"], *, frozen: bool
    ) -> Float[Array, "b i j d"]:
        """All blocks in turn."""
        for block in self.blocks:
            x = block(x, frozen=frozen)
        return x


class ResNet(nnx.Module):
    """Stem and stages; no pooling or classifier."""

    def __init__(self, config: ResNetConfig, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.stem = Conv(3, config.width, 7, stride=2, dtype=dtype, rngs=rngs)
        self.stem_norm = BatchNorm(config.width, dtype=dtype, rngs=rngs)
        self.stages = Stages(config, inputs=config.width, dtype=dtype, rngs=rngs)

    def __call__(
        self, image: Float[Array, "b h w 3"], *, frozen: bool
    ) -> Float[Array, "b i j d"]:
        """Features at 1/32 (or 1/16) of the input's size.

        Args:
            image: normalised pictures.
            frozen: normalise with the running statistics instead of the batch's.
        """
        x = self.stem_norm(self.stem(image), use_running_average=frozen)
        return self.stages(max_pool(jax.nn.relu(x)), frozen=frozen)
