# PYTHON_ARGCOMPLETE_OK
"""The command ``twohand``: finds the sub-command, turns errors into one sentence."""

import argparse
import contextlib
import io
import os
import platform
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import FrameType

import twohand_jax
from twohand_jax import extras, paths, reading, switches
from twohand_jax.cli import (
    benchmark,
    completion,
    convert,
    cues,
    data,
    doctor,
    evaluate,
    export,
    parsing,
    prior,
    reconstruct,
    train,
    verbosity,
    view,
    weights,
)
from twohand_jax.errors import OF_PATHS, FailedError, InputError

# Each module has add(subparsers), and imports what it needs when it runs. What runs
# returns an exit code or None for 0.
COMMANDS = (
    reconstruct,
    view,
    convert,
    cues,
    train,
    evaluate,
    prior,
    data,
    weights,
    export,
    benchmark,
    doctor,
    completion,
)
FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 1, 2, 130, 143


def parser() -> parsing.Parser:
    """The whole command line."""
    top = parsing.Parser(
        prog="twohand",
        description="Two interacting hands from one image: meshes, poses, training.",
        examples=(
            "twohand reconstruct PHOTO.jpg --out results",
            "twohand view results --html all.html",
            "twohand doctor",
        ),
    )
    top.add_argument(
        "--version",
        action="version",
        version=version(),
        help="print it, JAX's and Python's",
    )
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(subparsers)
    return top


def version() -> str:
    """Of this package, of JAX and of Python, without importing JAX."""
    jax, python = metadata.version("jax"), platform.python_version()
    return f"twohand_jax {twohand_jax.__version__} (JAX {jax}, Python {python})"


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    0: done. 1: what was asked for could not be finished. 2: wrong use or input. 130 and
    143: interrupted by Ctrl-C, by SIGTERM. One sentence on stderr says what it was
    (docs/reliability.md). Errors that nobody expected keep their traceback with ``-v``
    or ``TWOHAND_TRACEBACK`` set, and errors of the system with the latter.

    Args:
        argv: arguments without the program's name; ``sys.argv`` by default.
    """
    _say_all_characters()
    try:
        with _terminable(), switches.of_command():
            whole = parser()
            completion.complete(whole)
            args = whole.parse_args(argv)
            with verbosity.applied(args):
                return _run(args)
    except Terminated:
        print("twohand: ended by SIGTERM", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        print("twohand: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(args: argparse.Namespace) -> int:
    try:
        with paths.session():
            return _done(args)
    except BrokenPipeError:
        # The reader of our output went away (as with `| head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except InputError as error:
        code, message = BAD_INPUT, str(error)
    except FailedError as error:
        code, message = FAILED, str(error)
    except MemoryError as error:
        code, message = FAILED, f"there is not enough memory. {error}"
    except OSError as error:
        if os.environ.get(verbosity.TRACEBACK):
            raise
        code = BAD_INPUT if error.errno in OF_PATHS else FAILED
        message = _system_sentence(error)
    except Exception as error:
        if lacking := _missing_extra(error):
            code, message = BAD_INPUT, lacking
        elif _is_lost(error):
            from twohand_jax.train import distributed

            code, message = FAILED, distributed.LOST
        elif missing := _missing_platform():
            code, message = BAD_INPUT, missing
        elif verbosity.is_verbose(args) or os.environ.get(verbosity.TRACEBACK):
            raise
        else:
            code, message = FAILED, _mistake(error)
    lines = (reading.shown(line, LONGEST) for line in message.splitlines())
    print(f"twohand {args.command}: " + "\n".join(lines), file=sys.stderr)
    return code


def _done(args: argparse.Namespace) -> int:
    """Do what a command does; messages of errors name stores by their URLs."""
    try:
        paths.attach_all(vars(args).values())
        code = args.run(args) or 0
        sys.stdout.flush()
        return code
    except (InputError, FailedError) as error:
        error.args = (paths.told(str(error)), *error.args[1:])
        raise
    except OSError as error:
        if error.filename is not None and not isinstance(error.filename, int):
            error.filename = paths.told(os.fspath(error.filename))
        raise


def _is_lost(error: Exception) -> bool:
    """Whether another process of the run is the cause of an error."""
    if "jax" not in sys.modules:
        return False
    import jax

    is_of_jax = isinstance(error, jax.errors.JaxRuntimeError)
    return is_of_jax and jax.distributed.is_initialized()


def _missing_extra(error: Exception) -> str | None:
    """What to say of a package that an extra brings, where it is not installed."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    extra = extras.of_module(error.name)
    if extra is None:
        return None
    return (
        f"The package {error.name} is not installed: install it with "
        f"{extras.command(extra)}."
    )


PACKAGE = "twohand_jax"
MISTAKE = "This is a mistake in twohand_jax, not in what you gave it"


def _mistake(error: Exception) -> str:
    """An error that nobody expected, in a line, with where it happened."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if PACKAGE in Path(f.filename).parts]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return (
        f"unexpected {type(error).__name__}{where}{': ' if text else ''}"
        f"{text.rstrip('.')}. {MISTAKE}: run it again with -v and report the traceback."
    )


def _missing_platform() -> str | None:
    """What to say of a JAX_PLATFORMS of which this machine has no device."""
    wanted = os.environ.get("JAX_PLATFORMS")
    if not wanted or "jax" not in sys.modules:
        return None
    import jax

    try:
        jax.devices()
    except Exception:  # whatever JAX raises for one
        return (
            f"JAX_PLATFORMS is {wanted!r}, but JAX finds no such device here: unset "
            "it, or install the extra for it, such as 'twohand_jax[cuda13]'."
        )
    return None


LONGEST = 2000  # characters of a line, for values that are quoted


def _system_sentence(error: OSError) -> str:
    where = "" if error.filename is None else f"{reading.shown(error.filename)}: "
    return f"{where}{error.strerror or error}."


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the command as Ctrl-C does, so that nothing is left behind."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread: signals stay as they are
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_all_characters() -> None:
    """Write what a terminal's encoding lacks in escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
