"""What several commands share: configs, cue options, folders, processes."""

import argparse
import ast
import contextlib
import inspect
import os
import runpy
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from twohand_jax import arguments, files, paths
from twohand_jax.cli.parsing import Parser
from twohand_jax.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from twohand_jax.inference.observe import CueConfig


def cache_folder() -> Path | None:
    """The user's cache folder of this project (XDG base directory specification).

    None for a user without a home: programs are kept nowhere that others may write.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "twohand_jax"
    try:
        return Path.home() / ".cache" / "twohand_jax"
    except RuntimeError:
        return None


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Flags of a program that runs as several processes (``train.distributed``)."""
    group = parser.add_argument_group("several processes (see docs/training.md)")
    option = group.add_argument
    option("--distributed", action="store_true", help="find the others (Slurm, TPU)")
    option("--coordinator", metavar="HOST:PORT", help="of process 0, without these")
    option(
        "--processes", type=arguments.positive, metavar="N", help="how many there are"
    )
    option(
        "--process",
        type=arguments.not_negative,
        metavar="I",
        help="which this one is, from 0",
    )


def add_hand(parser: argparse.ArgumentParser) -> None:
    """Add ``--other-hand``, see ``check_hand``."""
    parser.add_argument(
        "--other-hand",
        action="store_true",
        help="take a --mano that the network was not trained on: its poses and shapes "
        "mean another hand there, and the errors are larger",
    )


def check_hand(mano: Path | None, model: Path | None, *, is_asked: bool) -> None:
    """Refuse a hand model that a network was not trained on.

    Args:
        mano: of the command; None for the open hand.
        model: model directory of the network; None for the shipped one.
        is_asked: whether ``--other-hand`` was given.

    Raises:
        InputError: the hand model is another one.
    """
    from twohand_jax import assets, experiments
    from twohand_jax.experiments.regressor import RegressorExperiment
    from twohand_jax.mano import load
    from twohand_jax.weights import native

    if is_asked or (mano is None and model is None):
        return
    source = assets.REGRESSOR if model is None else model
    config = native.load_config(source)
    wanted = experiments.parse_as(RegressorExperiment, config).data.hand
    found = load(mano).name
    if found != wanted:
        raise InputError(
            f"The network in {source} was trained on the hand model {wanted!r}, but "
            f"{mano or 'the one at hand'} is {found!r}; their numbers mean different "
            "hands. Give its hand model with --mano, name a network that was trained "
            f"on this one, or ask for the mixture with --other-hand.{_where(wanted)}"
        )


def _where(hand: str) -> str:
    """Where a hand model is to be had, as a sentence more; "" if that is not known."""
    if hand != "mano":
        return ""
    return (
        " MANO is free for research at mano.is.tue.mpg.de: put MANO_RIGHT.pkl and "
        "MANO_LEFT.pkl into one folder and give it as --mano FOLDER."
    )


@contextlib.contextmanager
def alone(directory: Path, command: str, *inside: str) -> Iterator[None]:
    """A directory for one command at a time; several processes of it are one.

    What a killed one left half-written goes.

    Args:
        directory: of the results.
        command: its name, for others.
        inside: folders in it that the command writes to.

    Raises:
        InputError: another one is at work there.
    """
    from twohand_jax import locks
    from twohand_jax.train import distributed

    if not distributed.is_first():
        yield
        return
    with locks.held(directory, command):
        for folder in (directory, *(directory / name for name in inside)):
            files.remove_partials(folder, is_deep=False)
        yield


def enable_compilation_cache() -> None:
    """Keep compiled programs between runs, where the cache folder can be written."""
    import jax

    base = cache_folder()
    if jax.config.values["jax_compilation_cache_dir"] is not None or base is None:
        return  # the user's own (JAX_COMPILATION_CACHE_DIR), or none
    folder = base / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


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
        option(f"--sapiens-{kind}", type=paths.given, metavar="DIR", help=text)
    text = "pictures on each device at a time; 1"
    option(
        "--sapiens-batch", type=arguments.positive, metavar="N", default=1, help=text
    )
    text = "devices that share one copy of the weights; 1"
    option("--sapiens-fsdp", type=arguments.positive, metavar="N", default=1, help=text)
    text = "finds the hands: FILE.onnx, or the directory of a converted InterWild"
    option("--detector", type=paths.given, metavar="FILE", help=text)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add what a command over many pictures does with folders and finished files."""
    option = parser.add_argument
    option("--recursive", action="store_true", help="search folders in folders, too")
    option("--again", action="store_true", help="make finished pictures anew")
    text = "replace files that no earlier run made, too"
    option("--overwrite", action="store_true", help=text)


def cue_config(args: argparse.Namespace) -> "CueConfig":
    """What the flags say."""
    from twohand_jax.inference.observe import CueConfig

    models = {name: getattr(args, f"sapiens_{name}") for name in CUE_NAMES}
    return CueConfig(
        source=args.cues,
        sapiens_models=tuple((name, path) for name, path in models.items() if path),
        sapiens_batch=args.sapiens_batch,
        sapiens_fsdp=args.sapiens_fsdp,
        detector=args.detector,
    )


def add_config(parser: Parser) -> None:
    """Add ``--config`` and ``--set``, see ``load_config``."""
    text = "a shipped config's name, as open, or a Python file; NAME:OPTION"
    parser.add_argument("--config", required=True, metavar="NAME", help=text)
    text = "print the shipped configs and exit"
    parser.add_argument("--list-configs", action=_ListConfigs, nargs=0, help=text)
    add_changes(parser)


class _ListConfigs(argparse.Action):
    """Print the name of each shipped config and the first line of its docstring."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """As ``--version``: what else is on the command line doesn't matter."""
        for name, path in shipped_configs().items():
            about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            print(f"{name:<13} {about.splitlines()[0]}")
        parser.exit()


