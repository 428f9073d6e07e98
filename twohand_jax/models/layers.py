"""The few layers every network here shares, with the initialisations they need."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

# Name of what blocks hand on; rematerialisation keeps these and nothing else.
BLOCK = "block"
kaiming = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


def conv_init(std: float | None) -> jax.nn.initializers.Initializer:
    """First weights of a convolution: N(0, std), or Kaiming's for None."""
    return kaiming if std is None else nnx.initializers.normal(std)


def block_output(x: Array) -> Array:
    """Mark the output of a block for ``jax.checkpoint``; changes no number."""
    return checkpoint_name(x, BLOCK)


class Conv(nnx.Module):
    """Square convolution, NHWC, padded by (kernel - 1) / 2 as PyTorch's are.

    With ``same`` it is padded as TensorFlow's "SAME" says: an odd pixel goes behind.
    A 1x1 kernel runs as a matrix product, which XLA does faster than the convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        bias: bool = False,
        same: bool = False,
        init: jax.nn.initializers.Initializer = kaiming,
        dtype: jnp.dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (kernel, kernel, inputs, outputs)
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros((outputs,))) if bias else None
        self.stride = stride
        self.same = same
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """Convolve in the layer's dtype."""
        kernel = self.kernel[...].astype(self.dtype)
        x = x.astype(self.dtype)
        if kernel.shape[0] == 1:
            y = jnp.dot(x[:, :: self.stride, :: self.stride], kernel[0, 0])
        else:
            pad = (kernel.shape[0] - 1) // 2
            y = jax.lax.conv_general_dilated(
                x,
                kernel,
                (self.stride, self.stride),
                "SAME" if self.same else [(pad, pad)] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


class Deconv(nnx.Module):
    """PyTorch's transposed convolution of kernel 4, stride 2 and padding 1, no bias.

    Each of the four pixels that take the place of one sees 2x2 pixels of the input, so
    all four are the channels of one 2x2 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        spread = jax.nn.initializers.normal((4 * inputs) ** -0.5)
        self.kernel = nnx.Param(spread(rngs.params(), (4, 4, inputs, outputs)))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """A map of twice the size."""
        batch, height, width, inputs = x.shape
        phases = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self._phases().astype(self.dtype),
            (1, 1),
            [(1, 1), (1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ).reshape(batch, height + 1, width + 1, 2, 2, -1)
        rows = jnp.stack([phases[:, :-1, :, 0], phases[:, 1:, :, 1]], axis=2)
        both = jnp.stack([rows[:, :, :, :-1, 0], rows[:, :, :, 1:, 1]], axis=4)
        return both.reshape(batch, 2 * height, 2 * width, -1)

    def _phases(self) -> Float[Array, "2 2 c n"]:
        """The 2x2 convolution's kernel: flipped, tap 2 t + p is tap t of phase p."""
        inputs, outputs = self.kernel.shape[2:]
        taps = self.kernel[...][::-1, ::-1].reshape(2, 2, 2, 2, inputs, outputs)
        return taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, inputs, 4 * outputs)


class BatchNorm(nnx.Module):
    """PyTorch's batch norm; in float32, over the global batch under jit.

    A batch is normalised by its biased variance, while the running variance averages
    the unbiased one, as PyTorch's does (Flax averages the biased one).
    """

    def __init__(self, features: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.scale = nnx.Param(jnp.ones((features,)))
        self.bias = nnx.Param(jnp.zeros((features,)))
        self.mean = nnx.BatchStat(jnp.zeros((features,)))
        self.var = nnx.BatchStat(jnp.ones((features,)))
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "*b c"], *, use_running_average: bool
    ) -> Float[Array, "*b c"]:
        """Normalise each channel over all other axes."""
        x = x.astype(jnp.float32)
        if use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            axes = tuple(range(x.ndim - 1))
            mean = jnp.mean(x, axis=axes)
            # Not E[x²] - E[x]², of which float32 leaves nothing where the mean is far
            # from zero. The variance has no slope along the mean.
            centred = x - jax.lax.stop_gradient(mean)
            var = jnp.mean(centred**2, axis=axes)
            self._observe(mean, var, count=x.size // x.shape[-1])
        gain = jax.lax.rsqrt(var + 1e-5) * self.scale[...]
        return ((x - mean) * gain + self.bias[...]).astype(self.dtype)

    def _observe(
        self, mean: Float[Array, "c"], var: Float[Array, "c"], *, count: int
    ) -> None:
        unbiased = var * (count / max(count - 1, 1))
        for running, new in ((self.mean, mean), (self.var, unbiased)):
            # Not ``running[...] = …``: there Flax asks for the sharding of a traced
            # array, and JAX goes through the whole trace to say that it has none.
            running.set_value(0.9 * running[...] + 0.1 * jax.lax.stop_gradient(new))


class Standardise(nnx.Module):
    """Each channel by its running mean and deviation, in training too.

    For features of a frozen network: a batch of a few hands says too little of them
    to be normalised by itself, and they do not change while the rest learns.
    """

    def __init__(self, features: int):
        self.mean = nnx.BatchStat(jnp.zeros((features,)))
        self.var = nnx.BatchStat(jnp.ones((features,)))

    def __call__(self, x: Float[Array, "b c"], *, frozen: bool) -> Float[Array, "b c"]:
        """Channels of about mean 0 and deviation 1, float32.

        Args:
            x: features.
            frozen: do not learn from this batch.
        """
        x = jax.lax.stop_gradient(x.astype(jnp.float32))
        if not frozen:
            mean = self.mean[...] + 0.02 * (jnp.mean(x, axis=0) - self.mean[...])
            spread = jnp.mean((x - mean) ** 2, axis=0)
            self.mean.set_value(mean)
            self.var.set_value(self.var[...] + 0.02 * (spread - self.var[...]))
        return (x - self.mean[...]) * jax.lax.rsqrt(self.var[...] + 1e-6)


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
    """3x3 maximum with stride 2 and padding 1, written with slices.

    Its gradient is three to four times faster on CPU than that of ``reduce_window``.
    """
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    height, width = x.shape[1] - 2, x.shape[2] - 2
    rows = [x[:, i : i + height : 2] for i in range(3)]
    tall = jnp.maximum(jnp.maximum(rows[0], rows[1]), rows[2])
    columns = [tall[:, :, i : i + width : 2] for i in range(3)]
    return jnp.maximum(jnp.maximum(columns[0], columns[1]), columns[2])


def linear(
    inputs: int,
    outputs: int,
    *,
    rngs: nnx.Rngs,
    std: float | None = None,
    bias: Float[Array, "d"] | None = None,
    dtype: jnp.dtype = jnp.float32,
) -> nnx.Linear:
    """A linear layer with N(0, std) weights and a given or zero bias.

    Args:
        std: 1 / sqrt(inputs) when not given.
    """
    std = 1.0 / math.sqrt(inputs) if std is None else std
    layer = nnx.Linear(
        inputs,
        outputs,
        kernel_init=nnx.initializers.normal(std),
        dtype=dtype,
        rngs=rngs,
    )
    if bias is not None:
        layer.bias = nnx.Param(bias)
    return layer
