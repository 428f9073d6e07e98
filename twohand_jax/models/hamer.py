"""HaMeR (Pavlakos et al., CVPR 2024): a hand's crop to MANO and a camera (METHOD §4).

A vision Transformer makes tokens of the crop; a Transformer decoder with one token
looks at them and says by how much pose, shape and camera differ from a mean.
"""

import dataclasses
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.geometry import rotations
from twohand_jax.models import vit
from twohand_jax.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from twohand_jax.models.layers import linear
from twohand_jax.models.vit import Backbone, VitConfig
from twohand_jax.types import Inputs, Output

AUTO = "auto"
POSE, SHAPE, CAMERA = 96, 10, 3  # numbers of 16 rotations in 6D, of shape, of camera
NORM_EPSILON = 1e-5
FOCAL = 5000.0 / 256  # of the crop's virtual camera, in sides of the crop


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Sizes of the Transformer decoder.

    Attributes:
        width, layers, heads, mlp: of the Transformer.
        head_width: channels of a head; all heads need not have the width.
    """

    width: int = 1024
    layers: int = 6
    heads: int = 8
    head_width: int = 64
    mlp: int = 1024

    def __post_init__(self) -> None:
        fields.check(self, **dict.fromkeys(fields.names(type(self)), fields.COUNT))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HamerConfig:
    """Sizes of the network; the defaults are the released one's.

    Attributes:
        network: "hamer", which tells a config's ``model`` from a ``RegressorConfig``.
        vit: Transformer of the picture. Of a crop it sees the middle columns.
        decoder: Transformer of the token.
        iterations: how often the token is decoded; each time starts from the last.
        mean_token: whether the token is made of the estimates so far; else of a zero.
        crop_size: side of the crops in pixels.
        cells: the crop's side in the unit of the losses.
        dtype: of the activations: "float32", "bfloat16", or "auto", which is bfloat16
            on accelerators and float32 on a CPU. Weights are float32.
        remat: whether training keeps less for the backward pass (see the regressor's).
    """

    network: Literal["hamer"]
    vit: VitConfig = VitConfig(
        image=(256, 192), patch_shift=2, width=1280, layers=32, mlp=5120
    )
    decoder: DecoderConfig = DecoderConfig()
    iterations: int = 1
    mean_token: bool = False
    crop_size: int = 256
    cells: int = 8
    dtype: str = AUTO
    remat: bool = False

    def __post_init__(self) -> None:
        fields.check(
            self,
            iterations=fields.COUNT,
            crop_size=fields.COUNT,
            cells=fields.COUNT,
            dtype=(AUTO, *vit.DTYPES),
        )
        if not self.vit.divides:
            raise fields.error(
                self, "vit", f"is {self.vit}: patches or heads do not divide evenly."
            )
        height, width = self.vit.image
        if height != self.crop_size or width > height or (height - width) % 2:
            raise fields.error(
                self,
                "vit.image",
                f"is {self.vit.image}; it must be as high as crop_size "
                f"{self.crop_size}, and its width less by an even number.",
            )

    @property
    def cues(self) -> tuple[str, ...]:
        """None: it looks at the picture alone."""
        return ()

    @property
    def frozen(self) -> tuple[str, ...]:
        """None: all weights can be trained."""
        return ()


def activations(dtype: str) -> jnp.dtype:
    """What a config's ``dtype`` is on this machine."""
    on_cpu = jax.default_backend() == "cpu"
    return jnp.dtype({AUTO: "float32" if on_cpu else "bfloat16"}.get(dtype, dtype))


class CrossAttention(nnx.Module):
    """A token looks at all tokens of a picture; keys and values without bias."""

    def __init__(
        self, config: DecoderConfig, context: int, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ):
        inner = config.heads * config.head_width
        self.heads, self.dtype = config.heads, dtype
        self.query = projection(config.width, inner, dtype=dtype, rngs=rngs)
        self.key_value = projection(context, 2 * inner, dtype=dtype, rngs=rngs)
        self.mix = linear(inner, config.width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b d"], context: Float[Array, "b n c"]
    ) -> Float[Array, "b d"]:
        """What the token takes from the picture."""
        batch, count, _ = context.shape
        query = self.query(x).reshape(batch, self.heads, -1)
        parts = self.key_value(context).reshape(batch, count, 2, self.heads, -1)
        scores = query.shape[-1] ** -0.5 * jnp.einsum(
            "bhd,bnhd->bhn",
            query,
            parts[:, :, 0],
            preferred_element_type=jnp.float32,
        )
        weights = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        mixed = jnp.einsum("bhn,bnhd->bhd", weights, parts[:, :, 1])
        return self.mix(mixed.reshape(batch, -1))


class DecoderBlock(nnx.Module):
    """A pre-norm decoder layer of one token.

    Self-attention of a single token gives it its own value, so there are no queries
    and keys of it.
    """

    def __init__(
        self, config: DecoderConfig, context: int, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ):
        width, inner = config.width, config.heads * config.head_width

        def norm() -> nnx.LayerNorm:
            return nnx.LayerNorm(
                width,
                epsilon=NORM_EPSILON,
                dtype=dtype,
                use_fast_variance=False,
                rngs=rngs,
            )

        self.norm_self, self.norm_cross, self.norm_mlp = norm(), norm(), norm()
        self.value = projection(width, inner, dtype=dtype, rngs=rngs)
        self.mix = linear(inner, width, dtype=dtype, rngs=rngs)
        self.cross = CrossAttention(config, context, dtype=dtype, rngs=rngs)
        self.expand = linear(width, config.mlp, dtype=dtype, rngs=rngs)
        self.contract = linear(config.mlp, width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b d"], context: Float[Array, "b n c"]
    ) -> Float[Array, "b d"]:
        """The token, having looked at the picture."""
        x = x + self.mix(self.value(self.norm_self(x)))
        x = x + self.cross(self.norm_cross(x), context)
        hidden = jax.nn.gelu(self.expand(self.norm_mlp(x)), approximate=False)
        return x + self.contract(hidden)


def projection(
    inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs
) -> nnx.Linear:
    """A linear layer without bias."""
    spread = nnx.initializers.normal(inputs**-0.5)
    return nnx.Linear(
        inputs, outputs, use_bias=False, kernel_init=spread, dtype=dtype, rngs=rngs
    )


class Head(nnx.Module):
    """Tokens of a picture to pose in 6D, shape and camera, float32."""

    def __init__(self, config: HamerConfig, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        size, context = config.decoder, config.vit.width
        self.iterations, self.mean_token = config.iterations, config.mean_token
        numbers = POSE + SHAPE + CAMERA
        self.token = linear(
            numbers if config.mean_token else 1, size.width, dtype=dtype, rngs=rngs
        )
        self.position = nnx.Param(jax.random.normal(rngs.params(), (size.width,)))
        self.blocks = nnx.List(
            [
                DecoderBlock(size, context, dtype=dtype, rngs=rngs)
                for _ in range(size.layers)
            ]
        )
        self.pose = linear(size.width, POSE, rngs=rngs)
        self.shape = linear(size.width, SHAPE, rngs=rngs)
        self.camera = linear(size.width, CAMERA, rngs=rngs)
        flat = np.tile(np.array([1, 0, 0, 0, 1, 0], np.float32), POSE // 6)
        mean = np.concatenate([flat, np.zeros(SHAPE), np.array([0.9, 0.0, 0.0])])
        self.mean = nnx.BatchStat(jnp.asarray(mean, jnp.float32))

    def __call__(self, context: Float[Array, "b n c"]) -> Float[Array, "b 109"]:
        """Pose (16 rotations in 6D, the root first), shape and camera."""
        batch = context.shape[0]
        values = jnp.broadcast_to(self.mean[...], (batch, POSE + SHAPE + CAMERA))
        for _ in range(self.iterations):
            given = values if self.mean_token else jnp.zeros((batch, 1))
            token = self.token(given)
            token = token + self.position[...].astype(token.dtype)
            for block in self.blocks:
                token = block(token, context)
            token = token.astype(jnp.float32)
            steps = self.pose(token), self.shape(token), self.camera(token)
            values = values + jnp.concatenate(steps, axis=-1)
        return values


class Hamer(nnx.Module):
    """Network from ``Inputs`` to ``Output``; each hand by itself.

    Heat maps and the relative translation it does not estimate: the translation
    follows from the cameras of both hands.
    """

    def __init__(self, config: HamerConfig, *, rngs: nnx.Rngs):
        dtype = activations(config.dtype)
        sizes = dataclasses.replace(config.vit, dtype=dtype.name)
        self.config = config
        self.backbone = Backbone(sizes, rngs=rngs)
        self.head = Head(config, dtype=dtype, rngs=rngs)

    def __call__(self, inputs: Inputs, *, train: bool) -> Output:
        """Estimates of both hands for a batch ``b`` of inputs.

        Args:
            inputs: of which it sees the picture alone.
            train: without effect: there is neither dropout nor a running statistic.
        """
        side = self.config.crop_size
        batch = inputs.image.shape[0]
        chex.assert_shape(inputs.image, (None, 2, side, side, 3))
        values = self.values(inputs.image.reshape(batch * 2, side, side, 3))
        values = values.reshape(batch, 2, -1)
        pose = rotation_rows(values[..., :POSE])
        shape, camera = jnp.split(values[..., POSE:], [SHAPE], axis=-1)
        return Output(
            joints_25d=None,
            global_orient_6d=pose[..., 0, :],
            hand_pose_6d=pose[..., 1:, :],
            betas=shape,
            camera=full_camera(camera),
            rel_trans=None,
        )

    def values(self, crop: Float[Array, "n s s 3"]) -> Float[Array, "n 109"]:
        """Pose, shape and weak-perspective camera of crops of right hands.

        Args:
            crop: RGB in [0, 1].
        """
        cut = (self.config.crop_size - self.config.vit.image[1]) // 2
        seen = crop[:, :, cut : crop.shape[2] - cut]
        seen = (seen - jnp.asarray(IMAGENET_MEAN)) / jnp.asarray(IMAGENET_STD)
        tokens = self.backbone(seen)
        return self.head(tokens.reshape(len(tokens), -1, tokens.shape[-1]))


def rotation_rows(pose: Float[Array, "*b 96"]) -> Float[Array, "*b 16 6"]:
    """First two rows of each rotation, from what HaMeR has as first two columns."""
    columns = pose.reshape(*pose.shape[:-1], -1, 6)
    R = jnp.swapaxes(rotations.rotation_6d_to_matrix(columns), -1, -2)
    return R[..., :2, :].reshape(columns.shape)


def full_camera(camera: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    """The model's origin in the crop's virtual camera, metres.

    Args:
        camera: of weak perspective: scale (half crops to a metre), and shift along x
            and y, metres.
    """
    scale, shift = camera[..., :1], camera[..., 1:]
    return jnp.concatenate([shift, 2 * FOCAL / (scale + 1e-12)], axis=-1)


class HamerValues(nnx.Module):
    """The network as a function of crops, for one hand."""

    def __init__(self, config: HamerConfig, *, rngs: nnx.Rngs):
        self.network = Hamer(config, rngs=rngs)

    def __call__(
        self, crop: Float[Array, "n s s 3"], *, train: bool = False
    ) -> Float[Array, "n 109"]:
        """Pose, shape and camera; ``train`` is without effect."""
        return self.network.values(crop)
