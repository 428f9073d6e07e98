"""Sapiens (Khirodkar et al., ECCV 2024): ViT backbone and dense heads (METHOD §3).

One definition serves all four sizes and three kinds: heat maps of keypoints, classes
of body parts, relative depth. It takes normalised pictures and gives the maps; what
comes before and after lives in ``cues.sapiens``.

Sapiens2 is left out. Its seams: a backbone with the same output, tokens on a grid, in
the place of ``vit.Backbone``; a second table of names in ``weights.sapiens``; its 29
classes (6 left hand, 15 right hand) in ``cues.sapiens_sets.HAND_CLASSES``.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax.models.layers import Conv
from twohand_jax.models.sapiens_config import SapiensConfig
from twohand_jax.models.vit import Backbone

EPSILON = 1e-5


class Deconv(nnx.Module):
    """PyTorch's transposed convolution of kernel 4, stride 2 and padding 1, no bias.

    Each of the four pixels that take the place of one sees 2x2 pixels of the input, so
    all four are the channels of one 2x2 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        spread = jax.nn.initializers.normal((4 * inputs) ** -0.5)
        self.kernel = nnx.Param(spread(rngs.params(), (4, 4, inputs, outputs)))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """A map of twice the size."""
        batch, height, width, inputs = x.shape
        phases = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self._phases().astype(self.dtype),
            (1, 1),
            [(1, 1), (1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ).reshape(batch, height + 1, width + 1, 2, 2, -1)
        rows = jnp.stack([phases[:, :-1, :, 0], phases[:, 1:, :, 1]], axis=2)
        both = jnp.stack([rows[:, :, :, :-1, 0], rows[:, :, :, 1:, 1]], axis=4)
        return both.reshape(batch, 2 * height, 2 * width, -1)

    def _phases(self) -> Float[Array, "2 2 c n"]:
        """The 2x2 convolution's kernel: flipped, tap 2 t + p is tap t of phase p."""
        inputs, outputs = self.kernel.shape[2:]
        taps = self.kernel[...][::-1, ::-1].reshape(2, 2, 2, 2, inputs, outputs)
        return taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, inputs, 4 * outputs)


class Head(nnx.Module):
    """Tokens to maps: transposed convolutions, 1x1 convolutions, the maps' own."""

    def __init__(self, config: SapiensConfig, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(config.dtype)
        widths = (config.width, *config.deconvs, *config.convs)
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        count = len(config.deconvs)
        self.deconvs = nnx.List(
            [Deconv(i, o, dtype=dtype, rngs=rngs) for i, o in pairs[:count]]
        )
        self.convs = nnx.List(
            [Conv(i, o, 1, bias=True, dtype=dtype, rngs=rngs) for i, o in pairs[count:]]
        )
        self.output = Conv(
            widths[-1], config.outputs, 1, bias=True, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j k"]:
        """The maps, float32."""
        for layer in (*self.deconvs, *self.convs):
            x = jax.nn.silu(instance_norm(layer(x)))
        return self.output(x).astype(jnp.float32)


def instance_norm(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Each channel of each picture with mean 0 and variance 1, as PyTorch's."""
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axis=(1, 2), keepdims=True)
    variance = jnp.mean((wide - mean) ** 2, axis=(1, 2), keepdims=True)
    return ((wide - mean) * jax.lax.rsqrt(variance + EPSILON)).astype(x.dtype)


class Sapiens(nnx.Module):
    """A whole network."""

    def __init__(self, config: SapiensConfig, *, rngs: nnx.Rngs):
        self.backbone = Backbone(config, rngs=rngs)
        self.head = Head(config, rngs=rngs)

    def __call__(
        self, image: Float[Array, "b h w 3"], *, train: bool = False
    ) -> Float[Array, "b i j k"]:
        """Heat maps, class scores or depth, float32.

        Args:
            image: RGB, normalised (``cues.sapiens_input.normalise``).
            train: without effect: there is neither dropout nor a running statistic.
        """
        return self.head(self.backbone(image))
