"""The prior's denoiser in PyTorch, with our weights; see ``models.denoiser``."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twohand_jax.models.apply import Variables
from twohand_jax.models.denoiser import LONGEST_PERIOD, DenoiserConfig


class Denoiser(nn.Module):
    """One pair at a time, ``1 64``: attention across items is then that of one item."""

    keep: Tensor
    rates: Tensor

    def __init__(self, config: DenoiserConfig, variables: Variables):
        super().__init__()
        width, hidden, numbers = config.embedding, config.hidden, config.numbers
        self.skips = config.skips
        self.time = _embed(width, hidden, width)
        self.condition = _embed(numbers, hidden, width)
        self.noisy = _embed(numbers, hidden, width)
        layer = nn.TransformerEncoderLayer(
            width,
            config.heads,
            config.mlp,
            dropout=0.0,
            batch_first=config.attention == "tokens",
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.layers, enable_nested_tensor=False
        )
        self.merge = nn.Linear(3 * width, hidden)
        self.skip = nn.Linear(numbers, hidden)
        self.blocks = nn.ModuleList(
            nn.Linear(hidden * (2 if i in self.skips else 1) + 2 * width, hidden)
            for i in range(config.blocks)
        )
        self.output = nn.Linear(hidden, numbers)
        exponents = torch.linspace(0.0, 1.0, width // 2)
        self.register_buffer("rates", torch.exp(-math.log(LONGEST_PERIOD) * exponents))
        fixed: Any = variables.batch_stats
        self.register_buffer("keep", torch.tensor(np.asarray(fixed["keep"])))
        self.load(variables.params)
        self.eval()

    def forward(self, x: Tensor, t: int, condition: Tensor) -> Tensor:
        """Clean vectors of noisy ones at timestep ``t``."""
        phases = t * self.rates
        waves = torch.cat([torch.sin(phases), torch.cos(phases)]).expand(len(x), -1)
        time, other = self.time(waves), self.condition(condition)
        tokens = self.encoder(torch.stack([time, other, self.noisy(x)], 1))
        h, again = self.merge(tokens.flatten(1)), self.skip(x)
        for index, block in enumerate(self.blocks):
            seen = [h, again] if index in self.skips else [h]
            h = torch.relu(block(torch.cat([*seen, time, other], -1)))
        kept = self.keep[t]
        return kept * x + torch.sqrt(1.0 - kept**2) * self.output(h)

    @torch.no_grad()
    def load(self, params: Any) -> None:
        """Copy our weights."""
        for name in ("time", "condition", "noisy"):
            embed: Any = getattr(self, name)
            _copy(embed[0], params[name]["expand"])
            _copy(embed[2], params[name]["contract"])
        for name in ("merge", "skip", "output"):
            _copy(getattr(self, name), params[name])
        for index, block in enumerate(self.blocks):
            _copy(block, params["blocks"][str(index)])
        for index, layer in enumerate(self.encoder.layers):
            _copy_layer(layer, params["layers"][str(index)])


def _embed(inputs: int, hidden: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, width))


def _copy(layer: Any, weights: Any) -> None:
    """A linear layer's or a layer norm's weights."""
    weight = weights["kernel"].T if "kernel" in weights else weights["scale"]
    layer.weight.copy_(torch.tensor(np.asarray(weight)))
    layer.bias.copy_(torch.tensor(np.asarray(weights["bias"])))


def _copy_layer(layer: Any, weights: Any) -> None:
    """An encoder layer's weights; ours have an axis for the heads."""
    attention = weights["attention"]
    width = layer.linear1.in_features
    stacked = [attention[name] for name in ("query", "key", "value")]
    kernels = [np.reshape(part["kernel"], (width, width)).T for part in stacked]
    biases = [np.reshape(part["bias"], width) for part in stacked]
    layer.self_attn.in_proj_weight.copy_(torch.tensor(np.concatenate(kernels)))
    layer.self_attn.in_proj_bias.copy_(torch.tensor(np.concatenate(biases)))
    out = attention["out"]
    kernel = np.reshape(out["kernel"], (width, width))
    _copy(layer.self_attn.out_proj, {"kernel": kernel, "bias": out["bias"]})
    for ours, theirs in (
        ("norm_attention", layer.norm1),
        ("norm_mlp", layer.norm2),
        ("expand", layer.linear1),
        ("contract", layer.linear2),
    ):
        _copy(theirs, weights[ours])
