"""``twohand data``: build record sets, and look into them."""

from typing import Any

from twohand_jax.cli import data_build, data_cues, data_inspect


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser("data", help="build and inspect record sets")
    actions = parser.add_subparsers(dest="action", required=True)
    data_build.add(actions)
    data_cues.add(actions)
    data_inspect.add(actions)
