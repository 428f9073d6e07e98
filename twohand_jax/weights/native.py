"""Model directories: ``config.json``, ``weights.npz`` and a card, without any pickle.

This is the form in which models ship and are loaded for inference. Checkpoints of a
running training hold more (optimiser, averages) and belong to ``train.checkpoint``.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from twohand_jax import files, paths, reading
from twohand_jax.errors import InputError, MissingFileError
from twohand_jax.models.apply import Variables

CONFIG, WEIGHTS = "config.json", "weights.npz"
SEPARATOR = "/"
MEDIAPIPE = "mediapipe"  # as what a config starts its image from: the weights that ship
STAGES = "image/stages/"
EXPERIMENT = "experiment"  # the key of a config that names what is trained
OLD_KEY = "task"  # of configs until the key was renamed, with names of that time:
OLD_NAMES = {"features": "pair_encoder", "maps": "segdepth"}


def save(
    directory: str | Path,
    variables: Variables,
    config: dict[str, Any],
    *,
    dtype: str = "float32",
    omit: Sequence[str] = (),
    compressed: bool = True,
) -> None:
    """Write a model directory; each file appears complete or not at all.

    Args:
        directory: created when missing.
        variables: weights and statistics.
        config: the experiment that the network is built from.
        dtype: "float32", or "float16" to halve the size. Statistics stay float32.
        omit: prefixes of the paths of weights to leave out: those of MediaPipe's
            network, if the config starts from it and training has not changed them.
        compressed: whether to; gigabytes take minutes and hardly become smaller.
    """
    directory = paths.local(directory)
    arrays: dict[str, Any] = {}
    for group, tree in variables._asdict().items():
        for name, value in _flat(tree).items():
            if group == "params" and name.startswith(tuple(omit)):
                continue
            kept = np.asarray(value, np.float32)
            arrays[f"{group}{SEPARATOR}{name}"] = (
                kept.astype(dtype) if group == "params" else kept
            )
    files.write_npz(directory / WEIGHTS, arrays, compressed=compressed)
    files.write_json(directory / CONFIG, config, sort_keys=True)


def current(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a config of any version of this library, in today's words."""
    out = dict(config)
    old = out.pop(OLD_KEY, None)
    if old is not None:
        out.setdefault(EXPERIMENT, old)
    name = out.get(EXPERIMENT)
    if isinstance(name, str):
        out[EXPERIMENT] = OLD_NAMES.get(name, name)
    return _cues_by_name(out)


def load_config(directory: str | Path) -> dict[str, Any]:
    """The experiment of a model directory, in today's words.

    Raises:
        InputError: there is no model in the directory.
    """
    path = paths.local(directory) / CONFIG
    try:
        config = reading.read_object(path, limit=reading.SETTINGS_BYTES)
    except MissingFileError as error:
        raise InputError(
            f"{directory} is not a model directory: it has no {CONFIG}; give a "
            "directory written by training, such as WORKDIR/model."
        ) from error
    return current(config)


def load(directory: str | Path, shapes: Variables) -> Variables:
    """Load the weights of a model directory, as float32.

    If the config starts from MediaPipe's network, weights that the directory leaves
    out are read from the file of that network.

    Args:
        directory: a directory written by ``save``.
        shapes: shapes the network expects (``models.apply.shapes``).

    Raises:
        InputError: a weight is missing, left over, or of another shape or type.
    """
    path = paths.local(directory) / WEIGHTS
    try:
        arrays = reading.read_npz(path, limit=_limit(shapes))
    except InputError as error:
        raise InputError(f"{error} It should hold the weights of a model.") from error
    arrays = _left_out(directory, arrays, shapes) | arrays
    loaded = {}
    for group, tree in shapes._asdict().items():
        wanted = {f"{group}{SEPARATOR}{k}": v for k, v in _flat(tree).items()}
        loaded[group] = _nest(
            {
                name.removeprefix(group + SEPARATOR): _checked(
                    arrays, name, leaf.shape, path
                )
                for name, leaf in wanted.items()
            }
        )
        for name in wanted:
            arrays.pop(name)
    if arrays:
        raise InputError(
            f"{path} holds {len(arrays)} weights that the config's network does not "
            f"have, first {sorted(arrays)[0]!r}; it belongs to another config."
        )
    # All at once: hundreds of small arrays one by one take half a second.
    return jax.device_put(Variables(**loaded))


