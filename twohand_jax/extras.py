"""The extras of setup.cfg: what each is for, and what is said where one is missing."""

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import NamedTuple

from twohand_jax.errors import MissingDependencyError


class Extra(NamedTuple):
    """What ``pip install 'twohand_jax[NAME]'`` brings.

    Attributes:
        purpose: what it is for.
        modules: names under which its packages are imported.
    """

    purpose: str
    modules: tuple[str, ...]


EXTRAS = {
    "data": Extra(
        "record sets: building, training and evaluating on them",
        ("tensorflow", "tensorflow_datasets", "google.protobuf", "ijson", "simplejpeg"),
    ),
    "beam": Extra("builds under Apache Beam", ("apache_beam",)),
    "render": Extra("synthetic pictures", ("moderngl",)),
    "onnx": Extra("hand detectors in ONNX files", ("onnxruntime",)),
    "evaluation": Extra(
        "plots of errors and intersection volumes", ("matplotlib", "manifold3d")
    ),
    "weights": Extra("weights in PyTorch's files", ("torch", "safetensors")),
    "heic": Extra("HEIC photographs", ("pillow_heif",)),
    "tensorboard": Extra("event files of training runs", ("tensorboardX",)),
    "wandb": Extra("training runs in Weights & Biases", ("wandb",)),
    "parquet": Extra("predictions in Parquet files", ("pyarrow",)),
    "gcs": Extra("paths in Google's stores, gs://", ("gcsfs", "fsspec")),
    "s3": Extra("paths in Amazon's and like stores, s3://", ("s3fs", "fsspec")),
    "view": Extra("the view in the browser", ("viser",)),
    # What else it brings are tools that run notebooks; who has one open has one.
    "notebooks": Extra("the notebooks", ("matplotlib",)),
}


@contextlib.contextmanager
def needed_for(what: str, *extras: str, instead: str = "") -> Iterator[None]:
    """Turn an import that fails into a sentence that names the extra.

    Args:
        what: needs the package, as in "Plots need the package matplotlib".
        extras: all that it needs; those that are there are not named.
        instead: what else can be done.

    Raises:
        MissingDependencyError: a package is not installed, or does not load.
    """
    try:
        yield
    except ImportError as error:
        name = (error.name or "of an extra").split(".")[0]
        lacking = ",".join(extra for extra in extras if missing(extra)) or extras[0]
        is_missing = isinstance(error, ModuleNotFoundError)
        state = "is not installed" if is_missing else f"does not load here ({error})"
        raise MissingDependencyError(
            f"{what} the package {name}, which {state}: install it with "
            f"{command(lacking)}{f', or {instead}' if instead else ''}."
        ) from error


def require(*extras: str) -> None:
    """Raises MissingDependencyError unless all packages of some extras are there."""
    lacking = {extra: missing(extra) for extra in extras if missing(extra)}
    if lacking:
        packages = ", ".join(name for names in lacking.values() for name in names)
        raise MissingDependencyError(
            f"This needs {packages}, which is not installed: install it with "
            f"{command(','.join(lacking))}."
        )


def missing(extra: str) -> list[str]:
    """Which packages of an extra are not installed."""
    return [name for name in EXTRAS[extra].modules if not is_there(name)]


def of_module(name: str) -> str | None:
    """The extra that brings a module, if one does."""
    top = name.split(".")[0]
    for extra, (_, modules) in EXTRAS.items():
        if top in modules:
            return extra
    return None


def command(extra: str) -> str:
    """What installs an extra, or several with commas between."""
    return f"`python -m pip install 'twohand_jax[{extra}]'`"


def is_there(name: str) -> bool:
    """Whether a package is installed; it is not imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
