"""Finding a trained network: the shipped one, or a model directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from twohand_jax import assets
from twohand_jax.data.inputs import CropConfig
from twohand_jax.errors import InputError
from twohand_jax.inference import programs
from twohand_jax.models import apply
from twohand_jax.weights import native


class Trained(NamedTuple):
    """A trained network.

    Attributes:
        variables: its weights.
        crop: how it wants hands cut out.
        make_apply: gives its function ``(variables, inputs, train=...)``.
        key: text that changes with the function.
    """

    variables: apply.Variables
    crop: CropConfig
    make_apply: Callable[[], Callable[..., Any]]
    key: str


def load_network(directory: str | Path | None, *, cache: Path | None = None) -> Trained:
    """The network of a model directory, its weights, and how it wants its crops.

    Args:
        directory: written by ``weights.native.save``; None for the shipped model.
        cache: folder that remembers the shapes of networks; None for none.

    Raises:
        InputError: there is no such model, or its files do not fit together.
    """
    from twohand_jax import build

    if directory is None and not assets.REGRESSOR.is_dir():
        raise InputError(
            "This installation ships no trained model; give a model directory "
            "(--checkpoint DIR)."
        )
    source = assets.REGRESSOR if directory is None else Path(directory)
    experiment = build.experiment(native.load_config(source))
    network = build.regressor(experiment.model)
    key = repr(experiment.model)
    variables = native.load(source, _shapes(network, key, cache))
    return Trained(variables, experiment.crop, lambda: network.apply, key)


def _shapes(network: apply.Network, key: str, cache: Path | None) -> apply.Variables:
    """The network's shapes; building a network only to ask takes a second."""
    path = cache and cache / f"shapes-{programs.fingerprint(key)}.json"
    content = programs.kept(path) if path else None
    if content is None:
        shapes = apply.shapes(network)
        if path:
            lists = jax.tree.map(lambda leaf: list(leaf.shape), shapes._asdict())
            programs.keep(path, json.dumps(lists).encode())
        return shapes

    def struct(shape: list[int]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(tuple(shape), jnp.float32)

    known = json.loads(content)
    groups = jax.tree.map(struct, known, is_leaf=lambda node: isinstance(node, list))
    return apply.Variables(**groups)
