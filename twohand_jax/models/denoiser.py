"""The two-hand prior's network: from a noisy hand to a clean one (METHOD §5).

A hand is a vector of numbers (``diffusion.representation``). The network sees the noisy
vector, its timestep and the vector of the other hand, all zeros for "no other hand".
``Denoiser`` has the sizes and the wiring of InterHandGen (Lee et al., CVPR 2024);
``ResidualDenoiser`` learns faster: residual blocks that the timestep modulates, as in
DiT (Peebles and Xie, ICCV 2023).
"""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from twohand_jax import fields
from twohand_jax.models.layers import linear
from twohand_jax.models.pair_geometry import PairGeometry

ATTENTION = ("tokens", "items")
LONGEST_PERIOD = 10_000.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """Sizes of the network; the defaults are those of InterHandGen's released model.

    Attributes:
        numbers: length of the vector of one hand.
        timesteps: length of the noise schedule.
        embedding: width of the three tokens.
        hidden: width of the linear blocks.
        heads: attention heads of the Transformer encoder over the three tokens.
        mlp: width of the encoder's feed-forward layers.
        layers: number of the encoder's layers.
        blocks: number of linear blocks after the encoder.
        skips: blocks that get the noisy vector again, counted from 0.
        attention: "tokens" lets the three tokens attend to each other. "items" is for
            weights of the released model, whose attention ran across the items of a
            batch: with one item alone, each token attends to itself, and so it does
            here, however many items the batch has.
    """

    numbers: int = 64
    timesteps: int = 129
    embedding: int = 512
    hidden: int = 2056
    heads: int = 4
    mlp: int = 2048
    layers: int = 2
    blocks: int = 7
    skips: tuple[int, ...] = (1, 3, 5, 6)
    attention: str = "items"

    def __post_init__(self) -> None:
        fields.check(
            self,
            numbers=fields.COUNT,
            timesteps=fields.COUNT,
            embedding=fields.Range(low=4),
            hidden=fields.COUNT,
            heads=fields.COUNT,
            mlp=fields.COUNT,
            layers=fields.COUNT,
            blocks=fields.COUNT,
            attention=ATTENTION,
        )
        if self.embedding % (2 * self.heads):
            raise fields.error(
                self,
                "embedding",
                f"is {self.embedding}; it must be a multiple of twice the {self.heads} "
                "heads.",
            )
        if any(not 0 <= skip < self.blocks for skip in self.skips):
            raise fields.error(
                self,
                "skips",
                f"is {self.skips}; name blocks from 0 to {self.blocks - 1}.",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualDenoiserConfig:
    """Every size of the residual network.

    Attributes:
        numbers: length of the vector of one hand.
        timesteps: length of the noise schedule.
        width: of the residual stream.
        residual_blocks: how many.
        expansion: width inside a block, as a multiple of ``width``.
        embedding: width of the timestep's embedding.
        geometry: the network sees where both hands are (``pair_geometry``), not their
            numbers alone.
    """

    numbers: int = 64
    timesteps: int = 129
    width: int = 512
    residual_blocks: int = 6
    expansion: int = 2
    embedding: int = 128
    geometry: bool = True

    def __post_init__(self) -> None:
        fields.check(
            self,
            numbers=fields.COUNT,
            timesteps=fields.COUNT,
            width=fields.COUNT,
            residual_blocks=fields.COUNT,
            expansion=fields.COUNT,
            embedding=fields.Range(low=4),
        )


def time_embedding(t: Int[Array, "*b"], width: int) -> Float[Array, "*b d"]:
    """Sines, then cosines of the timestep (Ho et al., 2020).

    Angular frequencies fall geometrically from 1 to 1/10000, both included.
    """
    exponents = jnp.linspace(0.0, 1.0, width // 2)
    phases = t[..., None] * jnp.exp(-math.log(LONGEST_PERIOD) * exponents)
    return jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)


class Embed(nnx.Module):
    """Two linear layers with swish between them."""

    def __init__(self, inputs: int, config: DenoiserConfig, *, rngs: nnx.Rngs):
        self.expand = linear(inputs, config.hidden, rngs=rngs)
        self.contract = linear(config.hidden, config.embedding, rngs=rngs)

    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b d"]:
        """One token an item."""
        return self.contract(jax.nn.silu(self.expand(x)))


class PostNormLayer(nnx.Module):
    """Post-norm encoder layer with ReLU, as ``torch.nn.TransformerEncoderLayer``."""

    def __init__(self, config: DenoiserConfig, *, rngs: nnx.Rngs):
        width = config.embedding
        self.alone = config.attention == "items"
        self.attention = nnx.MultiHeadAttention(
            num_heads=config.heads, in_features=width, decode=False, rngs=rngs
        )
        self.norm_attention = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.expand = linear(width, config.mlp, rngs=rngs)
        self.contract = linear(config.mlp, width, rngs=rngs)
        self.norm_mlp = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Attend, then transform each token; normalise each sum."""
        x = self.norm_attention(x + self._attend(x))
        return self.norm_mlp(x + self.contract(jax.nn.relu(self.expand(x))))

    def _attend(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        if self.alone:  # the only weight of a softmax over one token is 1
            return self.attention.out(self.attention.value(x))
        return self.attention(x)


class ResidualBlock(nnx.Module):
    """Normalise, modulate by the timestep, transform and add; at first, nothing."""

    def __init__(self, config: ResidualDenoiserConfig, *, rngs: nnx.Rngs):
        width, inner = config.width, config.expansion * config.width
        self.norm = nnx.LayerNorm(width, use_bias=False, use_scale=False, rngs=rngs)
        self.modulate = linear(config.embedding, 3 * width, std=0.0, rngs=rngs)
        self.expand = linear(width, inner, std=math.sqrt(2.0 / width), rngs=rngs)
        self.contract = linear(inner, width, std=math.sqrt(1.0 / inner), rngs=rngs)

    def __call__(
        self, h: Float[Array, "b w"], time: Float[Array, "b d"]
    ) -> Float[Array, "b w"]:
        """One step of the residual stream."""
        scale, shift, gate = jnp.split(self.modulate(time), 3, axis=-1)
        inner = jax.nn.silu(self.expand(self.norm(h) * (1.0 + scale) + shift))
        return h + gate * self.contract(inner)


class FixedNumbers(nnx.Module):
    """What is kept beside a denoiser's weights, which mean nothing without it.

    ``mean`` and ``scale`` are the statistics of the normalised space; the network does
    not use them. ``keep`` is the share of the noisy vector that goes straight into the
    estimate at each timestep, as in Karras et al. (NeurIPS 2022); with its zeros the
    estimate is the output alone.
    """

    def __init__(self, numbers: int, timesteps: int):
        self.mean = nnx.BatchStat(jnp.zeros(numbers))
        self.scale = nnx.BatchStat(jnp.ones(numbers))
        self.keep = nnx.BatchStat(jnp.zeros(timesteps))

    def estimate(
        self, x: Float[Array, "b n"], t: Int[Array, "b"], output: Float[Array, "b n"]
    ) -> Float[Array, "b n"]:
        """The clean vector, from the noisy one and the network's output."""
        kept = self.keep[...][t][:, None]
        return kept * x + jnp.sqrt(1.0 - kept**2) * output


class ResidualDenoiser(FixedNumbers):
    """As ``Denoiser``, of residual blocks."""

    def __init__(self, config: ResidualDenoiserConfig, *, rngs: nnx.Rngs):
        super().__init__(config.numbers, config.timesteps)
        width, numbers = config.width, config.numbers
        self.config = config
        self.expand_time = linear(config.embedding, config.embedding, rngs=rngs)
        std = math.sqrt(0.5 / numbers)
        self.geometry = PairGeometry() if config.geometry else None
        seen = 2 * numbers + (PairGeometry.width(numbers) if config.geometry else 0)
        self.enter = linear(seen, width, std=std, rngs=rngs)
        self.blocks = nnx.List(
            [ResidualBlock(config, rngs=rngs) for _ in range(config.residual_blocks)]
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.output = linear(width, numbers, std=0.0, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n"],
        t: Int[Array, "b"],
        condition: Float[Array, "b n"],
        *,
        train: bool = False,
    ) -> Float[Array, "b n"]:
        """As ``Denoiser``'s."""
        chex.assert_shape([x, condition], (*t.shape, self.config.numbers))
        time = time_embedding(t, self.config.embedding)
        time = jax.nn.silu(self.expand_time(time))
        seen = [x, condition]
        if self.geometry is not None:
            likely = self.keep[...][t][:, None] * x
            fixed = self.mean[...], self.scale[...]
            seen.append(self.geometry(likely, condition, *fixed))
        h = self.enter(jnp.concatenate(seen, axis=-1))
        for block in self.blocks:
            h = block(h, time)
        return self.estimate(x, t, self.output(self.norm(h)))


class Denoiser(FixedNumbers):
    """Estimate of the clean vector, in the normalised space it was trained in."""

    def __init__(self, config: DenoiserConfig, *, rngs: nnx.Rngs):
        super().__init__(config.numbers, config.timesteps)
        width, hidden = config.embedding, config.hidden
        self.config = config
        self.time = Embed(width, config, rngs=rngs)
        self.condition = Embed(config.numbers, config, rngs=rngs)
        self.noisy = Embed(config.numbers, config, rngs=rngs)
        self.layers = nnx.List(
            [PostNormLayer(config, rngs=rngs) for _ in range(config.layers)]
        )
        self.merge = linear(3 * width, hidden, rngs=rngs)
        self.skip = linear(config.numbers, hidden, rngs=rngs)
        widths = [
            hidden * (2 if index in config.skips else 1) + 2 * width
            for index in range(config.blocks)
        ]
        self.blocks = nnx.List(
            [linear(w, hidden, std=math.sqrt(2.0 / w), rngs=rngs) for w in widths]
        )
        self.output = linear(hidden, config.numbers, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n"],
        t: Int[Array, "b"],
        condition: Float[Array, "b n"],
        *,
        train: bool = False,
    ) -> Float[Array, "b n"]:
        """Clean vectors of noisy ones; each item of the batch on its own.

        Args:
            x: noisy vectors at the timesteps ``t``.
            t: timesteps from 0.
            condition: vectors of the other hands; zeros where there is none.
            train: without effect: the network has neither dropout nor statistics.
        """
        chex.assert_shape([x, condition], (*t.shape, self.config.numbers))
        time = self.time(time_embedding(t, self.config.embedding))
        other, noisy = self.condition(condition), self.noisy(x)
        tokens = jnp.stack([time, other, noisy], axis=1)
        for layer in self.layers:
            tokens = layer(tokens)
        h = self.merge(tokens.reshape(tokens.shape[0], -1))
        again = self.skip(x)
        for index, block in enumerate(self.blocks):
            seen = [h, again] if index in self.config.skips else [h]
            h = jax.nn.relu(block(jnp.concatenate([*seen, time, other], axis=-1)))
        return self.estimate(x, t, self.output(h))
