"""InterHandGen's two-hand prior (Lee et al., CVPR 2024) as a prior of this library."""

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from twohand_jax.diffusion.representation import Statistics, check_statistics
from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.apply import Variables
from twohand_jax.models.denoiser import Denoiser, DenoiserConfig
from twohand_jax.weights import native, torch_files
from twohand_jax.weights.torch_files import StateDict, WeightSource

# The released training, as far as the release tells.
EXPERIMENT = {
    "experiment": "prior",
    "diffusion": {
        "timesteps": 129,
        "beta_start": 1e-4,
        "beta_end": 1e-2,
        "normalise": "variance",
        "hand": "mano",
    },
    "optim": {"learning_rate": 1e-3, "clip_norm": 4.0},
    "train": {"total_steps": 0, "batch_size": 256},
    "data": {"train": "InterHand2.6M", "test": "InterHand2.6M"},
}
_MODULES = {
    "time": "temb.dense",
    "condition": "cemb.dense",
    "noisy": "iemb.dense",
    "layers": "trans_enc.layers",
    "merge": "trans_out",
    "skip": "fc_input",
    "blocks": "fc_layers",
    "output": "fc_output",
}
_EMBED = {"expand": "0", "contract": "1"}
_ENCODER = {
    "norm_attention": "norm1",
    "norm_mlp": "norm2",
    "expand": "linear1",
    "contract": "linear2",
}
_STACKED = ("query", "key", "value")
_FIELDS = {"kernel": "weight", "scale": "weight", "bias": "bias"}


class Released(NamedTuple):
    """A denoiser with its weights; its attention is evaluated item by item."""

    config: DenoiserConfig
    variables: Variables


def convert(state: StateDict, statistics: Statistics, *, where: str | Path) -> Released:
    """Config and variables of ``models.denoiser.Denoiser`` from a state dict.

    Args:
        state: as ``torch_files.read`` gives it; the sizes are taken from it.
        statistics: the ones that the network was trained with
            (``representation.load_released_statistics``).
        where: the file, for messages.

    Raises:
        InputError: the weights belong to another network, or the statistics do.
    """
    check_statistics(statistics)
    config = _config(state, where)
    shapes = apply.shapes(apply.network(lambda rngs: Denoiser(config, rngs=rngs)))
    params = torch_files.fill(
        shapes.params, state, _source, ignored=r"(?!)", where=where
    )
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes.batch_stats)
    return Released(config, Variables(params, zeros | statistics._asdict()))


def save(directory: str | Path, released: Released) -> None:
    """Write a prior's model directory.

    Args:
        directory: created when missing.
        released: as ``convert`` gives it.
    """
    model = {"model": dataclasses.asdict(released.config)}
    native.save(directory, released.variables, EXPERIMENT | model)


def _config(state: StateDict, where: str | Path) -> DenoiserConfig:
    """The sizes of the network that a state dict is of."""
    blocks = _count(state, r"fc_layers\.\d+\.weight")
    try:
        hidden, numbers = state["fc_input.weight"].shape
        _, embedding = state["temb.dense.0.weight"].shape
        mlp, _ = state["trans_enc.layers.0.linear1.weight"].shape
        widths = [state[f"fc_layers.{i}.weight"].shape[-1] for i in range(blocks)]
    except (LookupError, ValueError) as error:
        raise InputError(
            f"{where} holds no InterHandGen denoiser ({error}); expected the state "
            "dict of its network, or the ckpt.pth of its training."
        ) from error
    plain = hidden + 2 * embedding
    return DenoiserConfig(
        numbers=numbers,
        embedding=embedding,
        hidden=hidden,
        mlp=mlp,
        layers=_count(state, r"trans_enc\.layers\.\d+\.linear1\.weight"),
        blocks=blocks,
        skips=tuple(i for i, width in enumerate(widths) if width != plain),
        attention="items",
    )


def _count(state: StateDict, pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def _source(path: str) -> WeightSource:
    """InterHandGen's name of one of our weights."""
    module, *layers, field = path.split("/")
    base, kind = _MODULES[module], _FIELDS[field]
    if module in ("time", "condition", "noisy"):
        return WeightSource(f"{base}.{_EMBED[layers[0]]}.{kind}")
    if module != "layers":
        return WeightSource(".".join([base, *layers, kind]))
    base = f"{base}.{layers[0]}"
    if layers[1] != "attention":
        return WeightSource(f"{base}.{_ENCODER[layers[1]]}.{kind}")
    if layers[2] == "out":
        return WeightSource(f"{base}.self_attn.out_proj.{kind}")
    third = _STACKED.index(layers[2])
    return WeightSource(f"{base}.self_attn.in_proj_{kind}", third)
