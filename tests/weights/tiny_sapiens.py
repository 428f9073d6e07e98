"""Sapiens networks small enough to run, with the released names of weights."""

import dataclasses

import numpy as np

from twohand_jax.models.sapiens import (
    DEPTH,
    NORMALS,
    PATCH_SHIFT,
    POSE,
    SEGMENTATION,
    SapiensConfig,
)
from twohand_jax.weights import sapiens as weights
from twohand_jax.weights.sapiens import Loaded

DECONVS = {
    POSE: (12, 8),
    SEGMENTATION: (12, 8, 8),
    DEPTH: (8, 8, 8, 8),
    NORMALS: (12, 8, 8),
}
CONVS = {POSE: (8, 6), SEGMENTATION: (8, 8, 6), DEPTH: (8, 6), NORMALS: (8, 8, 6)}
OUTPUTS = {POSE: 133, SEGMENTATION: 28, DEPTH: 1, NORMALS: 3}


def tiny(kind, **changes):
    """A network of a kind for pictures of 64 x 48 pixels."""
    config = SapiensConfig(
        kind=kind,
        image=(64, 48),
        patch_shift=PATCH_SHIFT[kind],
        width=24,
        layers=3,
        heads=2,
        mlp=40,
        deconvs=DECONVS[kind],
        convs=CONVS[kind],
        outputs=OUTPUTS[kind],
    )
    return dataclasses.replace(config, **changes)


def torch_network(config, *, spread=0.3, seed=0):
    """The PyTorch module of a config, with random weights everywhere."""
    import torch

    from twohand_jax.benchmarks.peers.torch_sapiens import TorchSapiens

    torch.manual_seed(seed)
    module = TorchSapiens(config).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.0, spread)
    return module


def state_of(module):
    """Its state dict as numpy arrays."""
    return {name: weight.numpy() for name, weight in module.state_dict().items()}


def run_torch(module, pictures):
    """Maps (b, i, j, k) of normalised pictures (b, h, w, 3)."""
    import torch

    with torch.no_grad():
        maps = module(torch.tensor(np.moveaxis(pictures, -1, 1)))
    return np.moveaxis(maps.numpy(), 1, -1)


def loaded(config, module):
    """The network here, with the module's weights."""
    _, variables = weights.convert(state_of(module), where="tiny", config=config)
    return Loaded(config, variables, "tiny 0123")
