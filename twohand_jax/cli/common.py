"""What several commands share: configs, cue options, progress, processes."""

import argparse
import os
import runpy
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ml_collections import ConfigDict

from twohand_jax.errors import InputError

if TYPE_CHECKING:
    from twohand_jax.inference.observe import CueConfig


T = TypeVar("T")


def cache_folder() -> Path:
    """The user's cache folder of this project (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "twohand_jax"


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Flags of a program that runs as several processes (``train.distributed``)."""
    group = parser.add_argument_group("several processes (see docs/training.md)")
    option = group.add_argument
    option("--distributed", action="store_true", help="find the others (Slurm, TPU)")
    option("--coordinator", metavar="HOST:PORT", help="of process 0, without these")
    option("--processes", type=int, metavar="N", help="how many there are")
    option("--process", type=int, metavar="I", help="which this one is, from 0")


def enable_compilation_cache() -> None:
    """Keep compiled programs between runs, where the cache folder can be written."""
    # XLA tells about every cached program whose processor flags it cannot compare.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    folder = cache_folder() / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def progress(items: Iterable[T], *, unit: str, total: int | None = None) -> Iterator[T]:
    """Count items on a terminal; with a total, say how long the rest will take."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    bar = tqdm(items, unit=unit, total=total, delay=5.0, leave=False)
    yield from bar


def say(message: str) -> None:
    """Print to stdout without breaking a progress bar."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stdout)


CUE_SOURCES = ("auto", "mediapipe", "sapiens")
# Of crops.cue_table, which would import JAX before a command line is even read.
CUE_NAMES = ("keypoints", "segmentation", "depth", "normals")


def add_cue_options(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add ``--cues``, the Sapiens models and ``--detector``.

    Args:
        parser: of the command.
        more: further values of ``--cues``.
    """
    option = parser.add_argument
    option(
        "--cues",
        choices=[*CUE_SOURCES, *more],
        default="auto",
        help="mediapipe: keypoints; auto: and maps by the shipped network; sapiens: "
        "whatever models are given",
    )
    for kind in CUE_NAMES:
        text = "model that `twohand weights convert sapiens` wrote"
        option(f"--sapiens-{kind}", type=Path, metavar="DIR", help=text)
    text = "pictures on each device at a time; 1"
    option("--sapiens-batch", type=int, metavar="N", default=1, help=text)
    option("--detector", type=Path, metavar="FILE.onnx", help="finds the hands")


def cue_config(args: argparse.Namespace) -> "CueConfig":
    """What the flags say."""
    from twohand_jax.inference.observe import CueConfig

    models = {name: getattr(args, f"sapiens_{name}") for name in CUE_NAMES}
    return CueConfig(
        source=args.cues,
        sapiens_models=tuple((name, path) for name, path in models.items() if path),
        sapiens_batch=args.sapiens_batch,
        detector=args.detector,
    )


def load_config(path: str, changes: list[str]) -> ConfigDict:
    """The config of a Python file, with ``section.field=value`` changes applied.

    Args:
        path: ``FILE.py`` or ``FILE.py:ARGUMENT``; the file defines ``get_config``,
            which takes the argument when one is given.
        changes: values are read as Python literals where they are some.

    Raises:
        InputError: no such file or field, or a value of another type.
    """
    file, _, argument = path.partition(":")
    if not Path(file).is_file():
        raise InputError(f"There is no config file {file}; try configs/open.py.")
    namespace = runpy.run_path(file)
    if "get_config" not in namespace:
        raise InputError(f"{file} defines no function get_config, so it is no config.")
    config = namespace["get_config"](*([argument] if argument else []))
    for change in changes:
        _apply(config, change)
    return config


def _apply(config: ConfigDict, change: str) -> None:
    name, equals, text = change.partition("=")
    *sections, field = name.split(".")
    if not equals or not sections:
        raise InputError(f"--set {change} must read section.field=value.")
    node = config
    for section in sections:
        if section not in node or not isinstance(node[section], ConfigDict):
            raise InputError(f"--set {change}: the config has no section {section!r}.")
        node = node[section]
    with node.unlocked(), node.ignore_type():
        node[field] = _literal(text)


def _literal(text: str) -> object:
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
