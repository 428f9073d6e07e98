"""The optional packages: in which extra each is, and what it is for."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import NamedTuple

PACKAGE = "twohand_jax"


class Extra(NamedTuple):
    """An extra of the package.

    Attributes:
        purpose: what does not work without it.
        modules: what it installs, by the names they are imported by.
    """

    purpose: str
    modules: Sequence[str]


EXTRAS: Mapping[str, Extra] = {
    "data": Extra(
        "training and evaluation on record sets, and building them",
        ("tensorflow", "tensorflow_datasets", "google.protobuf", "ijson", "simplejpeg"),
    ),
    "beam": Extra("building record sets with Apache Beam", ("apache_beam",)),
    "render": Extra("drawing synthetic pictures", ("moderngl",)),
    "onnx": Extra("hand detectors in ONNX files", ("onnxruntime",)),
    "evaluation": Extra("plots, volumes of penetration", ("matplotlib", "manifold3d")),
    "weights": Extra("reading PyTorch's weights", ("torch", "safetensors")),
    "heic": Extra("HEIC photographs", ("pillow_heif",)),
    "view": Extra("looking at results in a browser", ("viser",)),
}


def missing(extra: Extra) -> list[str]:
    """The modules of an extra that are not installed."""
    return [name for name in extra.modules if not _is_there(name)]


def install_command(*names: str) -> str:
    """The command that installs extras."""
    return f"pip install '{PACKAGE}[{','.join(names)}]'"


def needed_by(module: str) -> str | None:
    """The extra that brings a module; None if it belongs to none."""
    first = module.partition(".")[0]
    for name, extra in EXTRAS.items():
        if first in {known.partition(".")[0] for known in extra.modules}:
            return name
    return None


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
