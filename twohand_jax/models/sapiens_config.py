"""Which Sapiens networks there are, and their sizes (METHOD §3)."""

import dataclasses

from twohand_jax.errors import InputError

POSE, SEGMENTATION, DEPTH = "pose", "segmentation", "depth"
KINDS = (POSE, SEGMENTATION, DEPTH)
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
}
OUTPUTS = {POSE: (308, 133), SEGMENTATION: (28,), DEPTH: (1,)}
PATCH_SHIFT = {POSE: 2, SEGMENTATION: 0, DEPTH: 0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SapiensConfig:
    """Every size of a network; the defaults are the released 0.3B pose network's.

    Attributes:
        kind: "pose", "segmentation" or "depth".
        image: height and width of its pictures in pixels.
        patch: side of the patches in pixels.
        patch_shift: rows and columns of zeros before the first patch (the released
            pose networks pad their patch convolution by 2).
        width, layers, heads, mlp: of the Transformer.
        deconvs: channels of the transposed convolutions, each of which doubles the map.
        convs: channels of the 1x1 convolutions after them.
        outputs: keypoints, classes, or 1.
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