def load_fitting(
    directory: str | Path, variables: Variables
) -> tuple[Variables, int, int]:
    """Put the weights of a model directory into those of a network, as far as they fit.

    Args:
        directory: a directory written by ``save``; its network may be another one.
        variables: those of the network.

    Returns:
        The variables, how many arrays were taken, and how many there are.

    Raises:
        InputError: the directory holds no model, or nothing of it fits.
    """
    load_config(directory)
    path = paths.local(directory) / WEIGHTS
    arrays = reading.read_npz(path, limit=_limit(variables))
    arrays = _left_out(directory, arrays, variables) | arrays
    groups, taken, total = {}, 0, 0
    for group, tree in variables._asdict().items():
        own = _flat(tree)
        for name, leaf in own.items():
            found = arrays.get(f"{group}{SEPARATOR}{name}")
            total += 1
            if found is not None and found.shape == leaf.shape:
                own[name] = jax.numpy.asarray(found, leaf.dtype)
                taken += 1
        groups[group] = _nest(own)
    if not taken:
        raise InputError(
            f"{directory} holds no weight that fits this config's network: it belongs "
            "to another kind of network."
        )
    return Variables(**groups), taken, total


def _limit(shapes: Variables) -> int:
    """Twice the bytes that the network's weights have, and some for another's."""
    needed = sum(4 * math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    return 2 * needed + 256 * reading.MIB


def _left_out(
    directory: str | Path, arrays: Mapping[str, np.ndarray], shapes: Variables
) -> dict[str, np.ndarray]:
    """Weights of MediaPipe's stages that a model directory leaves to its file."""
    wanted = {f"params{SEPARATOR}{name}" for name in _flat(shapes.params)}
    missing = {name for name in wanted - set(arrays) if STAGES in name}
    init = load_config(directory).get("init") if missing else None
    if not isinstance(init, Mapping) or init.get("image") != MEDIAPIPE:
        return {}
    from twohand_jax.weights import mediapipe

    shipped: Any = mediapipe.read().params
    known = _flat({"params": {"image": shipped["image"]}})
    return {name: np.asarray(known[name]) for name in missing & set(known)}


def _checked(
    arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...], path: Path
) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            f"{path} has no weight {name!r}, which the config's network needs; it "
            "belongs to another config."
        )
    value = arrays[name]
    if value.shape != shape or value.dtype.kind != "f":
        raise InputError(
            f"{path}: weight {name!r} is {value.dtype} {value.shape}, the config's "
            f"network expects float {shape}."
        )
    return value.astype(np.float32)


def _flat(tree: PyTree, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{SEPARATOR}{key}" if prefix else key)
    return out


def _nest(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, leaf = name.split(SEPARATOR)
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def _cues_by_name(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose cues stand by name; older ones told them by their place."""
    names = ("keypoints", "segmentation", "depth")
    sections = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
    }
    model, crop = sections.get("model"), sections.get("crop")
    augment = sections.get("augment")
    if isinstance(model, dict) and _three(model.get("cues"), bool):
        flags = zip(names, model["cues"], strict=True)
        model["cues"] = tuple(name for name, is_used in flags if is_used)
    if isinstance(augment, dict) and _three(augment.get("cue_dropout"), float | int):
        shares = zip(names, augment["cue_dropout"], strict=True)
        augment["cue_dropout"] = {name: share for name, share in shares if share}
    if isinstance(crop, dict) and {"gate_keypoints", "gate_segmentation"} & set(crop):
        gates = {name: crop.pop(f"gate_{name}", True) for name in names[:2]}
        crop["gate"] = tuple(name for name, is_gated in gates.items() if is_gated)
    return sections


def _three(value: Any, kind: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(one, kind) for one in value)
    )
