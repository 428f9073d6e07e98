"""Sapiens' released networks (Khirodkar et al., ECCV 2024) as this library's.

Read are state dicts (``.pth``, ``.safetensors``) and TorchScript archives
(``_torchscript.pt2``). Size and kind follow from the shapes.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.models.sapiens import Sapiens
from twohand_jax.models.sapiens_config import (
    DEPTH,
    OUTPUTS,
    POSE,
    SIZES,
    SapiensConfig,
    released,
)
from twohand_jax.weights import native, sapiens_layout, torch_files, torchscript
from twohand_jax.weights.sapiens_layout import LAST, PATCHES
from twohand_jax.weights.torch_files import StateDict

SECTION, ORIGIN = "sapiens", "origin"  # of the config.json


class Loaded(NamedTuple):
    """A network with its weights; ``origin`` names the file they came from."""

    config: SapiensConfig
    variables: Variables
    origin: str


def network(config: SapiensConfig) -> Network:
    """The pure functions of a network."""
    return apply.network(lambda rngs: Sapiens(config, rngs=rngs))


def read(path: str | Path) -> StateDict:
    """The tensors of a released file by name, float32.

    Raises:
        InputError: the file is missing, damaged, or holds anything but tensors.
    """
    if Path(path).suffix == torchscript.SUFFIX or torchscript.is_archive(path):
        return torchscript.read(path)
    return torch_files.read(path)


def infer(state: StateDict, *, where: str | Path) -> SapiensConfig:
    """Which of the released networks a state dict is of.

    Raises:
        InputError: none that makes one of our cues.
    """
    patches = state.get(f"{PATCHES}.weight")
    widths = {size[0]: name for name, size in SIZES.items()}
    if patches is None or patches.shape[1:] != (3, 16, 16):
        found = "absent" if patches is None else f"{patches.shape}"
        raise InputError(
            f"{where} holds no Sapiens network: the weight '{PATCHES}.weight' is "
            f"{found}, expected (width, 3, 16, 16)."
        )
    if patches.shape[0] not in widths:
        raise InputError(
            f"{where} holds no released Sapiens network: '{PATCHES}.weight' has "
            f"shape {patches.shape}, expected a width of "
            f"{', '.join(map(str, widths))} where it has {patches.shape[0]}."
        )
    kind, outputs = _kind(state, where)
    return released(kind, widths[patches.shape[0]], outputs=outputs)


def _kind(state: StateDict, where: str | Path) -> tuple[str, int]:
    """What the last layer of a network is for, and its number of maps."""
    found = [name for name in dict.fromkeys(LAST.values()) if f"{name}.weight" in state]
    if not found:
        raise InputError(
            f"{where} has no head: neither '{LAST[POSE]}.weight' nor "
            f"'{LAST[DEPTH]}.weight' is there; a pretrained backbone alone makes no "
            "cues: give a pose, segmentation or depth network."
        )
    outputs = (*state[f"{found[0]}.weight"].shape, 0)[0]
    for kind, last in LAST.items():
        if last == found[0] and outputs in OUTPUTS[kind]:
            return kind, outputs
    raise InputError(
        f"{where} makes no cue of hands: '{found[0]}.weight' has {outputs} maps, "
        "expected 308 or 133 (keypoints), 28 (body parts) or 1 (depth)."
    )


def convert(
    state: StateDict, *, where: str | Path, config: SapiensConfig | None = None
) -> tuple[SapiensConfig, Variables]:
    """Config and variables of ``models.sapiens.Sapiens`` from a state dict.

    Args:
        state: as ``read`` gives it.
        where: the file, for messages.
        config: of the network the weights are for; None infers it.

    Raises:
        InputError: the weights belong to another network.
    """
    config = infer(state, where=where) if config is None else config
    sapiens_layout.check(state, config, where=where)
    return config, sapiens_layout.arrange(state, config)


def convert_file(path: str | Path, directory: str | Path) -> SapiensConfig:
    """Write the model directory of a released file; returns what it holds.

    Raises:
        InputError: the file is unusable; nothing is written.
    """
    config, variables = convert(read(path), where=path)
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    save(directory, config, variables, origin=f"{Path(path).name} {digest}")
    return config


def save(
    directory: str | Path,
    config: SapiensConfig,
    variables: Variables,
    *,
    origin: str,
    dtype: str = "float32",
) -> None:
    """Write a network as a model directory.

    Args:
        directory: created when missing.
        config: of the network.
        variables: its weights.
        origin: what they were made from, for provenance.
        dtype: "float32", or "float16" to halve the size.
    """
    content = {SECTION: dataclasses.asdict(config), ORIGIN: origin}
    native.save(directory, variables, content, dtype=dtype)


def load(directory: str | Path, *, dtype: str = "float32") -> Loaded:
    """A network from a model directory.

    Args:
        directory: written by ``twohand weights convert sapiens``.
        dtype: of the activations, "float32" or "bfloat16".

    Raises:
        InputError: the directory holds no Sapiens network, or a damaged one.
    """
    content = native.load_config(directory)
    try:
        fields = dict(content[SECTION])
        for name in ("image", "deconvs", "convs"):
            fields[name] = tuple(fields[name])
        config = SapiensConfig(**{**fields, "dtype": dtype})
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{directory} holds no Sapiens network ({error}); write one with "
            "`twohand weights convert sapiens`."
        ) from error
    variables = native.load(directory, apply.shapes(network(config)))
    return Loaded(config, variables, str(content.get(ORIGIN, "unknown")))