def shipped_configs() -> dict[str, Path]:
    """The configs of the package by their names."""
    folder = Path(__file__).parents[1] / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def add_changes(parser: Parser) -> None:
    """Add ``--set`` and its other form, ``--config.SECTION.FIELD=VALUE``."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="change a field of the config; may be repeated; "
        "--config.SECTION.FIELD=VALUE is the same",
    )
    parser.takes_changes = True


def load_config(path: str, changes: Sequence[str] = ()) -> ConfigDict:
    """The config of a Python file, with ``section.field=value`` changes applied.

    Args:
        path: ``FILE.py``, or the name of a shipped config; with ``:OPTION`` or without.
            The file defines ``get_config``, which takes the option when one is given. A
            file with ``OPTIONS`` takes these.
        changes: values are read as Python literals where they are some. A section that
            the config leaves out starts from its defaults.

    Raises:
        InputError: the file is no config, it does not take the option, or there is no
            such section.
    """
    file, option = _split_option(path)
    if not Path(file).is_file():
        shipped = shipped_configs()
        if file not in shipped:
            raise InputError(
                f"There is no config file {file}; give a file, or the name of a "
                f"shipped config: {', '.join(shipped)}."
            )
        file = str(shipped[file])
    config = _call(file, option)
    for change in changes:
        _apply(config, change)
    return config


def _split_option(path: str) -> tuple[str, str | None]:
    file, colon, option = path.rpartition(":")
    if not colon or Path(path).is_file():
        return path, None
    return file, option


def _call(file: str, option: str | None) -> ConfigDict:
    """What ``get_config`` of a file returns."""
    try:
        module = runpy.run_path(file)
    except SyntaxError as error:
        raise InputError(
            f"{file}, line {error.lineno}, is not Python: {error.msg}."
        ) from error
    except Exception as error:
        raise InputError(f"{file} cannot be run: {_told(error, file)}.") from error
    make, options = module.get("get_config"), module.get("OPTIONS")
    if not callable(make):
        raise InputError(f"{file} defines no function get_config, so it is no config.")
    if option is not None and not inspect.signature(make).parameters:
        raise InputError(f"{file} takes no option; leave out {':' + option!r}.")
    if option is not None and options is not None and option not in options:
        raise InputError(
            f"{file} has no option {option!r}{did_you_mean(option, options)}; its "
            f"options are {', '.join(options)}."
        )
    try:
        config = make() if option is None else make(option)
    except Exception as error:
        what = "get_config" if option is None else f"get_config({option!r})"
        raise InputError(f"{file}: {what} fails: {_told(error, file)}.") from error
    if isinstance(config, Mapping):
        config = ConfigDict(dict(config))
    if not isinstance(config, ConfigDict):
        raise InputError(
            f"{file}: get_config returns {config!r}, not a ConfigDict; it must end "
            "with `return config`."
        )
    return config


def _told(error: Exception, file: str) -> str:
    """An exception of a config file in a line, with the line of the file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    text = " ".join(str(error).split())
    where = f" in line {lines[-1]}" if lines else ""
    return f"{type(error).__name__}{where}{': ' if text else ''}{text.rstrip('.')}"


def _apply(config: ConfigDict, change: str) -> None:
    from twohand_jax.experiments import base

    name, equals, text = change.partition("=")
    *sections, field = name.split(".")
    if not equals or not field or not all(sections):
        raise InputError(
            f"--set {change} must read section.field=value, as must "
            "--config.section.field=value."
        )
    node = config
    for depth, section in enumerate(sections, start=1):
        if section not in node:
            missing = base.defaults(config, sections[:depth])
            if missing is not None:
                with node.unlocked():
                    node[section] = missing
        if not isinstance(node.get(section), ConfigDict):
            where = ".".join(sections[:depth])
            raise InputError(
                f"--set {change}: config.{where} is None and has no fields."
                if section in node and node[section] is None
                else f"--set {change}: the config has no section {where!r}"
                f"{did_you_mean(section, node)}."
            )
        # A dict that a file uses twice is one node in both places: change this one.
        own = ConfigDict(node[section])
        with node.unlocked(), node.ignore_type():
            node[section] = own
        node = own
    with node.unlocked(), node.ignore_type():
        node[field] = _literal(text)


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
