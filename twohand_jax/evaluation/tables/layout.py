"""The paper's four tables: record sets, protocols, columns and rows."""

import dataclasses
import shlex
from pathlib import Path

from twohand_jax.crops.cue_table import DEFAULT
from twohand_jax.data import shards
from twohand_jax.errors import InputError
from twohand_jax.evaluation import methods
from twohand_jax.evaluation.tables import published
from twohand_jax.evaluation.tables.published import Published

# Records that are looked at to see what a set holds.
LOOK = 64


PLAIN = "_plain"  # ends the directory of a set whose cues are still to be made


PRESENT = {cue: f"cues/has_{cue}" for cue in DEFAULT}


@dataclasses.dataclass(frozen=True)
class Missing:
    """What is missing: a sentence, and the commands that bring it."""

    reason: str
    commands: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordSet:
    """A record set that a table needs, and where it comes from.

    Attributes:
        dataset: name in its metadata.
        directory: its directory below the data root, and its name for
            ``twohand data build``.
        split: that is evaluated.
        origin: what has to be there first, in words; empty for nothing.
        options: of ``twohand data build`` after its name.
        drawn: whether it is drawn here, with the open hand and with cues, instead of
            being converted with MANO.
        config: experiment that trains on such records.
        ablation: experiment with a variant for each row of the ablation, if any.
        baseline: its variant without cues.
    """

    dataset: str
    directory: str
    split: str = "test"
    origin: str = ""
    options: str = ""
    drawn: bool = False
    config: str = "paper"
    ablation: str = "paper"
    baseline: str = "baseline"

    def commands(self, root: Path) -> tuple[str, ...]:
        """What builds it below ``root``."""
        out = shlex.quote(str(root / self.directory) + ("" if self.drawn else PLAIN))
        options = f" {self.options}" if self.options else ""
        build = f"twohand data build {self.directory}{options} --out {out}"
        return build, *self.extraction(root)

    def extraction(self, root: Path) -> tuple[str, ...]:
        """What makes its cues; nothing where they are drawn."""
        if self.drawn:
            return ()
        out = str(root / self.directory)
        plain, out = shlex.quote(out + PLAIN), shlex.quote(out)
        models = " ".join(
            f"--sapiens-{cue} weights/sapiens_{name}"
            for cue, name in zip(DEFAULT, ("pose", "seg", "depth"), strict=True)
        )
        return (f"twohand data cues {plain} --out {out} --cues sapiens {models}",)

    def training(self) -> str:
        """What trains a model on such records."""
        return f"twohand train --config configs/{self.config}.py --workdir WORKDIR"

    def training_for(self, row: str) -> tuple[str, ...]:
        """What trains a model that has the cues of a row and no others."""
        if not self.ablation:
            return ()
        variant = row.removeprefix("+ ") if row.startswith("+ ") else self.baseline
        config = f"configs/{self.ablation}.py:{variant}"
        return (f"twohand train --config {config} --workdir WORKDIR",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Records:
    """What a record set holds.

    Attributes:
        path: its directory.
        hand_models: names of the hand models of its fits.
        cues: names of those that any record has.
    """

    path: Path
    hand_models: frozenset[str]
    cues: tuple[str, ...]


INTERHAND = RecordSet(
    dataset="interhand26m",
    directory="interhand26m",
    origin="InterHand2.6M (mks0601.github.io/InterHand2.6M, CC-BY-NC 4.0), the lists "
    "of human annotations of github.com/facebookresearch/InterWild and MANO "
    "(mano.is.tue.mpg.de)",
    options="--source InterHand2.6M --mano mano --splits test --subset human "
    "--human-lists InterWild/data/InterHand26M",
)


HIC = RecordSet(
    dataset="hic",
    directory="hic",
    origin="HIC (files.is.tue.mpg.de, Hand-Object-Capture, research only), HIC.json "
    "of github.com/facebookresearch/InterWild and MANO (mano.is.tue.mpg.de)",
    options="--source HIC --mano mano",
)


FREIHAND = RecordSet(
    dataset="freihand",
    directory="freihand",
    origin="FreiHAND v2 (lmb.informatik.uni-freiburg.de, research only) and MANO "
    "(mano.is.tue.mpg.de)",
    options="--source FreiHAND --mano mano --splits test",
    config="freihand",
    ablation="",
)


SYNTHETIC = RecordSet(
    dataset="synthetic_benchmark",
    directory="benchmark",
    drawn=True,
    config="open",
    ablation="ablation",
    baseline="image",
)

# The paper's rows; further kinds of cues have rows in ``twohand evaluate``.
CUE_ROWS = ("image", *(f"+ {cue}" for cue in DEFAULT))
ROWS = (*CUE_ROWS, methods.DIFFUSION)
_INTERHAND = "InterHand2.6M, test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableBlock:
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
class PaperTable:
    """A table of the paper."""

    number: int
    title: str
    blocks: tuple[TableBlock, ...]


_SYNTHETIC = TableBlock(
    title="Synthetic benchmark (drawn with the open hand; comparable with no figure "
    "on real pictures)",
    records=SYNTHETIC,
    protocols=("wrist",),
    columns=published.ABLATION_COLUMNS,
)
TABLES = (
    PaperTable(
        number=1,
        title="Two hands on InterHand2.6M",
        blocks=(
            TableBlock(
                title=_INTERHAND,
                records=INTERHAND,
                protocols=("mcp", "wrist"),
                columns=published.INTERHAND_COLUMNS,
                published=published.INTERHAND,
            ),
            dataclasses.replace(_SYNTHETIC, columns=published.INTERHAND_COLUMNS),
        ),
    ),
    PaperTable(
        number=2,
        title="Two hands on HIC",
        blocks=(
            TableBlock(
                title="HIC, test",
                records=HIC,
                protocols=("hic",),
                columns=published.TWO_HAND_COLUMNS,
                published=published.HIC,
            ),
        ),
    ),
    PaperTable(
        number=3,
        title="One hand on FreiHAND",
        blocks=(
            TableBlock(
                title="FreiHAND, evaluation",
                records=FREIHAND,
                protocols=("freihand",),
                columns=(*published.FREIHAND_COLUMNS, "PA-F@5", "PA-F@15"),
                rows=CUE_ROWS,
                published=published.FREIHAND,
            ),
        ),
    ),
    PaperTable(
        number=4,
        title="Ablation of the cues and of the two-hand prior",
        blocks=(
            TableBlock(
                title=_INTERHAND,
                records=INTERHAND,
                protocols=("mcp", "wrist"),
                columns=published.ABLATION_COLUMNS,
                published=published.ABLATION,
            ),
            _SYNTHETIC,
        ),
    ),
)


def get(number: str) -> PaperTable:
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


def find(wanted: RecordSet, root: Path) -> Records | Missing:
    """The record set below the data root, or why there is none to evaluate."""
    path = root / wanted.directory
    if not (path / shards.INFO).exists():
        first = f"Get {wanted.origin}, then run:" if wanted.origin else "Run:"
        return Missing(
            f"There is no finished record set {wanted.dataset} at {path}. {first}",
            wanted.commands(root),
        )
    try:
        split = shards.open_split(path, wanted.split)
    except InputError as error:
        return Missing(str(error), wanted.commands(root))
    if split.dataset != wanted.dataset:
        return Missing(
            f"{path} holds the record set {split.dataset!r} where {wanted.dataset!r} "
            "belongs: move it elsewhere or give another --data."
        )
    try:
        return _look(path, wanted.split)
    except InputError as error:
        return Missing(str(error))


def _look(path: Path, split: str) -> Records:
    from twohand_jax.data.tfrecord import Reader, ReaderConfig

    config = ReaderConfig(
        directory=str(path),
        split=split,
        batch_size=LOOK,
        shuffle=False,
        window_shards=1,
    )
    rows = next(iter(Reader(config).rows()))
    names = rows.fields["mano/model"][rows.usable]
    cues = tuple(
        cue for cue, flag in PRESENT.items() if rows.fields[flag][rows.usable].any()
    )
    hand_models = frozenset(name.decode(errors="replace") for name in names)
    return Records(path=path, hand_models=hand_models, cues=cues)
