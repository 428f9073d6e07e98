"""Filling the paper's tables: ``plan`` finds what is missing, ``fill`` evaluates.

A section is a block under one protocol: published rows that were measured by it, and
ours with intervals, or with the reasons why they cannot be filled.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from twohand_jax.errors import InputError
from twohand_jax.evaluation import bootstrap, protocols
from twohand_jax.evaluation.bootstrap import Interval
from twohand_jax.evaluation.results import Result
from twohand_jax.evaluation.tables import needs, record_sets
from twohand_jax.evaluation.tables.layout import Block, Table
from twohand_jax.evaluation.tables.needs import Checkpoint
from twohand_jax.evaluation.tables.published import Published
from twohand_jax.evaluation.tables.record_sets import Missing
from twohand_jax.inference.prior import Prior
from twohand_jax.types import ManoModel

# InterHand2.6M's pictures that people annotated; METHOD §7: ``wrist`` is of these.
HUMAN, OF_HUMANS = "H", ("wrist",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a section: figures of others, ours, or what is missing for them.

    Attributes:
        method: its name.
        ours: whether it was computed here.
        certain: whether the protocol is surely the section's.
        source: of published figures.
        figures: by metric, in the units of the protocol.
        intervals: 95 % bootstrap intervals of our figures.
        records: how many were evaluated.
        subset: the part of the set they are, where only a part counts.
        missing: why there are no figures.
        decimals: of published figures.
    """

    method: str
    ours: bool
    certain: bool = True
    source: str = ""
    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    records: int = 0
    subset: str = ""
    missing: tuple[Missing, ...] = ()
    decimals: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """The rows of one block under one protocol."""

    block: Block
    protocol: str
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A section to fill.

    Attributes:
        block: of the section.
        protocol: of the section.
        missing: for each of our rows what is missing; nothing for those to compute.
    """

    block: Block
    protocol: str
    missing: Mapping[str, tuple[Missing, ...]]

    @property
    def rows(self) -> tuple[str, ...]:
        """Our rows that can be filled."""
        return tuple(name for name, missing in self.missing.items() if not missing)

    @property
    def name(self) -> str:
        """Folder of what is computed, shared by tables: ``DATASET-SPLIT-PROTOCOL``."""
        records = self.block.records
        return f"{records.dataset}-{records.split}-{self.protocol}"

    def without(self, reason: Missing) -> "Job":
        """The same job when an evaluation has shown why nothing can be filled."""
        missing = {name: why or (reason,) for name, why in self.missing.items()}
        return dataclasses.replace(self, missing=missing)


Evaluate = Callable[[Job], Sequence[Result]]


def plan(
    table: Table,
    root: Path,
    *,
    checkpoint: Checkpoint,
    hand: ManoModel,
    prior: Prior | Missing,
) -> list[Job]:
    """What can be filled and what cannot, before anything is computed.

    Args:
        table: to fill.
        root: folder of the record sets.
        checkpoint: model of our rows.
        hand: hand model that is loaded.
        prior: for the refined row, or why there is none.
    """
    jobs = []
    for block in table.blocks:
        found = record_sets.find(block.records, root)
        own = {
            row: needs.of_row(row, checkpoint, block.records, found, prior)
            for row in block.rows
        }
        for name in block.protocols:
            shared = needs.of_set(
                block.records, protocols.get(name), found, checkpoint, hand
            )
            missing = {row: (*shared, *why) for row, why in own.items()}
            jobs.append(Job(block=block, protocol=name, missing=missing))
    return jobs


def fill(jobs: Sequence[Job], evaluate: Evaluate) -> list[Section]:
    """Evaluate what can be evaluated; what turns out not to fit is said in its rows.

    Args:
        jobs: from ``plan``.
        evaluate: gives results of a job's rows.

    Raises:
        InputError: every evaluation failed; the first one's reason.
    """
    sections, failed = [], []
    for job in jobs:
        results: Mapping[str, Result] = {}
        try:
            if job.rows:
                results = {one.method: one for one in evaluate(job)}
        except InputError as error:
            failed.append(error)
            job = job.without(Missing(str(error)))
        sections.append(_section(job, results))
    if failed and not any(row.records for part in sections for row in part.rows):
        raise failed[0]
    return sections


def _section(job: Job, results: Mapping[str, Result]) -> Section:
    fitting = (row for row in job.block.published if row.protocol == job.protocol)
    ours = (
        Row(method=name, ours=True, missing=missing)
        if missing
        else _filled(results[name], job.block.columns)
        for name, missing in job.missing.items()
    )
    rows = (*map(_others, fitting), *ours)
    return Section(block=job.block, protocol=job.protocol, rows=rows)


def _others(row: Published) -> Row:
    return Row(
        method=row.method,
        ours=False,
        certain=row.certain,
        source=row.source,
        figures=row.figures,
        decimals=row.decimals,
    )


def _filled(result: Result, columns: Sequence[str]) -> Row:
    """Our row; figures that nothing was found for are left out."""
    human = result.subset == HUMAN
    part = HUMAN if result.protocol in OF_HUMANS and human.any() else ""
    result = result.take(human) if part else result
    figures = result.figures()
    # A metric that one record decides has draws of one value: no interval.
    spans = {
        name: span
        for name, span in bootstrap.intervals(result).items()
        if span.low < span.high
    }
    known = [
        name for name in columns if name in figures and math.isfinite(figures[name])
    ]
    return Row(
        method=result.method,
        ours=True,
        figures={name: figures[name] for name in known},
        intervals={name: spans[name] for name in known if name in spans},
        records=len(result),
        subset=part,
    )
