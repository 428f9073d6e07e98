"""Tables in Markdown with aligned columns, and without its bars on a terminal."""

import itertools
import re
from collections.abc import Sequence

GAP = "  "  # between columns on a terminal
START = re.compile(r"[-+−]?\d|–|$")  # of a number, of what is absent, or nothing


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns of numbers, all but the first, stand to the right.

    Args:
        head: names of the columns.
        rows: cells of each row.
    """
    columns = list(zip(head, *rows, strict=True))
    to_right = [
        number > 0 and all(START.match(cell) for cell in cells)
        for number, (_, *cells) in enumerate(columns)
    ]
    widths = [max(3, *map(len, column)) for column in columns]
    rule = [
        "-" * (width - right) + ":" * right
        for width, right in zip(widths, to_right, strict=True)
    ]

    def line(cells: Sequence[str]) -> str:
        shown = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, to_right, strict=True)
        ]
        return f"| {' | '.join(shown)} |"

    return "\n".join(line(cells) for cells in (head, rule, *rows))


def for_terminal(text: str, width: int) -> str:
    """A text whose tables have no bars, and are cut where they are too wide.

    Args:
        text: Markdown.
        width: characters of a line. The columns that don't fit follow below, with the
            first column again.
    """
    lines: list[str] = []
    for is_table, group in itertools.groupby(text.split("\n"), _is_row):
        block = list(group)
        lines += _plain(block, width) if is_table else block
    return "\n".join(lines)


def _is_row(line: str) -> bool:
    return line.startswith("|") and line.endswith("|")


def _plain(lines: Sequence[str], width: int) -> list[str]:
    """The rows of one table, in as many blocks as it takes."""
    rows = [line[1:-1].split("|") for line in lines]
    columns = [[cell[1:-1] for cell in column] for column in zip(*rows, strict=True)]
    first, *others = ([*c[:1], "─" * len(c[1]), *c[2:]] for c in columns)
    blocks: list[list[list[str]]] = [[first]]
    for column in others:
        used = sum(len(c[0]) + len(GAP) for c in blocks[-1])
        if used + len(column[0]) > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(column)
    out: list[str] = []
    for block in blocks:
        out += [""] * bool(out)
        out += [GAP.join(cells).rstrip() for cells in zip(*block, strict=True)]
    return out
