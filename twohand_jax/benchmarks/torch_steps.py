"""Forward pass and training step of the network in PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from twohand_jax.benchmarks.torch_regressor import Regressor
from twohand_jax.models.regressor import RegressorConfig

Call = Callable[[], None]
Outputs = Callable[[], list[Tensor]]


def programs(
    config: RegressorConfig, batch: int, *, threads: int, gpu: bool
) -> tuple[Call, Call]:
    """Forward pass and network step, each returning when its work is done.

    Args:
        config: sizes and dtype; bfloat16 is PyTorch's autocast.
        batch: pictures of two hands.
        threads: on a CPU.
        gpu: whether to run on one, compiled.
    """
    torch.set_num_threads(threads)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    last = torch.channels_last
    module: Any = Regressor(config).to(device)
    module = module.to(memory_format=last)  # which torch's types do not know of
    net: Any = torch.compile(module) if device == "cuda" else module
    side = config.crop_size
    pictures = [
        torch.rand(2 * batch, 3, side, side, device=device).to(memory_format=last)
        for _ in range(1 + sum(config.cues))
    ]
    half = config.dtype == "bfloat16"

    def outputs() -> list[Tensor]:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            return net(pictures)

    return forward_of(module, outputs), step_of(module, outputs)


def forward_of(module: torch.nn.Module, outputs: Outputs) -> Call:
    """The forward pass of inference."""

    def forward() -> None:
        module.eval()
        with torch.no_grad():
            outputs()
        _wait()

    return forward


def step_of(module: torch.nn.Module, outputs: Outputs) -> Call:
    """Forward, backward and AdamW, with the mean square of the outputs as loss."""
    optimizer = torch.optim.AdamW(module.parameters(), 1e-4, fused=True)

    def step() -> None:
        module.train()
        optimizer.zero_grad(set_to_none=True)
        squares = [output.float().square().mean() for output in outputs()]
        torch.stack(squares).sum().backward()
        optimizer.step()
        _wait()

    return step


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
