"""What a training step takes on chips that are not here, from its FLOPs and bytes.

Nothing is compiled: JAX traces the loss and its derivative, and tells the FLOPs of the
traced step and what the forward pass keeps for the backward pass. A compiler keeps less
(it computes some of it again), but needs room for its own temporaries.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
from jaxtyping import PyTree

from twohand_jax.train.state import TrainState
from twohand_jax.train.step import Loss

ROOM = 0.9  # of a chip's memory, for what is counted here
SHARE = 0.4  # of the peak: an assumption, what well tuned training reaches
MOST_CHIPS = 4096
KEY = jax.dtypes.prng_key


class Chip(NamedTuple):
    """An accelerator by its makers' figures, dense and without sparsity.

    Attributes:
        memory: GB (1e9 bytes).
        bandwidth: of the memory, GB/s.
        bfloat16: peak, TFLOP/s.
        float32: peak of matrix products at JAX's default precision, TFLOP/s; inputs
            are rounded there, to TF32 by GPUs and to bfloat16 by TPUs.
    """

    memory: float
    bandwidth: float
    bfloat16: float
    float32: float


CHIPS = {
    "H100 SXM": Chip(80, 3350, 989, 495),
    "H200 SXM": Chip(141, 4800, 989, 495),
    "TPU v5e": Chip(16, 819, 197, 197),
    "TPU v6e": Chip(32, 1640, 918, 918),
}


class Cost(NamedTuple):
    """What one training step of the whole batch takes.

    Attributes:
        flops: of forward and backward pass and update.
        state: bytes of weights, averages and optimiser.
        gradients: bytes.
        activations: bytes that the forward pass keeps, of the whole batch.
        batch: bytes of the batch itself.
        precision: "float32" or "bfloat16", of most products.
    """

    flops: float
    state: int
    gradients: int
    activations: int
    batch: int
    precision: str


class Fit(NamedTuple):
    """A training step on the fewest chips that it fits on.

    Attributes:
        chips: a power of two; 0 if the state alone is too large.
        memory: bytes on each.
        at_least: seconds; no program can be faster.
        expected: seconds at ``SHARE`` of the peak.
    """

    chips: int
    memory: float
    at_least: float
    expected: float


def nbytes(tree: PyTree) -> int:
    """Bytes of a tree of arrays or shapes; random keys count nothing."""
    sizes = (
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
        if hasattr(leaf, "dtype") and not jax.dtypes.issubdtype(leaf.dtype, KEY)
    )
    return sum(sizes)


def activations(
    loss: Loss, state: TrainState, batch: PyTree, constants: PyTree, *, size: int
) -> int:
    """Bytes that the forward pass of a batch keeps for the backward pass.

    Weights and constants are kept as well; they are told apart by tracing a batch of
    twice the size.

    Args:
        loss: of the training.
        state: shapes.
        batch: shapes with ``size`` as first axis.
        constants: of the loss, arrays or shapes.
        size: of the batch.
    """
    twice = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((2 * size, *leaf.shape[1:]), leaf.dtype),
        batch,
    )
    kept = functools.partial(_kept, loss, state, constants)
    return kept(twice) - kept(batch)


def _kept(loss: Loss, state: TrainState, constants: PyTree, batch: PyTree) -> int:
    """Bytes of all that the derivative's program holds."""

    def derivative(
        params: PyTree, stats: PyTree, batch: PyTree, constants: PyTree, key: Any
    ) -> Any:
        def total(params: PyTree) -> Any:
            return loss(params, stats, batch, constants, key)

        return jax.vjp(total, params, has_aux=True)[1]

    key = jax.eval_shape(lambda: jax.random.key(0))
    given = (state.params, state.batch_stats, batch, constants, key)
    return nbytes(jax.eval_shape(derivative, *given))


def fit(cost: Cost, chip: Chip) -> Fit:
    """The fewest chips that the batch fits on, and the step's time there.

    Weights are whole on every chip, the batch is split. A step is not faster than its
    products at peak speed, nor than one way of activations, state and gradients to
    memory and back.

    Args:
        cost: of the whole batch.
        chip: its figures.
    """
    whole = cost.state + cost.gradients
    split = cost.activations + cost.batch
    chips = 1
    while chips <= MOST_CHIPS and whole + split / chips > ROOM * chip.memory * 1e9:
        chips *= 2
    if chips > MOST_CHIPS:
        return Fit(0, whole, math.inf, math.inf)
    peak = getattr(chip, cost.precision) * 1e12
    products = cost.flops / chips / peak
    moved = 2 * (whole + split / chips) / (chip.bandwidth * 1e9)
    memory = whole + split / chips
    expected = max(products / SHARE, moved)
    return Fit(chips, memory, max(products, moved), expected)


def describe(cost: Cost) -> list[str]:
    """Lines of the report: memory, then the table of chips."""
    gib = 2.0**30
    lines = [
        f"Memory, estimated: state {cost.state / gib:.2f} GiB, gradients "
        f"{cost.gradients / gib:.2f}, batch {cost.batch / gib:.2f}, activations kept "
        f"for the backward pass {cost.activations / gib:.2f}",
        "Fewest chips for this batch, the state whole on each, and the time of a step "
        f"({cost.precision}): the least from FLOPs and bytes, and at {SHARE:.0%} of "
        "the peak (an assumption)",
    ]
    for name, chip in CHIPS.items():
        found = fit(cost, chip)
        if found.chips == 0:
            lines.append(f"  {name:<9} the state does not fit; split it by train.fsdp")
            continue
        lines.append(
            f"  {name:<9} {found.chips:>3} of {chip.memory:g} GB, "
            f"{found.memory / gib:6.1f} GiB each, {1e3 * found.at_least:7.1f} ms, "
            f"{1e3 * found.expected:7.1f} ms"
        )
    return lines
