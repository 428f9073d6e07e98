"""Fusion of image and cue tokens by a Transformer encoder (METHOD §4)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from twohand_jax import fields
from twohand_jax.models.layers import block_output, linear


@dataclasses.dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Size of the encoder; the paper gives none.

    ``width`` is a multiple of ``heads`` and of 4, for sines and cosines of x and y.
    """

    layers: int = 4
    width: int = 512
    heads: int = 8
    mlp: int = 2048

    def __post_init__(self) -> None:
        every = dict.fromkeys(fields.names(self), fields.COUNT)
        fields.check(self, **every)
        if self.width % self.heads:
            raise fields.error(
                self,
                "heads",
                f"is {self.heads}, which does not divide the width {self.width}.",
            )
        if self.width % 4:
            raise fields.error(
                self, "width", f"is {self.width}; it must be a multiple of 4."
            )


def waves(side: int, width: int) -> Float[Array, "n d"]:
    """Sines and cosines of x and y, from which the learned positions start.

    Tokens of one place in different maps are alike from the first step, so attention
    finds them soon.
    """
    frequencies = jnp.pi / side * 2.0 ** jnp.linspace(0.0, 3.0, width // 4)
    phases = jnp.arange(side)[:, None] * frequencies
    axis = jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)
    y, x = jnp.broadcast_arrays(axis[:, None], axis[None])
    return jnp.concatenate([x, y], axis=-1).reshape(side * side, -1)


class EncoderLayer(nnx.Module):
    """Pre-norm encoder layer with ReLU, as ``torch.nn.TransformerEncoderLayer``."""

    def __init__(self, config: FusionConfig, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        width = config.width
        self.norm_attention = nnx.LayerNorm(width, epsilon=1e-5, dtype=dtype, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            num_heads=config.heads,
            in_features=width,
            decode=False,
            dtype=dtype,
            rngs=rngs,
        )
        # Keys start as queries: a token first attends to those like it, which are the
        # other maps' tokens of the same place (see ``waves``).
        self.attention.key.kernel = nnx.Param(self.attention.query.kernel[...])
        self.norm_mlp = nnx.LayerNorm(width, epsilon=1e-5, dtype=dtype, rngs=rngs)
        self.expand = linear(width, config.mlp, dtype=dtype, rngs=rngs)
        self.contract = linear(config.mlp, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Attend, then transform each token."""
        x = x + self.attention(self.norm_attention(x))
        mlp = self.contract(jax.nn.relu(self.expand(self.norm_mlp(x))))
        return block_output(x + mlp)


class Fusion(nnx.Module):
    """Projects each map to tokens, marks place and kind, encodes, returns the image's.

    The tokens of a missing cue are replaced by a learned one **[decision]**.
    """

    def __init__(
        self,
        config: FusionConfig,
        *,
        channels: tuple[int, ...],
        tokens: int,
        outputs: int,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        width, kinds = config.width, len(channels)

        def table(*shape: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))

        self.project = nnx.List(
            [linear(c, width, dtype=dtype, rngs=rngs) for c in channels]
        )
        self.position = nnx.Param(waves(math.isqrt(tokens), width))
        self.kind = table(kinds, width)
        if kinds > 1:  # checkpoints hold no empty arrays
            self.missing = table(kinds - 1, width)
        self.layers = nnx.List(
            [EncoderLayer(config, dtype=dtype, rngs=rngs) for _ in range(config.layers)]
        )
        self.norm = nnx.LayerNorm(width, epsilon=1e-5, dtype=dtype, rngs=rngs)
        self.output = linear(width, outputs, dtype=dtype, rngs=rngs)
        self.dtype = dtype

    def __call__(
        self, maps: list[Float[Array, "b i j c"]], present: Bool[Array, "b k"]
    ) -> Float[Array, "b i j d"]:
        """Fused feature map of the image.

        Args:
            maps: features of the image first, then of each cue.
            present: whether each cue exists.
        """
        grid = maps[0].shape[1:3]
        sequences = []
        for index, (features, project) in enumerate(
            zip(maps, self.project, strict=True)
        ):
            tokens = project(features.reshape(features.shape[0], -1, features.shape[3]))
            if index > 0:
                here = present[:, index - 1, None, None]
                absent = self.missing[...][index - 1].astype(self.dtype)
                tokens = jnp.where(here, tokens, absent)
            place = self.position[...] + self.kind[...][index]
            sequences.append(tokens + place.astype(self.dtype))
        x = jnp.concatenate(sequences, axis=1)
        for layer in self.layers:
            x = layer(x)
        image = self.norm(x[:, : grid[0] * grid[1]])
        return self.output(image).reshape(x.shape[0], *grid, -1)
