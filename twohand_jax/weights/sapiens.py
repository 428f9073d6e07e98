"""Sapiens' released networks (Khirodkar et al., ECCV 2024) as this library's."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.models.sapiens import (
    DEPTH,
    NORMALS,
    OUTPUTS,
    POSE,
    SEGMENTATION,
    SIZES,
    Sapiens,
    SapiensConfig,
    released,
    size_name,
)
from twohand_jax.weights import layout, native, torch_files
from twohand_jax.weights.layout import Shapes, with_bias
from twohand_jax.weights.torch_files import StateDict

SECTION, ORIGIN = "sapiens", "origin"  # of the config.json


class Loaded(NamedTuple):
    """A network with its weights; ``origin`` names the file they came from."""

    config: SapiensConfig
    variables: Variables
    origin: str


def network(config: SapiensConfig) -> Network:
    """The pure functions of a network."""
    return apply.network(lambda rngs: Sapiens(config, rngs=rngs))


def read(path: str | Path) -> StateDict:
    """The tensors of a released file by name, float32.

    Raises:
        InputError: the file is missing, damaged, or holds anything but tensors.
    """
    if Path(path).suffix == torch_files.SUFFIX or torch_files.is_torchscript(path):
        return torch_files.read_torchscript(path)
    return torch_files.read(path)


def infer(state: StateDict, *, where: str | Path) -> SapiensConfig:
    """Which of the released networks a state dict is of.

    Raises:
        InputError: none that makes one of our cues.
    """
    patches = state.get(f"{PATCHES}.weight")
    widths = {size[0]: name for name, size in SIZES.items()}
    if patches is None or patches.shape[1:] != (3, 16, 16):
        found = "absent" if patches is None else f"{patches.shape}"
        raise InputError(
            f"{where} holds no Sapiens network: the weight '{PATCHES}.weight' is "
            f"{found}, expected (width, 3, 16, 16)."
        )
    if patches.shape[0] not in widths:
        raise InputError(
            f"{where} holds no released Sapiens network: '{PATCHES}.weight' has "
            f"shape {patches.shape}, expected a width of "
            f"{', '.join(map(str, widths))} where it has {patches.shape[0]}."
        )
    kind, outputs = _kind(state, where)
    return released(kind, widths[patches.shape[0]], outputs=outputs)


def _kind(state: StateDict, where: str | Path) -> tuple[str, int]:
    """What the last layer of a network is for, and its number of maps."""
    found = [name for name in dict.fromkeys(LAST.values()) if f"{name}.weight" in state]
    if not found:
        raise InputError(
            f"{where} has no head: neither '{LAST[POSE]}.weight' nor "
            f"'{LAST[DEPTH]}.weight' is there; a pretrained backbone alone makes no "
            "cues: give a pose, segmentation or depth network."
        )
    outputs = (*state[f"{found[0]}.weight"].shape, 0)[0]
    for kind, last in LAST.items():
        if last == found[0] and outputs in OUTPUTS[kind]:
            return kind, outputs
    raise InputError(
        f"{where} makes no cue of hands: '{found[0]}.weight' has {outputs} maps, "
        "expected 308 or 133 (keypoints), 28 (body parts), 1 (depth) or 3 (normals)."
    )


def convert(
    state: StateDict, *, where: str | Path, config: SapiensConfig | None = None
) -> tuple[SapiensConfig, Variables]:
    """Config and variables of ``models.sapiens.Sapiens`` from a state dict.

    Args:
        state: as ``read`` gives it.
        where: the file, for messages.
        config: of the network the weights are for; None infers it.

    Raises:
        InputError: the weights belong to another network.
    """
    config = infer(state, where=where) if config is None else config
    check_layout(state, config, where=where)
    return config, arrange(state, config)


def convert_file(path: str | Path, directory: str | Path) -> SapiensConfig:
    """Write the model directory of a released file; returns what it holds.

    Raises:
        InputError: the file is unusable; nothing is written.
    """
    config, variables = convert(read(path), where=path)
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    save(directory, config, variables, origin=f"{Path(path).name} {digest}")
    return config


def save(
    directory: str | Path,
    config: SapiensConfig,
    variables: Variables,
    *,
    origin: str,
    dtype: str = "float32",
) -> None:
    """Write a network as a model directory.

    Args:
        directory: created when missing.
        config: of the network.
        variables: its weights.
        origin: what they were made from, for provenance.
        dtype: "float32", or "float16" to halve the size.
    """
    content = {SECTION: dataclasses.asdict(config), ORIGIN: origin}
    native.save(directory, variables, content, dtype=dtype)


def load(directory: str | Path, *, dtype: str = "float32") -> Loaded:
    """A network from a model directory.

    Args:
        directory: written by ``twohand weights convert sapiens``.
        dtype: of the activations, "float32" or "bfloat16".

    Raises:
        InputError: the directory holds no Sapiens network, or a damaged one.
    """
    content = native.load_config(directory)
    try:
        fields = dict(content[SECTION])
        for name in ("image", "deconvs", "convs"):
            fields[name] = tuple(fields[name])
        config = SapiensConfig(**{**fields, "dtype": dtype})
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{directory} holds no Sapiens network ({error}); write one with "
            "`twohand weights convert sapiens`."
        ) from error
    variables = native.load(directory, apply.shapes(network(config)))
    return Loaded(config, variables, str(content.get(ORIGIN, "unknown")))


PATCHES = "backbone.patch_embed.projection"
LAST = {  # the layer that gives the maps
    POSE: "head.final_layer",
    SEGMENTATION: "decode_head.conv_seg",
    DEPTH: "decode_head.conv_seg",
    NORMALS: "decode_head.conv_seg",
}
_IGNORED = r"data_preprocessor\..*"
_BLOCK = {  # our module of a block: its name in the release
    "norm_attention": "ln1",
    "qkv": "attn.qkv",
    "mix": "attn.proj",
    "norm_mlp": "ln2",
    "expand": "ffn.layers.0.0",
    "contract": "ffn.layers.1",
}


def released_layout(config: SapiensConfig) -> Shapes:
    """Names and shapes of a network's weights in the release."""
    width, side = config.width, config.patch
    tokens = config.grid[0] * config.grid[1]
    shapes: Shapes = {"backbone.pos_embed": (1, tokens, width)}
    shapes |= with_bias(PATCHES, (width, 3, side, side))
    for layer in range(config.layers):
        for name, shape in _block_shapes(config).items():
            shapes |= with_bias(f"backbone.layers.{layer}.{name}", shape)
    return shapes | with_bias("backbone.ln1", (width,)) | _head_layout(config)


