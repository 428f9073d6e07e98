"""The feature space in which sets of pairs are compared: the shipped network's."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax import assets, mano
from twohand_jax.diffusion import representation
from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.train import features
from twohand_jax.types import ManoModel, ManoParams
from twohand_jax.weights import native

BATCH = 256


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """A trained feature network and the hand model whose surfaces it knows."""

    network: Network
    variables: Variables
    model: ManoModel

    @classmethod
    def load(
        cls, directory: str | Path | None = None, *, model: ManoModel | None = None
    ) -> "Encoder":
        """The feature network of a model directory.

        Args:
            directory: written by training; None for the shipped one.
            model: hand model; None for the open hand.

        Raises:
            InputError: there is none, or it belongs to another hand model.
        """
        from twohand_jax import build

        source = assets.FEATURES if directory is None else Path(directory)
        experiment = build.feature_experiment(native.load_config(source))
        model = mano.load() if model is None else model
        if model.name != experiment.loss.hand:
            raise InputError(
                f"The feature network in {source} was trained on the hand model "
                f"{experiment.loss.hand!r}, but the hand model here is {model.name!r}; "
                "train one on it with configs/features.py."
            )
        network = build.feature_network(experiment.model)
        variables = native.load(source, apply.shapes(network))
        return cls(network=network, variables=variables, model=model)

    def __call__(self, params: ManoParams) -> Float[np.ndarray, "n d"]:
        """Features of pairs, float64; the pairs' reference is each hand in turn.

        Args:
            params: with one leading axis.
        """
        vectors = np.asarray(_vectors(self.model, params))
        parts = []
        for start in range(0, len(vectors), BATCH):
            rows = vectors[start : start + BATCH]
            padded = np.concatenate([rows, np.repeat(rows[:1], BATCH - len(rows), 0)])
            found = _encode(self.network, self.variables, self.model, padded)
            parts.append(np.asarray(found, np.float64)[: len(rows)])
        return np.concatenate(parts)


@jax.jit
def _vectors(model: ManoModel, params: ManoParams) -> Float[Array, "n 2 64"]:
    reference = jnp.arange(len(params.transl)) % 2
    return representation.pack(model, params, reference)


@functools.partial(jax.jit, static_argnums=0)
def _encode(
    network: Network,
    variables: Variables,
    model: ManoModel,
    vectors: Float[Array, "b 2 64"],
) -> Float[Array, "b d"]:
    (found, _), _ = network.apply(variables, features.surfaces(model, vectors))
    return found
