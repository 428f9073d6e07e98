"""How like a set of data a set of pairs is, in the pair encoder's feature space."""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Bool, Float
from scipy.spatial.distance import cdist, pdist

from twohand_jax import assets, experiments, mano
from twohand_jax.diffusion import representation
from twohand_jax.errors import InputError
from twohand_jax.experiments import pair_encoder
from twohand_jax.experiments.pair_encoder import PairEncoderExperiment
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import ManoModel, ManoParams
from twohand_jax.weights import native


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlausibilityConfig:
    """Settings of the figures.

    Attributes:
        degree: of the polynomial kernel.
        neighbours: k of the k-nearest-neighbour balls of precision and recall.
        manifold_size: rows that precision and recall look at, the first ones of each
            set; the balls shrink as there are more.
    """

    degree: int = 3
    neighbours: int = 3
    manifold_size: int = 1000


class Plausibility(NamedTuple):
    """The figures of one set of samples against data.

    ``precision`` is the share of samples that lie among the data, ``recall`` the share
    of the data that lies among the samples.
    """

    frechet: float
    kernel: float
    precision: float
    recall: float
    diversity: float


def compare(
    samples: Float[np.ndarray, "n d"],
    data: Float[np.ndarray, "m d"],
    *,
    config: PlausibilityConfig = PlausibilityConfig(),
) -> Plausibility:
    """All figures of samples against data.

    Raises:
        InputError: too few rows, other columns, or a feature that is not finite.
    """
    a, b = _checked(samples, "samples", config), _checked(data, "data", config)
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"The samples have {a.shape[1]} features and the data {b.shape[1]}; take "
            "both from one pair encoder."
        )
    size = config.manifold_size
    precision, recall = precision_and_recall(
        a[:size], b[:size], neighbours=config.neighbours
    )
    return Plausibility(
        frechet=frechet_distance(a, b),
        kernel=kernel_distance(a, b, degree=config.degree),
        precision=precision,
        recall=recall,
        diversity=diversity(a),
    )


def frechet_distance(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """Squared 2-Wasserstein distance of the Gaussians with the sets' moments.

    |m - n|² + tr(S + T - 2 (S T)^½), the last trace from the eigenvalues of the
    symmetric S^½ T S^½, which exists for singular covariances, too.
    """
    offset = a.mean(axis=0) - b.mean(axis=0)
    S, T = (
        np.atleast_2d(np.cov(a, rowvar=False)),
        np.atleast_2d(np.cov(b, rowvar=False)),
    )
    values, vectors = scipy.linalg.eigh(S)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    shared = np.maximum(scipy.linalg.eigvalsh(root @ T @ root), 0.0)
    trace = np.trace(S) + np.trace(T) - 2.0 * np.sum(np.sqrt(shared))
    return float(offset @ offset + trace)


def kernel_distance(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"], *, degree: int = 3
) -> float:
    """Unbiased squared maximum mean discrepancy of the kernel (x·y / d + 1)^degree.

    Its expectation is 0 for two sets of one distribution, so it may be negative.
    """
    width = a.shape[1]

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / width + 1.0) ** degree

    def within(x: np.ndarray) -> float:
        table = kernel(x, x)
        return (table.sum() - np.trace(table)) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2.0 * kernel(a, b).mean())


def precision_and_recall(
    samples: Float[np.ndarray, "n d"],
    data: Float[np.ndarray, "m d"],
    *,
    neighbours: int = 3,
) -> tuple[float, float]:
    """Share of samples among the data, and of data among the samples.

    A set covers the balls around its rows that reach to their k-th nearest neighbours
    in the same set.
    """
    between = cdist(samples, data)
    return (
        float(_covered(between, _radii(data, neighbours)).mean()),
        float(_covered(between.T, _radii(samples, neighbours)).mean()),
    )


def diversity(features: Float[np.ndarray, "n d"]) -> float:
    """Mean distance of two rows, over all pairs of them."""
    return float(pdist(features).mean())


def _radii(
    features: Float[np.ndarray, "n d"], neighbours: int
) -> Float[np.ndarray, "n"]:
    """Distance of each row to its k-th nearest other row."""
    table = cdist(features, features)
    return np.partition(table, neighbours, axis=1)[:, neighbours]


def _covered(
    distances: Float[np.ndarray, "n m"], radii: Float[np.ndarray, "m"]
) -> Bool[np.ndarray, "n"]:
    return np.any(distances <= radii, axis=1)


def _checked(
    features: Float[np.ndarray, "n d"], name: str, config: PlausibilityConfig
) -> Float[np.ndarray, "n d"]:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) <= config.neighbours:
        raise InputError(
            f"The {name} are an array of shape {features.shape}; expected (n, d) with "
            f"more than {config.neighbours} rows, the neighbours of precision."
        )
    if not np.isfinite(features).all():
        raise InputError(f"A feature of the {name} is not finite; drop such rows.")
    return features


BATCH = 256


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainedPairEncoder:
    """A trained pair encoder and the hand model whose surfaces it knows."""

    network: Network
    variables: Variables
    model: ManoModel

    @classmethod
    def load(
        cls, directory: str | Path | None = None, *, model: ManoModel | None = None
    ) -> "TrainedPairEncoder":
        """The pair encoder of a model directory.

        Args:
            directory: written by training; None for the shipped one.
            model: hand model; None for the open hand.

        Raises:
            InputError: there is none, or it belongs to another hand model.
        """
        source = assets.PAIR_ENCODER if directory is None else Path(directory)
        experiment = experiments.parse_as(
            PairEncoderExperiment, native.load_config(source)
        )
        model = mano.load() if model is None else model
        if model.name != experiment.loss.hand:
            raise InputError(
                f"The pair encoder in {source} was trained on the hand model "
                f"{experiment.loss.hand!r}, but the hand model here is {model.name!r}; "
                "train one on it with configs/pair_encoder.py."
            )
        network = pair_encoder.network(experiment.model)
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
    (found, _), _ = network.apply(variables, pair_encoder.surfaces(model, vectors))
    return found
