"""Sapiens (Khirodkar et al., ECCV 2024): ViT backbone and dense heads (METHOD §3)."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax.errors import InputError
from twohand_jax.models.layers import Conv, Deconv, linear

NORM_EPSILON = 1e-5


POSE, SEGMENTATION, DEPTH, NORMALS = "pose", "segmentation", "depth", "normals"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SapiensConfig:
    """Every size of a network; the defaults are the released 0.3B pose network's.

    Attributes:
        kind: "pose", "segmentation", "depth" or "normals".
        image: height and width of its pictures in pixels.
        patch: side of the patches in pixels.
        patch_shift: rows and columns of zeros before the first patch (the released
            pose and normal networks pad their patch convolution by 2).
        width, layers, heads, mlp: of the Transformer.
        deconvs: channels of the transposed convolutions, each of which doubles the map.
        convs: channels of the 1x1 convolutions after them.
        outputs: keypoints, classes, 1, or a normal's 3.
        dtype: "float32" or "bfloat16" activations.
    """

    kind: str = POSE
    image: tuple[int, int] = (1024, 768)
    patch: int = 16
    patch_shift: int = 2
    width: int = 1024
    layers: int = 24
    heads: int = 16
    mlp: int = 4096
    deconvs: tuple[int, ...] = (768, 768)
    convs: tuple[int, ...] = (768, 768)
    outputs: int = 308
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.dtype not in DTYPES:
            raise InputError(
                f"A Sapiens network of the kind {self.kind!r} and dtype {self.dtype!r} "
                f"does not exist; kinds are {', '.join(KINDS)}, dtypes "
                f"{', '.join(DTYPES)}."
            )
        if self.width % self.heads or any(side % self.patch for side in self.image):
            raise InputError(
                f"A Sapiens network of width {self.width} with {self.heads} heads, for "
                f"pictures of {self.image} in patches of {self.patch}, does not divide "
                "evenly."
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.image[0] // self.patch, self.image[1] // self.patch

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the maps."""
        factor = 2 ** len(self.deconvs)
        return self.grid[0] * factor, self.grid[1] * factor


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
    return ((wide - mean) * jax.lax.rsqrt(variance + NORM_EPSILON)).astype(x.dtype)


class Sapiens(nnx.Module):
    """A whole network."""

    def __init__(self, config: SapiensConfig, *, rngs: nnx.Rngs):
        self.backbone = Backbone(config, rngs=rngs)
        self.head = Head(config, rngs=rngs)

    def __call__(
        self, image: Float[Array, "b h w 3"], *, train: bool = False
    ) -> Float[Array, "b i j k"]:
        """Heat maps, class scores, depth or normals, float32.

        Args:
            image: RGB, normalised (``cues.sapiens.normalise_image``).
            train: without effect: there is neither dropout nor a running statistic.
        """
        return self.head(self.backbone(image))


KINDS = (POSE, SEGMENTATION, DEPTH, NORMALS)
DTYPES = ("float32", "bfloat16")
SIZES = {  # width, layers, heads, mlp
    "0.3b": (1024, 24, 16, 4096),
    "0.6b": (1280, 32, 16, 5120),
    "1b": (1536, 40, 24, 6144),
    "2b": (1920, 48, 32, 7680),
}
HEADS = {  # channels of the transposed and of the 1x1 convolutions
    POSE: ((768, 768), (768, 768)),
    SEGMENTATION: ((768, 768, 768), (768, 768, 768)),
    DEPTH: ((384, 384, 384, 384), (384, 384)),
    NORMALS: ((768, 768, 768), (768, 768, 768)),
}
OUTPUTS = {POSE: (308, 133), SEGMENTATION: (28,), DEPTH: (1,), NORMALS: (3,)}
PATCH_SHIFT = {POSE: 2, SEGMENTATION: 0, DEPTH: 0, NORMALS: 2}


def released(
    kind: str, size: str, *, outputs: int | None = None, dtype: str = "float32"
) -> SapiensConfig:
    """The config of one of the released networks.

    Args:
        kind: one of ``KINDS``.
        size: one of ``SIZES``.
        outputs: number of keypoints, 308 or 133; None is the kind's first.
        dtype: of the activations.
    """
    width, layers, heads, mlp = SIZES[size]
    deconvs, convs = HEADS[kind]
    return SapiensConfig(
        kind=kind,
        patch_shift=PATCH_SHIFT[kind],
        width=width,
        layers=layers,
        heads=heads,
        mlp=mlp,
        deconvs=deconvs,
        convs=convs,
        outputs=OUTPUTS[kind][0] if outputs is None else outputs,
        dtype=dtype,
    )


def size_name(config: SapiensConfig) -> str:
    """Which of ``SIZES`` a network has, or its width and layers."""
    own = (config.width, config.layers, config.heads, config.mlp)
    named = [name for name, size in SIZES.items() if size == own]
    return named[0] if named else f"{config.width}x{config.layers}"


EPSILON = 1e-6


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

    def __init__(self, config: SapiensConfig, *, rngs: nnx.Rngs):
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


def _norm(config: SapiensConfig, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
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

    def __init__(self, config: SapiensConfig, *, rngs: nnx.Rngs):
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
    image: Float[Array, "b h w 3"], config: SapiensConfig
) -> Float[Array, "b i j n"]:
    """Pixels of each patch, row by row, channels last."""
    (rows, columns), side, shift = config.grid, config.patch, config.patch_shift
    moved = jnp.pad(image, ((0, 0), (shift, 0), (shift, 0), (0, 0)))
    moved = moved[:, : rows * side, : columns * side]
    split = moved.reshape(-1, rows, side, columns, side, 3)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(-1, rows, columns, 3 * side**2)
