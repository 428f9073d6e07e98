"""MediaPipe's hand landmark network, as a backbone and as a whole.

It is an EfficientNet-B0 without squeeze and excitation (Tan and Le, 2019; Zhang et al.,
*MediaPipe Hands*, 2020), with batch norms folded into the convolutions and ReLU6:

| stage | map of a 224² picture | blocks: depthwise kernel, channels inside, channels |
|-------|-----------------------|-----------------------------------------------------|
| 0     | 112 x 112 x 16        | convolution 3, 24; depthwise 3, 24, 16              |
| 1     | 56 x 56 x 24          | 3, 64, 24; 3, 144, 24                               |
| 2     | 28 x 28 x 40          | 5, 144, 40; 5, 240, 40                              |
| 3     | 14 x 14 x 112         | 3, 240, 80; twice 3, 480, 80; 5, 480, 112;          |
|       |                       | twice 5, 672, 112                                   |
| 4     | 7 x 7 x 192           | 5, 672, 192; three times 5, 1152, 192               |
| 5     | 7 x 7 x 1152          | expansion to 1152, depthwise 3                      |
| heads | 1152 numbers          | mean; four dense                                    |

Each of the first five halves the map in its first block. Padding is TensorFlow's: at
each of them cell i lies on pixel 2 i + 1 of the map before it, so that a cell of the
last map lies on the last pixel of its square of the picture instead of the first one.

A regressor needs the stages only (``HandLandmark``); ``LandmarkNetwork`` adds the heads
and gives landmarks and maps in one pass. All that MediaPipe says of a hand is linear in
the mean of the last map, so this holds what it knows of poses in the plainest form.
``weights.mediapipe`` fills both from the file that ships for LiteRT.
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.models import apply
from twohand_jax.models.apply import Network
from twohand_jax.models.backbone import BackboneConfig, Color
from twohand_jax.models.depthwise import depthwise
from twohand_jax.models.layers import Conv, block_output, linear
from twohand_jax.types import NUM_JOINTS

LANDMARK_SIDE = 224  # of MediaPipe's crops, pixels
STEM, POOLED = 24, 1152


class Block(NamedTuple):
    """An inverted residual: its depthwise kernel, and channels inside and after it."""

    kernel: int
    inside: int
    outputs: int


BLOCKS = (
    (Block(3, STEM, 16),),
    (Block(3, 64, 24), Block(3, 144, 24)),
    (Block(5, 144, 40), Block(5, 240, 40)),
    (
        Block(3, 240, 80),
        *(Block(3, 480, 80),) * 2,
        Block(5, 480, 112),
        *(Block(5, 672, 112),) * 2,
    ),
    (Block(5, 672, 192), *(Block(5, 1152, 192),) * 3),
)
STRIDES = tuple(2 ** (stage + 1) for stage in range(len(BLOCKS)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HandLandmarkConfig(BackboneConfig):
    """How much of the network is used, and how much of that is trained.

    Attributes:
        output_stride: pixels of the picture for a cell of the map: 16 for the map of
            112 channels, 32 for that of 192. Stages behind it are left out.
        expanded: the map is that of stage 5, of 1152 channels.
        frozen_stages: so many stages, from the picture on, stay as they are.
    """

    mean: ClassVar[Color] = (0.0, 0.0, 0.0)
    std: ClassVar[Color] = (1.0, 1.0, 1.0)
    output_stride: int
    expanded: bool = False
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        if self.output_stride not in STRIDES:
            raise fields.error(
                self,
                "output_stride",
                f"is {self.output_stride!r}; it must be one of "
                f"{', '.join(map(str, STRIDES))}.",
            )
        if self.expanded and self.output_stride != STRIDES[-1]:
            raise fields.error(
                self,
                "expanded",
                f"is true, but output_stride {self.output_stride} ends before the last "
                f"stage; it must be {STRIDES[-1]}.",
            )
        fields.check(self, frozen_stages=fields.Range(low=0, high=self.stages))

    @property
    def stages(self) -> int:
        """How many of the stages are used."""
        return STRIDES.index(self.output_stride) + 1 + self.expanded

    @property
    def stride(self) -> int:
        """Pixels of the picture, along an axis, for each cell of the map."""
        return self.output_stride

    @property
    def channels(self) -> int:
        """Channels of the map."""
        if self.expanded:
            return POOLED
        return BLOCKS[self.stages - 1][-1].outputs

    @property
    def frozen(self) -> tuple[str, ...]:
        """Parts that are not trained, as beginnings of their parameters' paths."""
        return tuple(f"stages/{stage}/" for stage in range(self.frozen_stages))

    def build(self, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> "HandLandmark":
        """The network."""
        return HandLandmark(self, dtype=dtype, rngs=rngs)


class Depthwise(nnx.Module):
    """Convolution of each channel by itself, and ReLU6."""

    def __init__(
        self,
        channels: int,
        kernel: int,
        *,
        stride: int,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        drawn = jax.random.normal(rngs.params(), (kernel, kernel, channels))
        self.kernel = nnx.Param(2**0.5 / kernel * drawn)
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
        """Convolve; sums are float32, so that many small terms keep their digits."""
        kernel = self.kernel[...].astype(self.dtype)
        y = depthwise(x.astype(self.dtype), kernel, self.stride)
        return jax.nn.relu6(y + self.bias[...]).astype(self.dtype)


class InvertedResidual(nnx.Module):
    """Expand, convolve each channel, contract; plus the input where shapes allow it."""

    def __init__(
        self,
        inputs: int,
        block: Block,
        *,
        stride: int,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.expand = Conv(inputs, block.inside, 1, bias=True, dtype=dtype, rngs=rngs)
        self.depthwise = Depthwise(
            block.inside, block.kernel, stride=stride, dtype=dtype, rngs=rngs
        )
        self.contract = Conv(
            block.inside, block.outputs, 1, bias=True, dtype=dtype, rngs=rngs
        )
        self.adds = stride == 1 and inputs == block.outputs

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """The block's map."""
        y = self.contract(self.depthwise(jax.nn.relu6(self.expand(x))))
        return block_output(x + y if self.adds else y)


class Stem(nnx.Module):
    """The first stage: its expansion is a convolution of the picture."""

    def __init__(self, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        (block,) = BLOCKS[0]
        self.expand = Conv(
            3, block.inside, 3, stride=2, bias=True, same=True, dtype=dtype, rngs=rngs
        )
        self.depthwise = Depthwise(
            block.inside, block.kernel, stride=1, dtype=dtype, rngs=rngs
        )
        self.contract = Conv(
            block.inside, block.outputs, 1, bias=True, dtype=dtype, rngs=rngs
        )

    def __call__(self, image: Float[Array, "b h w 3"]) -> Float[Array, "b i j c"]:
        """The first map."""
        y = self.contract(self.depthwise(jax.nn.relu6(self.expand(image))))
        return block_output(y)


class Stage(nnx.Module):
    """Blocks of one resolution, half the one before."""

    def __init__(self, stage: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        inputs, blocks = BLOCKS[stage - 1][-1].outputs, []
        for index, block in enumerate(BLOCKS[stage]):
            stride = 2 if index == 0 else 1
            blocks.append(
                InvertedResidual(inputs, block, stride=stride, dtype=dtype, rngs=rngs)
            )
            inputs = block.outputs
        self.blocks = nnx.List(blocks)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """All blocks in turn."""
        for block in self.blocks:
            x = block(x)
        return x


class Expansion(nnx.Module):
    """The last stage: expand, and convolve each channel."""

    def __init__(self, inputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.expand = Conv(inputs, POOLED, 1, bias=True, dtype=dtype, rngs=rngs)
        self.depthwise = Depthwise(POOLED, 3, stride=1, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        """The map whose mean the landmarks are read from."""
        return block_output(self.depthwise(jax.nn.relu6(self.expand(x))))


class HandLandmark(nnx.Module):
    """The stages: from pictures, RGB in [0, 1], to the map of the last of them."""

    def __init__(self, config: HandLandmarkConfig, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        blocks = range(1, config.stages - config.expanded)
        later: list[nnx.Module] = [
            Stage(stage, dtype=dtype, rngs=rngs) for stage in blocks
        ]
        if config.expanded:
            inputs = BLOCKS[-1][-1].outputs
            later.append(Expansion(inputs, dtype=dtype, rngs=rngs))
        self.stages = nnx.List([Stem(dtype=dtype, rngs=rngs), *later])
        self.frozen_stages = config.frozen_stages

    def __call__(
        self, image: Float[Array, "b h w 3"], *, frozen: bool
    ) -> Float[Array, "b i j d"]:
        """Features at 1 / stride of the input's size.

        Args:
            image: pictures.
            frozen: no batch norm is left to ask for it.
        """
        x = image
        for stage in self.stages[: self.frozen_stages]:
            x = stage(x)
        return self.resume(jax.lax.stop_gradient(x))

    def resume(self, features: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """The last map, from that of the last frozen stage.

        The frozen stages are MediaPipe's, whoever runs them: their map is one of
        ``HandLandmarks.maps``, or a tensor of LiteRT's.
        """
        x = features
        for stage in self.stages[self.frozen_stages :]:
            x = stage(x)
        return x

    def maps(self, image: Float[Array, "b h w 3"]) -> list[Float[Array, "b i j d"]]:
        """The map of each stage."""
        maps, x = [], image
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class HandLandmarks(NamedTuple):
    """What MediaPipe's network says of a crop, and the maps it says it from.

    Attributes:
        points: joints; x and y in pixels of the crop from edge to edge, z in such
            pixels behind the wrist.
        presence: probability that the crop holds a hand.
        right: probability that it is a right hand.
        world: joints in metres about the hand's centre, the crop's axes.
        maps: of each stage, from the finest on.
    """

    points: Float[Array, "b 21 3"]
    presence: Float[Array, "b"]
    right: Float[Array, "b"]
    world: Float[Array, "b 21 3"]
    maps: list[Float[Array, "b i j d"]]


class LandmarkHeads(nnx.Module):
    """From the last map to landmarks."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.right = linear(POOLED, 1, rngs=rngs)
        self.presence = linear(POOLED, 1, rngs=rngs)
        self.points = linear(POOLED, NUM_JOINTS * 3, rngs=rngs)
        self.world = linear(POOLED, NUM_JOINTS * 3, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[
        Float[Array, "b 21 3"],
        Float[Array, "b"],
        Float[Array, "b"],
        Float[Array, "b 21 3"],
    ]:
        """Points, presence, right and world, see ``HandLandmarks``."""
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return (
            self.points(pooled).reshape(-1, NUM_JOINTS, 3),
            jax.nn.sigmoid(self.presence(pooled))[:, 0],
            jax.nn.sigmoid(self.right(pooled))[:, 0],
            self.world(pooled).reshape(-1, NUM_JOINTS, 3),
        )


class LandmarkNetwork(nnx.Module):
    """All of MediaPipe's network: all stages and the heads."""

    def __init__(self, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        config = HandLandmarkConfig(output_stride=STRIDES[-1], expanded=True)
        self.image = config.build(dtype=dtype, rngs=rngs)
        self.heads = LandmarkHeads(rngs=rngs)

    def __call__(
        self, image: Float[Array, "b 224 224 3"], *, train: bool = False
    ) -> HandLandmarks:
        """Landmarks and the stages' maps in one pass.

        Args:
            image: crops, RGB in [0, 1], fingers up.
            train: nothing here depends on it.
        """
        maps = self.image.maps(image)
        return HandLandmarks(*self.heads(maps[-1]), maps)


def network() -> Network:
    """MediaPipe's network as pure functions, float32."""
    return apply.network(
        lambda rngs: LandmarkNetwork(dtype=jnp.dtype("float32"), rngs=rngs)
    )
