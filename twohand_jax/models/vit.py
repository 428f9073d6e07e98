"""A vision Transformer (Dosovitskiy et al., ICLR 2021): pictures to tokens on a grid.

Sapiens and HaMeR share it; they differ in sizes and in names of weights.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax.models.layers import linear

DTYPES = ("float32", "bfloat16")
EPSILON = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class VitConfig:
    """Sizes of a vision Transformer.

    Attributes:
        image: height and width of its pictures in pixels.
        patch: side of the patches in pixels.
        patch_shift: rows and columns of zeros before the first patch: the padding of
            the convolution that makes tokens of patches.
        width, layers, heads, mlp: of the Transformer.
        dtype: "float32" or "bfloat16" activations.
    """

    image: tuple[int, int] = (1024, 768)
    patch: int = 16
    patch_shift: int = 0
    width: int = 1024
    layers: int = 24
    heads: int = 16
    mlp: int = 4096
    dtype: str = "float32"

    @property
    def divides(self) -> bool:
        """Whether heads share the width, and patches the picture, evenly."""
        sides = any(side % self.patch for side in self.image)
        return not (self.width % self.heads or sides)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.image[0] // self.patch, self.image[1] // self.patch


def attend(
    query: Float[Array, "b n h d"],
    key: Float[Array, "b n h d"],
    value: Float[Array, "b n h d"],
) -> Float[Array, "b n h d"]:
    """Softmax attention of all tokens to all.

    In half precision on a GPU by cuDNN's fused kernel. Elsewhere one head at a time:
    the scores of all heads of 3072 tokens would be 600 MB a picture, those of one stay
    in the cache, which measured 3.6 times as fast on a CPU.
    """
    if jax.default_backend() == "gpu" and query.dtype != jnp.float32:
        return _fused(query, key, value)

    def one(head: tuple[Array, Array, Array]) -> Array:
        q, k, v = head
        scores = query.shape[-1] ** -0.5 * jnp.einsum(
            "bqd,bkd->bqk", q, k, preferred_element_type=jnp.float32
        )
        weights = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
        total = jnp.sum(weights, axis=-1, keepdims=True)
        mixed = jnp.einsum("bqk,bkd->bqd", weights.astype(v.dtype), v)
        return (mixed / total).astype(v.dtype)

    by_head = tuple(jnp.moveaxis(x, -2, 0) for x in (query, key, value))
    return jnp.moveaxis(jax.lax.map(one, by_head), 0, -2)


def _fused(query: Array, key: Array, value: Array) -> Array:
    """The fused kernel, with heads padded to the multiple of 8 that it wants."""
    size = query.shape[-1]
    pad = [(0, 0)] * 3 + [(0, -size % 8)]
    mixed = jax.nn.dot_product_attention(
        *(jnp.pad(x, pad) for x in (query, key, value)),
        scale=size**-0.5,
        implementation="cudnn",
    )
    return mixed[..., :size]


class TransformerBlock(nnx.Module):
    """A pre-norm Transformer layer."""

    def __init__(self, config: VitConfig, *, rngs: nnx.Rngs):
        width, dtype = config.width, jnp.dtype(config.dtype)
        self.heads = config.heads
        self.norm_attention = _norm(config, rngs=rngs)
        self.qkv = linear(width, 3 * width, dtype=dtype, rngs=rngs)
        self.mix = linear(width, width, dtype=dtype, rngs=rngs)
        self.norm_mlp = _norm(config, rngs=rngs)
        self.expand = linear(width, config.mlp, dtype=dtype, rngs=rngs)
        self.contract = linear(config.mlp, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Attend, then transform each token."""
        batch, count, width = x.shape
        parts = self.qkv(self.norm_attention(x))
        parts = parts.reshape(batch, count, 3, self.heads, -1)
        mixed = attend(parts[:, :, 0], parts[:, :, 1], parts[:, :, 2])
        x = x + self.mix(mixed.reshape(batch, count, width))
        hidden = jax.nn.gelu(self.expand(self.norm_mlp(x)), approximate=False)
        return x + self.contract(hidden)


def _norm(config: VitConfig, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        config.width,
        epsilon=EPSILON,
        dtype=jnp.dtype(config.dtype),
        use_fast_variance=False,
        rngs=rngs,
    )


class Backbone(nnx.Module):
    """Patches to tokens on a grid.

    The weights of all blocks are stacked and the blocks run as one scan, so that 48 of
    them compile as fast as one.
    """

    def __init__(self, config: VitConfig, *, rngs: nnx.Rngs):
        @nnx.split_rngs(splits=config.layers)
        @nnx.vmap(in_axes=0, out_axes=0)
        def stacked(rngs: nnx.Rngs) -> TransformerBlock:
            return TransformerBlock(config, rngs=rngs)

        self.config = config
        rows, columns = config.grid
        self.patches = linear(
            3 * config.patch**2, config.width, dtype=jnp.dtype(config.dtype), rngs=rngs
        )
        place = 0.02 * jax.random.normal(rngs.params(), (rows, columns, config.width))
        self.positions = nnx.Param(place)
        self.blocks = stacked(rngs)
        self.norm = _norm(config, rngs=rngs)

    def __call__(
        self, image: Float[Array, "b h w 3"], *, train: bool = False
    ) -> Float[Array, "b i j d"]:
        """Tokens after the last norm, each at its patch's place.

        Args:
            image: RGB, normalised.
            train: without effect: there is neither dropout nor a running statistic.
        """
        chex.assert_shape(image, (None, *self.config.image, 3))
        x = self.patches(_cut_patches(image, self.config))
        x = x + self.positions[...].astype(x.dtype)
        graph, weights = nnx.split(self.blocks)

        def block(tokens: Array, own: nnx.State) -> tuple[Array, None]:
            return nnx.merge(graph, own)(tokens), None

        tokens = x.reshape(x.shape[0], -1, x.shape[-1])
        tokens, _ = jax.lax.scan(block, tokens, weights)
        return self.norm(tokens).reshape(x.shape)


def _cut_patches(
    image: Float[Array, "b h w 3"], config: VitConfig
) -> Float[Array, "b i j n"]:
    """Pixels of each patch, row by row, channels last."""
    (rows, columns), side, shift = config.grid, config.patch, config.patch_shift
    moved = jnp.pad(image, ((0, 0), (shift, 0), (shift, 0), (0, 0)))
    moved = moved[:, : rows * side, : columns * side]
    split = moved.reshape(-1, rows, side, columns, side, 3)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(-1, rows, columns, 3 * side**2)
