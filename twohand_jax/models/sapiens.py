"""Sapiens (Khirodkar et al., ECCV 2024): ViT backbone and dense heads (METHOD §3)."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax.errors import InputError
from twohand_jax.models.layers import Conv, Deconv
from twohand_jax.models.vit import DTYPES, Backbone, VitConfig

NORM_EPSILON = 1e-5


POSE, SEGMENTATION, DEPTH, NORMALS = "pose", "segmentation", "depth", "normals"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SapiensConfig(VitConfig):
    """Every size of a network; the defaults are the released 0.3B pose network's.

    The released pose and normal networks pad their patch convolution by 2.

    Attributes:
        kind: "pose", "segmentation", "depth" or "normals".
        deconvs: channels of the transposed convolutions, each of which doubles the map.
        convs: channels of the 1x1 convolutions after them.
        outputs: keypoints, classes, 1, or a normal's 3.
    """

    kind: str = POSE
    patch_shift: int = 2
    deconvs: tuple[int, ...] = (768, 768)
    convs: tuple[int, ...] = (768, 768)
    outputs: int = 308

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.dtype not in DTYPES:
            raise InputError(
                f"A Sapiens network of the kind {self.kind!r} and dtype {self.dtype!r} "
                f"does not exist; kinds are {', '.join(KINDS)}, dtypes "
                f"{', '.join(DTYPES)}."
            )
        if not self.divides:
            raise InputError(
                f"A Sapiens network of width {self.width} with {self.heads} heads, for "
                f"pictures of {self.image} in patches of {self.patch}, does not divide "
                "evenly."
            )

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
