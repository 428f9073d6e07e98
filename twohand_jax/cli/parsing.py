"""Command lines: examples in every help, errors of one line, near names for typos."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from twohand_jax import reading
from twohand_jax.errors import did_you_mean

CONFIG_FLAG = "--config."
EXAMPLES = "examples:"
WRONG_USE = 2
LONGEST = 1000  # characters of an error, for values that are quoted
GREEDY = (argparse.PARSER, argparse.REMAINDER)  # whose words another parser reads


class Formatter(argparse.HelpFormatter):
    """Fills paragraphs; those with lines that are set in stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [
            part
            if any(line.startswith("  ") for line in part.splitlines())
            else super(Formatter, self)._fill_text(part, width, indent)
            for part in text.split("\n\n")
        ]
        return "\n\n".join(paragraphs)


class Parser(argparse.ArgumentParser):
    """A parser of ``twohand``, with ``-v`` and ``-q``.

    Attributes:
        examples: command lines, which the help shows at its end.
        takes_changes: whether it takes ``--config.a.b=v`` for ``--set a.b=v``.
    """

    takes_changes = False

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), **options: Any
    ) -> None:
        """As the base class, and the examples."""
        lines = "\n".join([EXAMPLES, *(f"  {line}" for line in examples)])
        parts = [options.get("epilog"), lines if examples else None]
        options["epilog"] = "\n\n".join(part for part in parts if part) or None
        options.setdefault("formatter_class", Formatter)
        super().__init__(*args, **options)
        self.examples = tuple(examples)
        _add_verbosity(self)

    def error(self, message: str) -> NoReturn:
        """End with a line instead of the usage; what was given may be very long."""
        told = reading.shown(" ".join(message.split()), LONGEST)
        self.exit(WRONG_USE, f"{self.prog}: {told} (see {self.prog} --help)\n")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        """As the base class, which declares it in overloads; refuses what is left.

        An option that does not exist is named here and not by the parser above, which
        could not say what it is near to, and before an option that is missing.
        """
        words = sys.argv[1:] if args is None else list(args)
        words = changes_as_set(words) if self.takes_changes else words
        for word in self._own_options(words):
            if not self._knows(word):
                near = did_you_mean(word, self._option_string_actions)
                self.error(f"there is no option {word}{near}")
        found, left = super().parse_known_args(words, namespace)
        if left:
            self.error(f"there is no place for {' '.join(left)}")
        return found, left

    def _own_options(self, words: Sequence[str]) -> list[str]:
        """Long options among words, up to those that another parser will read."""
        has_others = any(action.nargs in GREEDY for action in self._actions)
        options = []
        for word in words:
            if word == "--" or (has_others and not word.startswith("-")):
                break
            if word.startswith("--") and " " not in word:
                options.append(word.partition("=")[0])
        return options

    def _knows(self, option: str) -> bool:
        return any(name.startswith(option) for name in self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        near = did_you_mean(value, action.choices)
        names = ", ".join(map(str, action.choices))
        raise argparse.ArgumentError(
            action, f"there is no {str(value)!r}{near}; choose from {names}"
        )


def _add_verbosity(parser: Parser) -> None:
    """Add ``-v`` and ``-q``; either may stand before the sub-command or behind it."""
    group = parser.add_mutually_exclusive_group()
    unset: Any = argparse.SUPPRESS  # a parser below would reset what one above has read
    group.add_argument(
        *("-v", "--verbose"),
        action="store_true",
        default=unset,
        help="show what libraries log, and tracebacks of unexpected errors",
    )
    group.add_argument(
        *("-q", "--quiet"),
        action="store_true",
        default=unset,
        help="show only results and errors",
    )


def changes_as_set(arguments: Sequence[str]) -> list[str]:
    """The arguments with each ``--config.a.b=v`` or ``--config.a.b v`` as ``--set``."""
    out: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if not word.startswith(CONFIG_FLAG):
            out.append(word)
            continue
        change = word.removeprefix(CONFIG_FLAG)
        if "=" not in change:
            value = next(rest, None)
            change = change if value is None else f"{change}={value}"
        out += ["--set", change]
    return out
