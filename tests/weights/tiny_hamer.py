"""HaMeR small enough to run, with the released names of weights."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from twohand_jax.models.hamer import DecoderConfig, HamerConfig
from twohand_jax.models.vit import VitConfig
from twohand_jax.weights import hamer as weights


def tiny(**changes: Any) -> HamerConfig:
    """A network for crops of 64 pixels, of which it sees 48 columns."""
    config = HamerConfig(
        network="hamer",
        vit=VitConfig(
            image=(64, 48), patch_shift=2, width=24, layers=3, heads=2, mlp=40
        ),
        decoder=DecoderConfig(width=32, layers=2, heads=3, head_width=8, mlp=20),
        crop_size=64,
    )
    return dataclasses.replace(config, **changes)


def torch_network(config: HamerConfig, *, spread: float = 0.2, seed: int = 0) -> Any:
    """The PyTorch module of a config, with random weights and a mean before it.

    The readout is small, so that hands keep a scale and lie before the camera.
    """
    import torch

    from twohand_jax.benchmarks.peers.torch_hamer import TorchHamer

    torch.manual_seed(seed)
    module: Any = TorchHamer(config).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.0, spread)
        for layer in ("decpose", "decshape", "deccam"):
            getattr(module.mano_head, layer).weight.mul_(0.1)
        flat = torch.tensor([1.0, 0, 0, 0, 1, 0]).tile(16)
        module.mano_head.init_hand_pose.copy_(flat + 0.3 * torch.randn(96))
        module.mano_head.init_betas.normal_()
        module.mano_head.init_cam.copy_(torch.tensor([[0.9, 0.02, -0.03]]))
    return module


def state_of(module: Any) -> dict[str, np.ndarray]:
    """Its state dict as numpy arrays."""
    return {name: weight.numpy() for name, weight in module.state_dict().items()}


def write_checkpoint(module: Any, path: Path, **more: Any) -> Path:
    """The network as PyTorch Lightning saves it, with what else a run leaves there."""
    import torch

    rest = {
        "discriminator.D_conv1.weight": torch.zeros(2, 3, 1, 1),
        "mano.v_template": torch.zeros(778, 3),
        "mano.faces_tensor": torch.zeros(4, 3, dtype=torch.int64),
        "initialized": torch.tensor(True),
    }
    content = {
        "epoch": 3,
        "state_dict": module.state_dict() | rest,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
    }
    torch.save(content | more, path)
    return path


def save(directory: Path, config: HamerConfig | None = None) -> Path:
    """A model directory with random weights."""
    config = tiny() if config is None else config
    made = weights.convert(state_of(torch_network(config)), where="t", config=config)
    weights.save(directory, *made)
    return directory
