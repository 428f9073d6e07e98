"""``twohand completion``: what makes a shell complete commands, options and files."""

import argparse
import os
from typing import Any

SHELLS = ("bash", "zsh", "fish")
DESCRIPTION = """\
Print what makes a shell complete the commands and options of twohand. In bash and zsh
put eval "$(twohand completion SHELL)" into ~/.bashrc or ~/.zshrc; in fish put
twohand completion fish | source into ~/.config/fish/config.fish."""


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "completion",
        help="complete commands and options in your shell",
        description=DESCRIPTION,
        examples=(
            "twohand completion bash",
            "twohand completion zsh",
            "twohand completion fish",
        ),
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the shell's code."""
    import argcomplete

    print(argcomplete.shellcode(["twohand"], shell=args.shell))


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks what may come next, and end; else do nothing."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
