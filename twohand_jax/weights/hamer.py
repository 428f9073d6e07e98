"""HaMeR's released checkpoint (Pavlakos et al., CVPR 2024) as a regressor here."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from twohand_jax.models.apply import Variables
from twohand_jax.models.hamer import CAMERA, POSE, SHAPE, HamerConfig
from twohand_jax.weights import layout, lightning, native, torch_files
from twohand_jax.weights.layout import Shapes, with_bias
from twohand_jax.weights.torch_files import StateDict

RELEASED = HamerConfig(network="hamer")
# How its code cuts hands out, with the tight box of the joints grown by 2, and what its
# config says of the training.
EXPERIMENT = {
    "experiment": "regressor",
    "crop": {
        "crop_scale": 2.0 / 1.2,
        "aspect": 0.75,
        "canvas_size": 1024,
        "center": "half_mirrored",
        "placed_by": "origin",
        "gate": (),
    },
    "augment": {"scale": 0.3, "flip_probability": 0.0},
    "loss": {},
    "optim": {"learning_rate": 1e-5, "schedule": "constant", "weight_decay": 1e-4},
    "train": {"total_steps": 0, "batch_size": 8},
    "data": {"train": "HaMeR", "test": "HaMeR", "hand": "mano"},
}
PATCHES = "backbone.patch_embed.proj"
WANTED = r"(backbone|mano_head)\..*"  # the rest: MANO, a discriminator, a flag
_TOKEN = "mano_head.transformer.to_token_embedding"
_LAYER = "mano_head.transformer.transformer.layers.{}"
_BLOCK = {  # our module of a block: its name in the release
    "norm_attention": "norm1",
    "qkv": "attn.qkv",
    "mix": "attn.proj",
    "norm_mlp": "norm2",
    "expand": "mlp.fc1",
    "contract": "mlp.fc2",
}
_READOUT = {"pose": "decpose", "shape": "decshape", "camera": "deccam"}
_MEAN = ("init_hand_pose", "init_betas", "init_cam")


def read(path: str | Path) -> StateDict:
    """The network's weights by name, float32, from a checkpoint or ``.safetensors``.

    Raises:
        InputError: the file is missing, damaged, or names what could run code.
    """
    if Path(path).suffix == torch_files.SAFETENSORS:
        return torch_files.read(path)
    return lightning.read(path, wanted=WANTED)


def convert(
    state: StateDict, *, where: str | Path, config: HamerConfig | None = None
) -> tuple[HamerConfig, Variables]:
    """Config and variables of ``models.hamer.Hamer`` from a state dict.

    Args:
        state: as ``read`` gives it.
        where: the file, for messages.
        config: of the network the weights are for; None for the released one. Whether
            its token is made of the mean follows from the weights.

    Raises:
        InputError: the weights belong to another network.
    """
    token = state.get(f"{_TOKEN}.weight", np.zeros((0, 0)))
    config = RELEASED if config is None else config
    config = dataclasses.replace(config, mean_token=token.shape[-1:] != (1,))
    layout.check(
        state,
        released_layout(config),
        title=f"{where} holds no HaMeR network",
        ignored=rf"(?!{WANTED}).*",
    )
    return config, arrange(state, config)


def convert_file(
    path: str | Path, directory: str | Path, *, config: HamerConfig | None = None
) -> HamerConfig:
    """Write the model directory of a checkpoint; returns the network's config.

    Raises:
        InputError: the file is unusable; nothing is written.
    """
    config, variables = convert(read(path), where=path, config=config)
    save(directory, config, variables)
    return config


def save(directory: str | Path, config: HamerConfig, variables: Variables) -> None:
    """Write a network as the model directory of a regressor.

    Args:
        directory: created when missing.
        config: of the network.
        variables: its weights.
    """
    model: dict[str, Any] = {"model": dataclasses.asdict(config)}
    native.save(directory, variables, EXPERIMENT | model, compressed=False)


def released_layout(config: HamerConfig) -> Shapes:
    """Names and shapes of the network's weights in the release."""
    vit = config.vit
    width, tokens = vit.width, vit.grid[0] * vit.grid[1]
    shapes: Shapes = {"backbone.pos_embed": (1, 1 + tokens, width)}
    shapes |= with_bias(PATCHES, (width, 3, vit.patch, vit.patch))
    block = {
        "norm1": (width,),
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "norm2": (width,),
        "mlp.fc1": (vit.mlp, width),
        "mlp.fc2": (width, vit.mlp),
    }
    for layer in range(vit.layers):
        for name, shape in block.items():
            shapes |= with_bias(f"backbone.blocks.{layer}.{name}", shape)
    return shapes | with_bias("backbone.last_norm", (width,)) | _head_layout(config)


