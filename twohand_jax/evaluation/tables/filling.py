"""Filling the paper's tables: ``plan`` finds what is missing, ``fill`` evaluates.

A section is a block under one protocol: published rows that were measured by it, and
ours with intervals, or with the reasons why they cannot be filled.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from twohand_jax import assets, experiments, mano
from twohand_jax.crops.cue_table import DEFAULT, NAMES
from twohand_jax.errors import InputError
from twohand_jax.evaluation import bootstrap, methods, protocols
from twohand_jax.evaluation.bootstrap import Interval
from twohand_jax.evaluation.protocols import Protocol
from twohand_jax.evaluation.results import Result
from twohand_jax.evaluation.tables import layout
from twohand_jax.evaluation.tables.layout import (
    PLAIN,
    Missing,
    PaperTable,
    Records,
    RecordSet,
    TableBlock,
)
from twohand_jax.evaluation.tables.published import Published
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.inference.prior import Prior
from twohand_jax.types import ManoModel
from twohand_jax.weights import native

# InterHand2.6M's pictures that people annotated; METHOD §7: ``wrist`` is of these.


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableRow:
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

    block: TableBlock
    protocol: str
    rows: tuple[TableRow, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SectionJob:
    """A section to fill.

    Attributes:
        block: of the section.
        protocol: of the section.
        missing: for each of our rows what is missing; nothing for those to compute.
    """

    block: TableBlock
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

    def without(self, reason: Missing) -> "SectionJob":
        """The same job when an evaluation has shown why nothing can be filled."""
        missing = {name: why or (reason,) for name, why in self.missing.items()}
        return dataclasses.replace(self, missing=missing)


Evaluate = Callable[[SectionJob], Sequence[Result]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a model directory says about its network.

    Attributes:
        directory: the model directory.
        cues: names of those it has an encoder for.
        dropout: share of training samples without each of them.
        hand: name of the hand model it estimates; None where that is not known.
        is_shipped: whether it is the one of this installation.
    """

    directory: Path
    cues: tuple[str, ...]
    dropout: Mapping[str, float]
    hand: str | None = None
    is_shipped: bool = False

    @property
    def name(self) -> str:
        """The model in words."""
        return "The shipped model" if self.is_shipped else str(self.directory)


def plan(
    table: PaperTable,
    root: Path,
    *,
    checkpoint: Checkpoint,
    hand: ManoModel,
    prior: Prior | Missing,
) -> list[SectionJob]:
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
        found = layout.find(block.records, root)
        own = {
            row: row_needs(row, checkpoint, block.records, found, prior)
            for row in block.rows
        }
        for name in block.protocols:
            shared = set_needs(
                block.records, protocols.get(name), found, checkpoint, hand
            )
            missing = {row: (*shared, *why) for row, why in own.items()}
            jobs.append(SectionJob(block=block, protocol=name, missing=missing))
    return jobs


def fill(jobs: Sequence[SectionJob], evaluate: Evaluate) -> list[Section]:
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


def _section(job: SectionJob, results: Mapping[str, Result]) -> Section:
    fitting = (row for row in job.block.published if row.protocol == job.protocol)
    ours = (
        TableRow(method=name, ours=True, missing=missing)
        if missing
        else _filled(results[name], job.block.columns)
        for name, missing in job.missing.items()
    )
    rows = (*map(_others, fitting), *ours)
    return Section(block=job.block, protocol=job.protocol, rows=rows)


def _others(row: Published) -> TableRow:
    return TableRow(
        method=row.method,
        ours=False,
        certain=row.certain,
        source=row.source,
        figures=row.figures,
        decimals=row.decimals,
    )


def _filled(result: Result, columns: Sequence[str]) -> TableRow:
    """Our row; figures that nothing was found for are left out."""
    wanted = protocols.get(result.protocol).subset
    chosen = result.subset == wanted
    part = wanted if chosen.any() else ""
    result = result.take(chosen) if part else result
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
    return TableRow(
        method=result.method,
        ours=True,
        figures={name: figures[name] for name in known},
        intervals={name: spans[name] for name in known if name in spans},
        records=len(result),
        subset=part,
    )


ALL_CUES = f"+ {DEFAULT[-1]}"  # the row that is refined
MANO = "mano"  # name of the hand model of its released files
MANO_FILES = "folder of MANO_RIGHT.pkl and MANO_LEFT.pkl, from mano.is.tue.mpg.de"


