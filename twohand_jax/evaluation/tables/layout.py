"""The paper's four tables: record sets, protocols, columns and rows.

A table has a block for each record set; figures of different sets or protocols never
stand under one heading (``filling``).
"""

import dataclasses

from twohand_jax.errors import InputError
from twohand_jax.evaluation import methods
from twohand_jax.evaluation.tables import published, record_sets
from twohand_jax.evaluation.tables.published import Published
from twohand_jax.evaluation.tables.record_sets import RecordSet

CUE_ROWS = tuple(methods.CUE_SETS)
ROWS = (*CUE_ROWS, methods.DIFFUSION)
_INTERHAND = "InterHand2.6M, test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a table on one record set.

    Attributes:
        title: of the block.
        records: the record set.
        protocols: by which our rows are computed.
        columns: metrics that are shown.
        rows: our methods.
        published: rows of others.
    """

    title: str
    records: RecordSet
    protocols: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...] = ROWS
    published: tuple[Published, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper."""

    number: int
    title: str
    blocks: tuple[Block, ...]


_SYNTHETIC = Block(
    title="Synthetic benchmark (drawn with the open hand; comparable with no figure "
    "on real pictures)",
    records=record_sets.SYNTHETIC,
    protocols=("wrist",),
    columns=published.ABLATION_COLUMNS,
)
TABLES = (
    Table(
        number=1,
        title="Two hands on InterHand2.6M",
        blocks=(
            Block(
                title=_INTERHAND,
                records=record_sets.INTERHAND,
                protocols=("mcp", "wrist"),
                columns=published.INTERHAND_COLUMNS,
                published=published.INTERHAND,
            ),
            dataclasses.replace(_SYNTHETIC, columns=published.INTERHAND_COLUMNS),
        ),
    ),
    Table(
        number=2,
        title="Two hands on HIC",
        blocks=(
            Block(
                title="HIC, test",
                records=record_sets.HIC,
                protocols=("hic",),
                columns=published.INTERHAND_COLUMNS,
                published=published.HIC,
            ),
        ),
    ),
    Table(
        number=3,
        title="One hand on FreiHAND",
        blocks=(
            Block(
                title="FreiHAND, evaluation",
                records=record_sets.FREIHAND,
                protocols=("freihand",),
                columns=(*published.FREIHAND_COLUMNS, "PA-F@5", "PA-F@15"),
                rows=CUE_ROWS,
                published=published.FREIHAND,
            ),
        ),
    ),
    Table(
        number=4,
        title="Ablation of the cues and of the two-hand prior",
        blocks=(
            Block(
                title=_INTERHAND,
                records=record_sets.INTERHAND,
                protocols=("mcp", "wrist"),
                columns=published.ABLATION_COLUMNS,
                published=published.ABLATION,
            ),
            _SYNTHETIC,
        ),
    ),
)


def get(number: str) -> Table:
    """A table by its number in the paper, as it was typed.

    Raises:
        InputError: there is none of that number.
    """
    for table in TABLES:
        if str(table.number) == number:
            return table
    raise InputError(
        f"The paper has no table {number!r}; choose 1 (InterHand2.6M), 2 (HIC), "
        "3 (FreiHAND) or 4 (ablation)."
    )
