"""The two-hand prior's network: from a noisy hand to a clean one (METHOD §5).

A hand is a vector of numbers (``diffusion.representation``). The network sees the noisy
vector, its timestep and the vector of the other hand, all zeros for "no other hand".
Sizes and wiring are those of InterHandGen (Lee et al., CVPR 2024).
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


class Denoiser(nnx.Module):
    """Estimate of the clean vector, in the normalised space it was trained in.

    ``mean`` and ``scale`` are that space's statistics. The network does not use them:
    they are kept with the weights, which mean nothing without them. ``keep`` is the
    share of the noisy vector that goes straight into the estimate at each timestep, as
    in Karras et al. (NeurIPS 2022); with its zeros the estimate is the output alone.
    """

    def __init__(self, config: DenoiserConfig, *, rngs: nnx.Rngs):
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
        self.mean = nnx.BatchStat(jnp.zeros(config.numbers))
        self.scale = nnx.BatchStat(jnp.ones(config.numbers))
        self.keep = nnx.BatchStat(jnp.zeros(config.timesteps))

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
        kept = self.keep[...][t][:, None]
        return kept * x + jnp.sqrt(1.0 - kept**2) * self.output(h)