def read_checkpoint(directory: Path) -> Checkpoint:
    """What the config of a model directory says.

    Raises:
        InputError: it is not a model directory of a regressor.
    """
    experiment = experiments.parse_as(
        RegressorExperiment, native.load_config(directory)
    )
    return Checkpoint(
        directory=directory,
        cues=experiment.model.cues,
        dropout=experiment.augment.cue_dropout,
        hand=experiment.data.hand,
        is_shipped=directory.resolve() == assets.REGRESSOR.resolve(),
    )


def set_needs(
    wanted: RecordSet,
    protocol: Protocol,
    found: Records | Missing,
    checkpoint: Checkpoint,
    hand: ManoModel,
) -> tuple[Missing, ...]:
    """Why no row of a protocol can be filled on a record set; empty if rows can.

    Args:
        wanted: the record set.
        protocol: what is computed.
        found: from ``layout.find``.
        checkpoint: what is evaluated.
        hand: the hand model that is loaded.
    """
    missing = [found] if isinstance(found, Missing) else []
    try:
        protocols.check_fit(protocol, dataset=wanted.dataset, split=wanted.split)
    except InputError as error:
        missing.append(Missing(str(error)))
    fits = _hand_of_fits(wanted, found, hand)
    if fits != hand.name:
        missing.append(_other_hand(wanted, fits, hand))
    if checkpoint.hand not in (None, fits):
        missing.append(
            Missing(
                f"{checkpoint.name} estimates the hand model {checkpoint.hand!r}, "
                f"but the fits of {wanted.dataset} are of {fits!r}: give --model with "
                "one that was trained on such fits, for example by:",
                (wanted.training(),),
            )
        )
    return tuple(missing)


def row_needs(
    method: str,
    checkpoint: Checkpoint,
    wanted: RecordSet,
    found: Records | Missing,
    prior: Prior | Missing,
) -> tuple[Missing, ...]:
    """Why this row cannot be filled, beside what keeps all rows from it.

    Args:
        method: name of the row, of ``evaluation.methods``.
        checkpoint: what is evaluated.
        wanted: the record set.
        found: from ``layout.find``.
        prior: for the refined row, or why there is none.
    """
    if method == methods.DIFFUSION:
        cues = row_needs(ALL_CUES, checkpoint, wanted, found, prior)
        return (*cues, prior) if isinstance(prior, Missing) else cues
    for cue in NAMES:
        shown, encoder = cue in methods.CUE_SETS[method], cue in checkpoint.cues
        if shown and not encoder:
            return (Missing(f"{checkpoint.name} has no encoder of the {cue} cue."),)
        if shown and isinstance(found, Records) and cue not in found.cues:
            return (_without_cue(cue, wanted, found),)
        if encoder and not shown and not checkpoint.dropout.get(cue, 0.0):
            return (_never_without(cue, method, wanted, checkpoint),)
    return ()


def _hand_of_fits(wanted: RecordSet, found: Records | Missing, hand: ManoModel) -> str:
    """Name of the hand model of the labels: another one than the loaded, if any is."""
    if isinstance(found, Missing):
        return mano.load().name if wanted.drawn else MANO
    others = sorted(found.hand_models - {hand.name, ""})
    return others[0] if others else hand.name


def _other_hand(wanted: RecordSet, fits: str, hand: ManoModel) -> Missing:
    hint = f"give its files with --mano ({MANO_FILES})."
    if fits == mano.load().name:
        hint = "evaluate a model of that hand, such as the shipped one, without --mano."
    return Missing(
        f"The fits of {wanted.dataset} are of the hand model {fits!r}, but "
        f"{hand.name!r} is loaded: {hint}"
    )


def _without_cue(cue: str, wanted: RecordSet, found: Records) -> Missing:
    path = found.path
    return Missing(
        f"The records in {path} have no {cue} cue. Move them to {path}{PLAIN} and run:",
        wanted.extraction(path.parent),
    )


def _never_without(
    cue: str, method: str, wanted: RecordSet, checkpoint: Checkpoint
) -> Missing:
    return Missing(
        f"{checkpoint.name} was never trained without the {cue} cue "
        "(augment.cue_dropout is 0), so its estimates without it mean nothing: give "
        "--model with one that was trained for this row.",
        wanted.training_for(method),
    )
