"""ResNets of torchvision as this library's."""

from pathlib import Path

import jax.numpy as jnp

from twohand_jax.models import apply
from twohand_jax.models.apply import Variables
from twohand_jax.models.resnet import RESNET18, RESNET50, ResNet, ResNetConfig
from twohand_jax.weights import torch_files
from twohand_jax.weights.torch_files import Source, StateDict

ARCHITECTURES = {"resnet18": RESNET18, "resnet50": RESNET50}
_IGNORED = r"fc\..*|.*\.num_batches_tracked"
_FIELDS = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_STEM = {"stem": "conv1", "stem_norm": "bn1"}
_LAYERS = {"convs": "conv", "norms": "bn"}
_SHORTCUT = {"project": "downsample.0", "project_norm": "downsample.1"}


def convert(state: StateDict, config: ResNetConfig, *, where: str | Path) -> Variables:
    """Variables of ``models.resnet.ResNet`` from a torchvision state dict.

    The classifier ``fc`` is left out.

    Args:
        state: as ``torch_files.read`` gives it.
        config: of the network the weights are for.
        where: the file, for messages.

    Raises:
        InputError: the weights belong to another network.
    """
    dtype = jnp.dtype("float32")
    net = apply.network(lambda rngs: ResNet(config, dtype=dtype, rngs=rngs))
    return torch_files.fill(
        apply.shapes(net),
        state,
        lambda path: _source(path, config.depths),
        ignored=_IGNORED,
        where=where,
    )


def _source(path: str, depths: tuple[int, ...]) -> Source:
    """Torchvision's name of one of our weights."""
    _, *layers, field = path.split("/")
    if layers[0] in _STEM:
        return Source(f"{_STEM[layers[0]]}.{_FIELDS[field]}")
    _, _, block, kind, *index = layers
    stage, within = 0, int(block)
    while within >= depths[stage]:
        within -= depths[stage]
        stage += 1
    layer = f"{_LAYERS[kind]}{int(index[0]) + 1}" if index else _SHORTCUT[kind]
    return Source(f"layer{stage + 1}.{within}.{layer}.{_FIELDS[field]}")
