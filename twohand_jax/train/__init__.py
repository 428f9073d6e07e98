"""The training loop and its parts: settings, state, optimiser, checkpoints."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.train.checkpoint import Checkpoints
    from twohand_jax.train.loop import LoopConfig, train
    from twohand_jax.train.optim import OptimConfig, optimizer
    from twohand_jax.train.state import TrainState

__all__ = [
    "Checkpoints",
    "LoopConfig",
    "OptimConfig",
    "TrainState",
    "optimizer",
    "train",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "checkpoint": ("Checkpoints",),
            "loop": ("LoopConfig", "train"),
            "optim": ("OptimConfig", "optimizer"),
            "state": ("TrainState",),
        },
    )
