"""Who is told of a run beside ``metrics.jsonl``: TensorBoard, Weights & Biases, others.

``train.trackers`` names entries of the table, or a class of one's own as
"package.module:Name". Only the first process tells them anything.
"""

import contextlib
import functools
import importlib
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
from jaxtyping import UInt8
from numpy import ndarray

from twohand_jax import extras
from twohand_jax.errors import InputError, MissingDependencyError, did_you_mean

QUEUE = 1000  # events for TensorBoard's thread, so that its end is seen before it fills
Values = Mapping[str, float]
Settings = Mapping[str, Any]


class Tracker(Protocol):
    """What is told of a run; made with the working directory and the settings.

    Settings are the config's fields by their names with dots, and ``revision``, the git
    revision of the code.
    """

    def write(self, step: int, values: Values) -> None:
        """Take scalars of a step."""

    def picture(self, step: int, name: str, image: UInt8[ndarray, "h w 3"]) -> None:
        """Take an RGB picture of a step."""

    def close(self) -> None:
        """The run ends."""


class TensorBoard:
    """Event files in ``WORKDIR/tensorboard``, with the settings as hyper-parameters."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        """Begin a file."""
        with extras.needed_for("TensorBoard's files need", "tensorboard"):
            from tensorboardX import SummaryWriter, summary
        _say_of_boards()
        self._board = SummaryWriter(str(directory / "tensorboard"), max_queue=QUEUE)
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in settings.items()
        }
        for part in summary.hparams(plain, {}):
            self._board.file_writer.add_summary(part)
        text = json.dumps(dict(settings), indent=1, default=str)
        self._board.add_text("config", f"```\n{text}\n```")

    def write(self, step: int, values: Values) -> None:
        """As ``Tracker.write``."""
        if self._lives():
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: UInt8[ndarray, "h w 3"]) -> None:
        """As ``Tracker.picture``."""
        if self._lives():
            self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """As ``Tracker.close``."""
        with contextlib.suppress(OSError):  # which its thread has told
            if self._lives():
                self._board.close()

    def _lives(self) -> bool:
        """Whether its thread works: what a dead one is given waits for ever."""
        worker = getattr(self._board.file_writer.event_writer, "_worker", None)
        return worker is None or worker.is_alive()


@functools.cache
def _say_of_boards() -> None:
    """Let a full disk under TensorBoard's thread be a sentence, once for all threads.

    Its files are for looking at; what they hold is in the metrics as well.
    """
    before, ignored = threading.excepthook, sys.unraisablehook

    def told(args: threading.ExceptHookArgs) -> None:
        is_board = type(args.thread).__module__.startswith("tensorboardX")
        if not (is_board and isinstance(args.exc_value, OSError)):
            before(args)
            return
        reason = args.exc_value.strerror
        print(f"TensorBoard's files cannot be written: {reason}.", file=sys.stderr)

    def at_exit(args: "sys.UnraisableHookArgs") -> None:
        is_board = str(getattr(args.object, "__module__", "")).startswith(
            "tensorboardX"
        )
        if not (is_board and isinstance(args.exc_value, OSError)):
            ignored(args)

    threading.excepthook, sys.unraisablehook = told, at_exit


class WeightsAndBiases:
    """A run of Weights & Biases, which goes on when the training does.

    Project, entity and mode come from its own variables (``WANDB_PROJECT`` and so on).
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        """Begin, or go on with the run of this working directory."""
        with extras.needed_for("Weights & Biases needs", "wandb"):
            import wandb

        note = directory / "wandb_run.txt"
        known = note.read_text().strip() if note.exists() else None
        directory.mkdir(parents=True, exist_ok=True)
        self._wandb = wandb
        self._run = wandb.init(
            dir=str(directory),
            id=known,
            resume="allow",
            name=directory.name,
            config=dict(settings),
        )
        note.write_text(f"{self._run.id}\n")

    def write(self, step: int, values: Values) -> None:
        """As ``Tracker.write``."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, image: UInt8[ndarray, "h w 3"]) -> None:
        """As ``Tracker.picture``."""
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def close(self) -> None:
        """As ``Tracker.close``."""
        self._run.finish()


TRACKERS: Mapping[str, Callable[[Path, Settings], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}
DEFAULT = ("tensorboard",)  # which a run does without where it is not installed


def check(names: Sequence[str]) -> None:
    """Refuse names that are neither in the table nor of a class.

    Raises:
        InputError: one is.
    """
    for name in names:
        if name not in TRACKERS and ":" not in name:
            raise InputError(
                f"train.trackers names {name!r}{did_you_mean(name, TRACKERS)}; it must "
                f"be one of {', '.join(TRACKERS)}, or package.module:Class."
            )


def begin(
    names: Sequence[str], directory: Path, settings: Settings
) -> tuple[Tracker, ...]:
    """The trackers of a run, on the first process; none on the others.

    Raises:
        InputError: a name is unknown, or its package is missing; of the default one
            this is a sentence on stderr.
    """
    if jax.process_index() != 0:
        return ()
    made = []
    for name in names:
        try:
            made.append(_maker(name)(directory, settings))
        except MissingDependencyError as error:
            if tuple(names) != DEFAULT:
                raise
            print(f"{error} Metrics are in {directory}.", file=sys.stderr)
    return tuple(made)


def _maker(name: str) -> Callable[[Path, Settings], Tracker]:
    if name in TRACKERS:
        return TRACKERS[name]
    check([name])
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"train.trackers names {name!r}, which cannot be imported: {error}."
        ) from error
