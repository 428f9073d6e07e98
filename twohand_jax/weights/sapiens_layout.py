"""Sapiens' released names of weights, their shapes, and where they go here.

For Sapiens2, see ``models.sapiens``: its names would be a second ``layout``.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from twohand_jax.errors import InputError
from twohand_jax.models.apply import Variables
from twohand_jax.models.sapiens_config import (
    DEPTH,
    POSE,
    SEGMENTATION,
    SapiensConfig,
    size_name,
)
from twohand_jax.weights.torch_files import StateDict

PATCHES = "backbone.patch_embed.projection"
LAST = {  # the layer that gives the maps
    POSE: "head.final_layer",
    SEGMENTATION: "decode_head.conv_seg",
    DEPTH: "decode_head.conv_seg",
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
Shapes = dict[str, tuple[int, ...]]


def layout(config: SapiensConfig) -> Shapes:
    """Names and shapes of a network's weights in the release."""
    width, side = config.width, config.patch
    tokens = config.grid[0] * config.grid[1]
    shapes: Shapes = {"backbone.pos_embed": (1, tokens, width)}
    shapes |= _with_bias(PATCHES, (width, 3, side, side))
    for layer in range(config.layers):
        for name, shape in _block_shapes(config).items():
            shapes |= _with_bias(f"backbone.layers.{layer}.{name}", shape)
    return shapes | _with_bias("backbone.ln1", (width,)) | _head_layout(config)


def _with_bias(name: str, shape: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


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
        shapes |= _with_bias(name, (width, inputs, 1, 1))
        inputs = width
    return shapes | _with_bias(last, (config.outputs, inputs, 1, 1))


def check(state: StateDict, config: SapiensConfig, *, where: str | Path) -> None:
    """Refuse weights of another network, with the first that differs.

    Raises:
        InputError: a weight is missing, left over, or of another shape.
    """
    size, shapes = size_name(config), layout(config)
    title = f"{where} holds no Sapiens {config.kind} network of size {size}"
    for name, shape in shapes.items():
        if name not in state:
            raise InputError(
                f"{title}: the weight {name!r} is absent, expected {shape}."
            )
        if state[name].shape != shape:
            raise InputError(
                f"{title}: the weight {name!r} has shape {state[name].shape}, "
                f"expected {shape}."
            )
    left = [n for n in state if n not in shapes and not re.fullmatch(_IGNORED, n)]
    if left:
        raise InputError(
            f"{title}: it has the weight {left[0]!r} {state[left[0]].shape}, which "
            "is not expected."
        )


def arrange(state: StateDict, config: SapiensConfig) -> Variables:
    """Variables of ``models.sapiens.Sapiens`` from a state dict that has passed."""
    params = {"backbone": _backbone(state, config), "head": _head(state, config)}
    return Variables(params, {})


def _backbone(state: StateDict, config: SapiensConfig) -> dict[str, Any]:
    patches = state[f"{PATCHES}.weight"].transpose(2, 3, 1, 0)
    return {
        "patches": {
            "kernel": patches.reshape(-1, config.width),
            "bias": state[f"{PATCHES}.bias"],
        },
        "positions": state["backbone.pos_embed"].reshape(*config.grid, config.width),
        "blocks": {
            module: _stacked(state, name, config.layers)
            for module, name in _BLOCK.items()
        },
        "norm": _norm(state, "backbone.ln1"),
    }


def _stacked(state: StateDict, name: str, layers: int) -> dict[str, np.ndarray]:
    """One module of all blocks; each weight has the block as first axis."""
    one = _norm if name.startswith("ln") else _linear
    each = [one(state, f"backbone.layers.{layer}.{name}") for layer in range(layers)]
    return {key: np.stack([weights[key] for weights in each]) for key in each[0]}


def _norm(state: StateDict, name: str) -> dict[str, np.ndarray]:
    return {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}


def _linear(state: StateDict, name: str) -> dict[str, np.ndarray]:
    return {"kernel": state[f"{name}.weight"].T, "bias": state[f"{name}.bias"]}


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
