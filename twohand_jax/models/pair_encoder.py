"""Features of a pair of hands: a point network over both surfaces (PointNet-like).

Points share one small network; the maximum over each hand's points is what the rest
sees, so that neither the order nor the number of the points matters.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.models.layers import linear
from twohand_jax.types import NUM_VERTICES

METRES_TO_UNITS = 10.0  # hands are then about as large as the first weights expect
SIDES = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairEncoderConfig:
    """Sizes of the network.

    Attributes:
        points: vertices of each hand that it sees, spread over the vertex order.
        widths: of the layers that all points share.
        hidden: width of the layer after the maximum.
        features: length of the features.
        outputs: numbers that training regresses from the features.
    """

    points: int = 98
    widths: tuple[int, ...] = (32, 128)
    hidden: int = 256
    features: int = 64
    outputs: int = 128

    def __post_init__(self) -> None:
        fields.check(
            self,
            points=fields.Range(low=1, high=NUM_VERTICES),
            widths=fields.COUNT,
            hidden=fields.COUNT,
            features=fields.COUNT,
            outputs=fields.COUNT,
        )
        if not self.widths:
            raise fields.error(self, "widths", "is (); give the width of each layer.")


class PairEncoder(nnx.Module):
    """From both hands' surfaces in the prior frame to features, and to numbers."""

    def __init__(self, config: PairEncoderConfig, *, rngs: nnx.Rngs):
        self.points = config.points
        widths = (3 + SIDES, *config.widths)
        self.shared = nnx.List(
            [linear(a, b, rngs=rngs) for a, b in zip(widths, widths[1:], strict=False)]
        )
        self.hidden = linear(SIDES * widths[-1], config.hidden, rngs=rngs)
        self.features = linear(config.hidden, config.features, rngs=rngs)
        self.output = linear(config.features, config.outputs, rngs=rngs)

    def __call__(
        self, vertices: Float[Array, "b 2 778 3"], *, train: bool = False
    ) -> tuple[Float[Array, "b d"], Float[Array, "b n"]]:
        """Features and the numbers estimated from them.

        Args:
            vertices: right and left hand, metres, the reference being the left one.
            train: without effect.
        """
        chex.assert_shape(vertices, (None, SIDES, NUM_VERTICES, 3))
        spread = np.linspace(0, NUM_VERTICES - 1, self.points).round().astype(int)
        seen = vertices[:, :, spread] * METRES_TO_UNITS
        side = jnp.eye(SIDES, dtype=seen.dtype)[:, None]
        side = jnp.broadcast_to(side, (*seen.shape[:-1], SIDES))
        x = jnp.concatenate([seen, side], axis=-1)
        for layer in self.shared:
            x = jax.nn.relu(layer(x))
        hands = jnp.max(x, axis=2)
        hidden = jax.nn.relu(self.hidden(hands.reshape(len(hands), -1)))
        features = self.features(hidden)
        return features, self.output(jax.nn.relu(features))
