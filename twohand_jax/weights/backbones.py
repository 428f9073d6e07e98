"""Converted backbones on disk, and how a regressor starts from them."""

from pathlib import Path
from typing import Any

from twohand_jax.errors import InputError
from twohand_jax.models.apply import Variables
from twohand_jax.weights import native

SECTION = "backbone"  # of the config.json


def save(directory: str | Path, variables: Variables, *, arch: str) -> None:
    """Write a backbone as a model directory.

    Args:
        directory: created when missing.
        variables: of a ``models.resnet.ResNet``.
        arch: its name, for messages.
    """
    native.save(directory, variables, {SECTION: arch})


def load_backbone(directory: str | Path, shapes: Variables) -> Variables:
    """Weights and statistics of a backbone.

    Args:
        directory: written by ``twohand weights convert torchvision``.
        shapes: shapes of the network they are for.

    Raises:
        InputError: the directory holds no backbone, or that of another network.
    """
    arch = native.load_config(directory).get(SECTION)
    if arch is None:
        raise InputError(
            f"{directory} holds no backbone; write one with "
            "`twohand weights convert torchvision`."
        )
    try:
        return native.load(directory, shapes)
    except InputError as error:
        raise InputError(
            f"The {arch} in {directory} does not fit the config's backbone: {error}"
        ) from error


def adopt(
    variables: Variables,
    *,
    image: str | Path | None = None,
    cue: str | Path | None = None,
) -> Variables:
    """A regressor's variables with its backbones replaced by converted ones.

    Pictures are then to be normalised by ImageNet's mean and standard deviation, as
    ``RegressorConfig`` does by default.

    Args:
        variables: of a ``models.regressor.Regressor``.
        image: directory of the picture's backbone; None keeps it as it is.
        cue: directory of the backbone that all cues start from, if there are any.

    Raises:
        InputError: a directory holds no backbone, or that of another network.
    """
    params: dict[str, Any] = dict(variables.params)
    stats: dict[str, Any] = dict(variables.batch_stats)
    if image is not None:
        shapes = Variables(params["image"], stats["image"])
        params["image"], stats["image"] = load_backbone(image, shapes)
    if cue is not None and params.get("cues"):
        shapes = Variables(params["cues"]["0"], stats["cues"]["0"])
        loaded = load_backbone(cue, shapes)
        params["cues"] = {name: loaded.params for name in params["cues"]}
        stats["cues"] = {name: loaded.batch_stats for name in stats["cues"]}
    return Variables(params, stats)
