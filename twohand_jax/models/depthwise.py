"""Depthwise convolutions that are quick on CPU, forwards and backwards.

XLA does a sum of shifted products three times faster on CPU than the grouped
convolution, but not the gradients that follow from it: sums over all pixels, and, with
a stride, sums of scattered maps. So these are written here, too, for the same numbers
in a third to two thirds of the time.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

COLUMNS = 14  # that a step of the kernel's gradient takes together


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c"], stride: int
) -> Float[Array, "b i j c"]:
    """Each channel convolved by itself, padded as TensorFlow's "SAME"; float32.

    Args:
        x: maps.
        kernel: of odd side.
        stride: cells of the input for one of the output.
    """
    x, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)
    size = kernel.shape[0]
    (rows, down), (columns, across) = (_padding(n, size, stride) for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), down, across, (0, 0)))
    last, end = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    total = jnp.zeros(())
    for i, j in itertools.product(range(size), repeat=2):
        total = total + x[:, i : i + last : stride, j : j + end : stride] * kernel[i, j]
    return total


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, kernel, stride), (x, kernel)


def _backward(
    stride: int, kept: tuple[Array, Array], dy: Float[Array, "b i j c"]
) -> tuple[Float[Array, "b h w c"], Float[Array, "k k c"]]:
    x, kernel = kept
    dx = _input_gradient(dy, kernel.astype(jnp.float32), stride, x.shape[1:3])
    size = kernel.shape[0]
    dk = jax.lax.platform_dependent(
        x.astype(jnp.float32),
        dy,
        cpu=functools.partial(kernel_gradient_by_rows, size=size, stride=stride),
        default=functools.partial(kernel_gradient, size=size, stride=stride),
    )
    return dx.astype(x.dtype), dk.astype(kernel.dtype)


depthwise.defvjp(_forward, _backward)


def _input_gradient(
    dy: Float[Array, "b i j c"],
    kernel: Float[Array, "k k c"],
    stride: int,
    shape: tuple[int, ...],
) -> Float[Array, "b h w c"]:
    """The gradient of the input: one sum of products for each place within a stride.

    Row u of the padded input, u = stride v + r, meets row v - m of the output under row
    r + stride m of the kernel.
    """
    size, most = kernel.shape[0], -(-kernel.shape[0] // stride)
    befores = [_padding(length, size, stride)[1][0] for length in shape]
    counts = [
        -(-(length + before) // stride)
        for length, before in zip(shape, befores, strict=True)
    ]
    around = [
        (most - 1, count - cells)
        for count, cells in zip(counts, dy.shape[1:3], strict=True)
    ]
    wide = jnp.pad(dy, ((0, 0), *around, (0, 0)))
    parts = []
    for r, s in itertools.product(range(stride), repeat=2):
        total = jnp.zeros((dy.shape[0], *counts, dy.shape[-1]))
        taps = itertools.product(range(r, size, stride), range(s, size, stride))
        for i, j in taps:
            top, left = most - 1 - i // stride, most - 1 - j // stride
            piece = wide[:, top : top + counts[0], left : left + counts[1]]
            total = total + piece * kernel[i, j]
        parts.append(total)
    both = jnp.stack(parts, axis=1).reshape(-1, stride, stride, *parts[0].shape[1:])
    woven = both.transpose(0, 3, 1, 4, 2, 5)
    woven = woven.reshape(dy.shape[0], *(stride * n for n in counts), dy.shape[-1])
    (top, left), (height, width) = befores, shape
    return woven[:, top : top + height, left : left + width]


def kernel_gradient(
    x: Float[Array, "b h w c"], dy: Float[Array, "b i j c"], *, size: int, stride: int
) -> Float[Array, "k k c"]:
    """The gradient of the kernel: for each of its cells a sum over all pixels."""
    (rows, down), (columns, across) = (_padding(n, size, stride) for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), down, across, (0, 0)))
    last, end = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    sums = [
        jnp.sum(x[:, i : i + last : stride, j : j + end : stride] * dy, axis=(0, 1, 2))
        for i, j in itertools.product(range(size), repeat=2)
    ]
    return jnp.stack(sums).reshape(size, size, -1)


def kernel_gradient_by_rows(
    x: Float[Array, "b h w c"], dy: Float[Array, "b i j c"], *, size: int, stride: int
) -> Float[Array, "k k c"]:
    """``kernel_gradient``, some pixels of a row at a time, for all channels at once.

    XLA's sums over leading axes are slow on CPU; additions of whole kernels are not.
    """
    _, (above, below) = _padding(x.shape[1], size, stride)
    columns, (before, _) = _padding(x.shape[2], size, stride)
    parts = -(-columns // COLUMNS)
    behind = (parts * COLUMNS - 1) * stride + size - x.shape[2] - before
    x = jnp.pad(x, ((0, 0), (above, below), (before, max(behind, 0)), (0, 0)))
    dy = jnp.pad(dy, ((0, 0), (0, 0), (0, parts * COLUMNS - columns), (0, 0)))
    batch, channels = x.shape[0], x.shape[-1]
    seen = (batch, size, (COLUMNS - 1) * stride + size, channels)

    def add(step: Array, total: Float[Array, "b k k c"]) -> Float[Array, "b k k c"]:
        row, column = step // parts, step % parts * COLUMNS
        at = (0, row * stride, column * stride, 0)
        window = jax.lax.dynamic_slice(x, at, seen)
        factor = jax.lax.dynamic_slice(
            dy, (0, row, column, 0), (batch, 1, COLUMNS, channels)
        )
        for k in range(COLUMNS):
            under = window[:, :, k * stride : k * stride + size]
            total = total + under * factor[:, :, k : k + 1]
        return total

    start = jnp.zeros((batch, size, size, channels))
    return jax.lax.fori_loop(0, dy.shape[1] * parts, add, start).sum(axis=0)


def _padding(length: int, size: int, stride: int) -> tuple[int, tuple[int, int]]:
    """Cells of the output, and the input's padding before and behind."""
    cells = -(-length // stride)
    pad = max((cells - 1) * stride + size - length, 0)
    return cells, (pad // 2, pad - pad // 2)