def _head_layout(config: HamerConfig) -> Shapes:
    size = config.decoder
    width, inner = size.width, size.heads * size.head_width
    numbers = {"decpose": POSE, "decshape": SHAPE, "deccam": CAMERA}
    token = sum(numbers.values()) if config.mean_token else 1
    shapes: Shapes = with_bias(_TOKEN, (width, token))
    shapes["mano_head.transformer.pos_embedding"] = (1, 1, width)
    for layer in range(size.layers):
        base = _LAYER.format(layer)
        for part in range(3):
            shapes |= with_bias(f"{base}.{part}.norm", (width,))
        shapes[f"{base}.0.fn.to_qkv.weight"] = (3 * inner, width)
        shapes |= with_bias(f"{base}.0.fn.to_out.0", (width, inner))
        shapes[f"{base}.1.fn.to_kv.weight"] = (2 * inner, config.vit.width)
        shapes[f"{base}.1.fn.to_q.weight"] = (inner, width)
        shapes |= with_bias(f"{base}.1.fn.to_out.0", (width, inner))
        shapes |= with_bias(f"{base}.2.fn.net.0", (size.mlp, width))
        shapes |= with_bias(f"{base}.2.fn.net.3", (width, size.mlp))
    for name, count in numbers.items():
        shapes |= with_bias(f"mano_head.{name}", (count, width))
    means = zip(_MEAN, numbers.values(), strict=True)
    return shapes | {f"mano_head.{name}": (1, count) for name, count in means}


def arrange(state: StateDict, config: HamerConfig) -> Variables:
    """Variables of ``models.hamer.Hamer`` from a state dict that has passed.

    The position of the pretraining's class token is added to those of all patches, as
    the original's forward pass does.
    """
    place, vit = state["backbone.pos_embed"][0], config.vit
    backbone = {
        "patches": layout.patches(state, PATCHES),
        "positions": (place[1:] + place[:1]).reshape(*vit.grid, vit.width),
        "blocks": {
            module: layout.stacked(state, "backbone.blocks.{}." + name, vit.layers)
            for module, name in _BLOCK.items()
        },
        "norm": layout.norm(state, "backbone.last_norm"),
    }
    layers = range(config.decoder.layers)
    head: dict[str, Any] = {
        "token": layout.linear(state, _TOKEN),
        "position": state["mano_head.transformer.pos_embedding"].reshape(-1),
        "blocks": {str(layer): _decoder_block(state, layer) for layer in layers},
    }
    for module, name in _READOUT.items():
        head[module] = layout.linear(state, f"mano_head.{name}")
    mean = np.concatenate([state[f"mano_head.{name}"][0] for name in _MEAN])
    return Variables({"backbone": backbone, "head": head}, {"head": {"mean": mean}})


def _decoder_block(state: StateDict, layer: int) -> dict[str, Any]:
    """A layer of the decoder; of its self-attention the values are enough."""
    own, cross, mlp = (f"{_LAYER.format(layer)}.{part}" for part in range(3))
    value = np.split(state[f"{own}.fn.to_qkv.weight"], 3)[2]
    return {
        "norm_self": layout.norm(state, f"{own}.norm"),
        "value": {"kernel": value.T},
        "mix": layout.linear(state, f"{own}.fn.to_out.0"),
        "norm_cross": layout.norm(state, f"{cross}.norm"),
        "cross": {
            "query": layout.linear(state, f"{cross}.fn.to_q"),
            "key_value": layout.linear(state, f"{cross}.fn.to_kv"),
            "mix": layout.linear(state, f"{cross}.fn.to_out.0"),
        },
        "norm_mlp": layout.norm(state, f"{mlp}.norm"),
        "expand": layout.linear(state, f"{mlp}.fn.net.0"),
        "contract": layout.linear(state, f"{mlp}.fn.net.3"),
    }
