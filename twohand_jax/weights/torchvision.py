"""Conversion of torchvision's ResNets, and how a regressor starts from them."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.apply import Variables
from twohand_jax.models.resnet import RESNET18, RESNET50, ResNet, ResNetConfig
from twohand_jax.weights import native, torch_files
from twohand_jax.weights.torch_files import StateDict, WeightSource

ARCHITECTURES = {"resnet18": RESNET18, "resnet50": RESNET50}
_IGNORED = r"fc\..*|.*\.num_batches_tracked"
FIELDS = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_STEM = {"stem": "conv1", "stem_norm": "bn1"}
_LAYERS = {"convs": "conv", "norms": "bn"}
_SHORTCUT = {"project": "downsample.0", "project_norm": "downsample.1"}


def convert_resnet(
    state: StateDict, config: ResNetConfig, *, where: str | Path
) -> Variables:
    """Variables of ``models.resnet.ResNet`` from a torchvision state dict.

    The classifier ``fc`` is left out.

    Args:
        state: state dict from ``torch_files.read``.
        config: settings of the network that the weights are for.
        where: name of the file, for messages.

    Raises:
        InputError: the weights belong to another network.
    """
    dtype = jnp.dtype("float32")
    net = apply.network(lambda rngs: ResNet(config, dtype=dtype, rngs=rngs))
    return torch_files.fill(
        apply.shapes(net),
        state,
        lambda path: source(path, config.depths),
        ignored=_IGNORED,
        where=where,
    )


def source(path: str, depths: tuple[int, ...]) -> WeightSource:
    """Torchvision's name of a weight of ``models.resnet.ResNet``.

    Args:
        path: of the weight, its group first, such as ``params/stem/kernel``.
        depths: number of blocks in each stage.
    """
    _, *layers, field = path.split("/")
    if layers[0] in _STEM:
        return WeightSource(f"{_STEM[layers[0]]}.{FIELDS[field]}")
    _, _, block, kind, *index = layers
    stage, within = 0, int(block)
    while within >= depths[stage]:
        within -= depths[stage]
        stage += 1
    layer = f"{_LAYERS[kind]}{int(index[0]) + 1}" if index else _SHORTCUT[kind]
    return WeightSource(f"layer{stage + 1}.{within}.{layer}.{FIELDS[field]}")


SECTION = "backbone"  # of the config.json


def save_backbone(directory: str | Path, variables: Variables, *, arch: str) -> None:
    """Write a backbone as a model directory.

    Args:
        directory: created when missing.
        variables: variables of a ``models.resnet.ResNet``.
        arch: name of the architecture, for messages.
    """
    native.save(directory, variables, {SECTION: arch})


def load_backbone(directory: str | Path, shapes: Variables) -> Variables:
    """Weights and statistics of a backbone.

    Args:
        directory: a directory written by ``twohand weights convert torchvision``.
        shapes: shapes of the network that the weights are for.

    Raises:
        InputError: there is no backbone, or it belongs to another network.
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


def adopt_backbones(
    variables: Variables,
    *,
    image: str | Path | None = None,
    cue: str | Path | None = None,
    transnet: str | Path | None = None,
) -> Variables:
    """A regressor's variables with its backbones replaced by converted ones.

    Pictures are then to be normalised by ImageNet's mean and standard deviation, as
    ``RegressorConfig`` does by default.

    Args:
        variables: of a ``models.regressor.Regressor``.
        image: directory of the picture's backbone; None keeps it as it is.
        cue: directory of the backbone that all cues start from, if there are any.
        transnet: directory of the backbone whose stages TransNet starts from, if there
            is one.

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
    if transnet is not None and "transnet" in params:
        own, own_stats = params["transnet"], stats["transnet"]
        start: Any = load_backbone(transnet, _with_stem(own, own_stats))
        params["transnet"] = own | {"stages": start.params["stages"]}
        stats["transnet"] = own_stats | {"stages": start.batch_stats["stages"]}
    return Variables(params, stats)


def _with_stem(params: dict[str, Any], stats: dict[str, Any]) -> Variables:
    """Shapes of the whole backbone whose stages a TransNet has."""
    width = params["kernel"].shape[-1]
    each = jax.ShapeDtypeStruct((width,), np.float32)
    kernel = jax.ShapeDtypeStruct((7, 7, 3, width), np.float32)
    return Variables(
        {
            "stem": {"kernel": kernel},
            "stem_norm": {"scale": each, "bias": each},
            "stages": params["stages"],
        },
        {"stem_norm": {"mean": each, "var": each}, "stages": stats["stages"]},
    )
