"""Names and shapes of weights in a release, and PyTorch's layers as ours."""

import re
from collections.abc import Mapping

import numpy as np

from twohand_jax.errors import InputError
from twohand_jax.weights.torch_files import StateDict

Shapes = dict[str, tuple[int, ...]]
Layer = dict[str, np.ndarray]


def check(
    state: StateDict, shapes: Mapping[str, tuple[int, ...]], *, title: str, ignored: str
) -> None:
    """Refuse weights of another network, with the first that differs.

    Args:
        state: the weights by name.
        shapes: of all weights that there must be.
        title: start of the message: the file, and what it does not hold.
        ignored: regular expression of names that may be left over.

    Raises:
        InputError: a weight is missing, left over, or of another shape.
    """
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
    left = [n for n in state if n not in shapes and not re.fullmatch(ignored, n)]
    if left:
        raise InputError(
            f"{title}: it has the weight {left[0]!r} {state[left[0]].shape}, which "
            "is not expected."
        )


def with_bias(name: str, shape: tuple[int, ...]) -> Shapes:
    """Weight and bias of a layer."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def linear(state: StateDict, name: str) -> Layer:
    """A linear layer, with its bias if it has one."""
    kernel = {"kernel": state[f"{name}.weight"].T}
    bias = state.get(f"{name}.bias")
    return kernel if bias is None else kernel | {"bias": bias}


def norm(state: StateDict, name: str) -> Layer:
    """A layer norm."""
    return {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}


def patches(state: StateDict, name: str) -> Layer:
    """The convolution that makes tokens of patches, as a linear layer of a patch."""
    kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
    flat = kernel.reshape(-1, kernel.shape[-1])
    return {"kernel": flat, "bias": state[f"{name}.bias"]}


def stacked(state: StateDict, name: str, count: int) -> Layer:
    """One layer of all blocks; each weight has the block as first axis.

    Args:
        state: the weights by name.
        name: of the layer, with braces for the number of the block.
        count: blocks.
    """
    is_norm = state[f"{name.format(0)}.weight"].ndim == 1
    one = norm if is_norm else linear
    each = [one(state, name.format(block)) for block in range(count)]
    return {key: np.stack([weights[key] for weights in each]) for key in each[0]}