def _block_shapes(config: SapiensConfig) -> Shapes:
    width, hidden = config.width, config.mlp
    return {
        "ln1": (width,),
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "ln2": (width,),
        "ffn.layers.0.0": (hidden, width),
        "ffn.layers.1": (width, hidden),
    }


def _head_layout(config: SapiensConfig) -> Shapes:
    last, inputs = LAST[config.kind], config.width
    shapes: Shapes = {}
    base = last.split(".")[0]
    for index, width in enumerate(config.deconvs):
        shapes[f"{base}.deconv_layers.{3 * index}.weight"] = (inputs, width, 4, 4)
        inputs = width
    for index, width in enumerate(config.convs):
        name = f"{base}.conv_layers.{3 * index}"
        shapes |= with_bias(name, (width, inputs, 1, 1))
        inputs = width
    return shapes | with_bias(last, (config.outputs, inputs, 1, 1))


def check_layout(state: StateDict, config: SapiensConfig, *, where: str | Path) -> None:
    """Refuse weights of another network, with the first that differs.

    Raises:
        InputError: a weight is missing, left over, or of another shape.
    """
    size = size_name(config)
    layout.check(
        state,
        released_layout(config),
        title=f"{where} holds no Sapiens {config.kind} network of size {size}",
        ignored=_IGNORED,
    )


def arrange(state: StateDict, config: SapiensConfig) -> Variables:
    """Variables of ``models.sapiens.Sapiens`` from a state dict that has passed."""
    params = {"backbone": _backbone(state, config), "head": _head(state, config)}
    return Variables(params, {})


def _backbone(state: StateDict, config: SapiensConfig) -> dict[str, Any]:
    return {
        "patches": layout.patches(state, PATCHES),
        "positions": state["backbone.pos_embed"].reshape(*config.grid, config.width),
        "blocks": {
            module: layout.stacked(state, "backbone.layers.{}." + name, config.layers)
            for module, name in _BLOCK.items()
        },
        "norm": layout.norm(state, "backbone.ln1"),
    }


def _conv(state: StateDict, name: str) -> dict[str, np.ndarray]:
    kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
    return {"kernel": kernel, "bias": state[f"{name}.bias"]}


def _head(state: StateDict, config: SapiensConfig) -> dict[str, Any]:
    last = LAST[config.kind]
    base = last.split(".")[0]

    def deconv(index: int) -> np.ndarray:
        weight = state[f"{base}.deconv_layers.{3 * index}.weight"]
        return weight.transpose(2, 3, 0, 1)

    return {
        "deconvs": {str(i): {"kernel": deconv(i)} for i in range(len(config.deconvs))},
        "convs": {
            str(i): _conv(state, f"{base}.conv_layers.{3 * i}")
            for i in range(len(config.convs))
        },
        "output": _conv(state, last),
    }
