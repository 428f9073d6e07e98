"""The paper's regressor: image and cues of both hands to MANO parameters (METHOD §4).

One definition serves the tiny, the shipped and the full network; sizes are config.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.crops import cue_table
from twohand_jax.models.backbone import Color
from twohand_jax.models.fusion import Fusion, FusionConfig
from twohand_jax.models.hand_landmark import HandLandmark, HandLandmarkConfig
from twohand_jax.models.heads import HandHeads, Summary
from twohand_jax.models.resnet import RESNET18, RESNET50, ResNetConfig
from twohand_jax.models.transnet import TransNet, TransNetConfig, place_joints
from twohand_jax.types import Inputs, Output

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressorConfig:
    """Sizes of the network.

    Attributes:
        cues: names of the cues that have an encoder (``crops.cue_table``).
        image: backbone of the picture. Another kind of backbone is a
            ``BackboneConfig`` in this field's union.
        cue: backbone of each cue.
        fusion: Transformer encoder; None to hand the picture's map to the heads as it
            is, for a network without cues, such as InterWild.
        transnet: network of the relative translation; None to derive it from the
            estimated cameras.
        crop_size: side of the crops in pixels.
        cells: side of the feature map and depth of the heat maps.
        cue_shrink: factor by which cues are shrunk before their encoder, by averaging.
        head_channels: channels of the fused map that the heads read.
        rotation_channels: channels that the rotation head samples at the joints.
        summary: width of a layer that gives the heads the mean of the picture's map
            directly, without the fusion; 0 for none. It is meant for frozen backbones.
        position_std: spread of the heat maps' initial weights. A larger one lets the
            rest of a network without pretrained backbones learn from the start.
        conv_std: spread of the initial weights of the other new convolutions, in the
            rotation head and at the start of TransNet; None for Kaiming's.
        camera_range: k in ``t_z = k sigmoid(.)``, metres.
        image_mean: mean of RGB in [0, 1] that is subtracted; None for the backbone's.
        image_std: deviation by which RGB is divided; None for the backbone's.
        frozen_norm: whether batch norm uses its running statistics in training, too.
        dtype: type of activations, "float32" or "bfloat16"; weights are float32.
        remat: whether training stores only the blocks' outputs for the backward pass
            and computes the rest again, which takes less memory and more time.
    """

    cues: tuple[str, ...] = cue_table.DEFAULT
    image: ResNetConfig | HandLandmarkConfig = RESNET50
    cue: ResNetConfig = RESNET18
    fusion: FusionConfig | None = FusionConfig()
    transnet: TransNetConfig | None = TransNetConfig()
    crop_size: int = 256
    cells: int = 8
    cue_shrink: int = 1
    head_channels: int = 2048
    rotation_channels: int = 512
    summary: int = 0
    position_std: float = 0.001
    conv_std: float | None = None
    camera_range: float = 11.71875
    image_mean: Color | None = None
    image_std: Color | None = None
    frozen_norm: bool = False
    dtype: str = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        cue_table.check_field(self, "cues")
        if self.cues != cue_table.in_order(self.cues):
            raise fields.error(
                self,
                "cues",
                f"is {self.cues!r}; each cue stands once, in the order "
                f"{cue_table.in_order(self.cues)}.",
            )
        fields.check(
            self,
            crop_size=fields.COUNT,
            cells=fields.COUNT,
            cue_shrink=fields.COUNT,
            head_channels=fields.COUNT,
            rotation_channels=fields.COUNT,
            summary=fields.Range(low=0),
            position_std=fields.NOT_NEGATIVE,
            conv_std=fields.POSITIVE,
            camera_range=fields.POSITIVE,
            image_mean=fields.Range(),
            image_std=fields.POSITIVE,
            dtype=DTYPES,
        )
        if self.fusion is None:
            self._check_alone()
        if self.crop_size % self.cue_shrink:
            raise fields.error(
                self,
                "cue_shrink",
                f"is {self.cue_shrink}, which does not divide crop_size "
                f"{self.crop_size}.",
            )
        strides = {"image": self.image.stride}
        if self.cues:
            strides["cue"] = self.cue.stride * self.cue_shrink
        for name, stride in strides.items():
            cells = -(-self.crop_size // stride)
            if cells != self.cells:
                raise fields.error(
                    self,
                    "cells",
                    f"is {self.cells}, but {name} (stride {stride}) makes "
                    f"{cells} of crop_size {self.crop_size}; change cells, crop_size "
                    f"or the stride of {name}.",
                )

    def _check_alone(self) -> None:
        """Without fusion the heads read the map of the picture."""
        if self.cues:
            raise fields.error(
                self, "fusion", f"is None, but the cues {self.cues!r} need one."
            )
        if self.head_channels != self.image.channels:
            raise fields.error(
                self,
                "head_channels",
                f"is {self.head_channels}, but image has {self.image.channels} "
                "channels, which the heads read where fusion is None.",
            )

    @property
    def frozen(self) -> tuple[str, ...]:
        """Prefixes of the paths of parameters that are not trained."""
        return tuple(f"image/{part}" for part in self.image.frozen)


def shrink(image: Float[Array, "b h w c"], factor: int) -> Float[Array, "b i j c"]:
    """Means of ``factor`` by ``factor`` pixels."""
    batch, height, width, channels = image.shape
    squares = image.reshape(
        batch, height // factor, factor, width // factor, factor, channels
    )
    return jnp.mean(squares, axis=(2, 4)) if factor > 1 else image


class Regressor(nnx.Module):
    """Network from ``Inputs`` to ``Output``."""

    def __init__(self, config: RegressorConfig, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(config.dtype)
        self.config = config
        self.image = config.image.build(dtype=dtype, rngs=rngs)
        number = len(config.cues)
        self.cues = nnx.List(
            [config.cue.build(dtype=dtype, rngs=rngs) for _ in range(number)]
        )
        if config.fusion is not None:
            self.fusion = Fusion(
                config.fusion,
                channels=(config.image.channels, *[config.cue.channels] * number),
                tokens=config.cells**2,
                outputs=config.head_channels,
                dtype=dtype,
                rngs=rngs,
            )
        if config.summary:
            self.summary = Summary(config.image.channels, config.summary, rngs=rngs)
        self.heads = HandHeads(
            channels=config.head_channels,
            rotation_channels=config.rotation_channels,
            depth_cells=config.cells,
            camera_range=config.camera_range,
            position_std=config.position_std,
            conv_std=config.conv_std,
            summary=config.summary,
            dtype=dtype,
            rngs=rngs,
        )
        if config.transnet is not None:
            self.transnet = TransNet(
                config.transnet,
                summary=config.summary,
                conv_std=config.conv_std,
                dtype=dtype,
                rngs=rngs,
            )

    def __call__(self, inputs: Inputs, *, train: bool) -> Output:
        """Estimates of both hands for a batch ``b`` of inputs."""
        config, batch = self.config, inputs.image.shape[0]
        side = config.crop_size
        chex.assert_shape(inputs.image, (None, 2, side, side, 3))
        frozen = config.frozen_norm or not train

        def flat(array: Array) -> Array:
            return array.reshape(batch * 2, *array.shape[2:])

        if inputs.features is None:
            mean = jnp.asarray(config.image_mean or config.image.mean)
            std = jnp.asarray(config.image_std or config.image.std)
            maps = [self.image((flat(inputs.image) - mean) / std, frozen=frozen)]
        else:
            assert isinstance(self.image, HandLandmark), "no other goes on from maps"
            maps = [self.image.resume(flat(inputs.features))]
        none = jnp.zeros((2 * batch, config.cells, config.cells, config.cue.channels))
        present = jnp.zeros((batch, 0), bool)
        for encode, name in zip(self.cues, config.cues, strict=True):
            flag = jnp.zeros(batch, bool)
            if name in inputs.cues:
                small = shrink(flat(inputs.cues[name]), config.cue_shrink)
                maps.append(encode(small, frozen=frozen))
                flag = inputs.present[name]
            else:  # its tokens are those of a missing cue, whatever its map
                maps.append(none.astype(config.dtype))
            present = jnp.concatenate([present, flag[:, None]], axis=-1)
        fused = maps[0]
        if config.fusion is not None:
            fused = self.fusion(maps, jnp.repeat(present, 2, axis=0))
        summary = jnp.zeros((2 * batch, 0))
        if config.summary:
            summary = self.summary(maps[0], frozen=frozen)
        joints, orient, pose, betas, camera = (
            part.reshape(batch, 2, *part.shape[1:])
            for part in self.heads(fused, summary, frozen=frozen)
        )
        rel_trans = self._relative(joints, summary, inputs, frozen)
        return Output(joints, orient, pose, betas, camera, rel_trans)

    def _relative(
        self, joints: Array, summary: Array, inputs: Inputs, frozen: bool
    ) -> Array | None:
        config, grid = self.config, self.config.transnet
        if grid is None:
            return None
        placed = place_joints(
            joints,
            inputs.T_crop_image,
            cell_px=config.crop_size / config.cells,
            cells=config.cells,
            grid=grid.grid,
            depth=grid.depth,
        )
        fixed = jax.lax.stop_gradient((placed, summary.reshape(len(placed), -1)))
        return self.transnet(*fixed, frozen=frozen)
