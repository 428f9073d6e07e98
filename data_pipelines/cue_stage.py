"""New cues for finished records: their own resumable stage.

    twohand data cues RECORDS --out DIR --cues auto|mediapipe|sapiens|labels

Reads a record set, extracts cues in the labelled boxes and writes the set anew with
them, shard by shard. Everything else, the pictures above all, keeps its bytes; cues
that the extractor does not make stay as they were, so stages can follow each other.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from data_pipelines import shard_file
from data_pipelines.cue_features import cue_features
from data_pipelines.label_cues import LabelCues
from data_pipelines.read_record import read_record
from data_pipelines.source import Example, Rejection
from twohand_jax import mano
from twohand_jax.cues import extraction
from twohand_jax.cues.extraction import Extractor, Provenance
from twohand_jax.data import images, shards
from twohand_jax.errors import InputError
from twohand_jax.inference import cue_choice
from twohand_jax.inference.cue_choice import CueConfig
from twohand_jax.types import Cues

LABELS = "labels"
DAMAGED = "the stored record is damaged"
UNREADABLE = "the stored picture does not decode"
Row = Mapping[str, Any]
CHUNKS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What cues to make.

    Attributes:
        cues: the extractors; None for ground truth, made from the records' labels.
        mano: hand model of the fits, for ground truth; None for the open hand.
        only: kinds of cues to replace; all that are made when empty.
        batch: most pictures that an extractor is given at once.
        splits: to write; all when empty.
    """

    cues: CueConfig | None
    mano: Path | None = None
    only: tuple[str, ...] = ()
    batch: int = 8
    splits: tuple[str, ...] = ()


class Maker(NamedTuple):
    """Cues of flat examples or why there are none, and what makes each kind."""

    make: Callable[[Sequence[Row]], list[Cues | Rejection]]
    provenance: Mapping[str, Provenance]


class RecordCues:
    """A record set with new cues (a ``ShardSource``).

    Attributes:
        directory: of the records.
        config: what cues to make.
    """

    def __init__(self, directory: str | Path, config: StageConfig) -> None:
        """Look into the set and load the extractors, so that both are fit for use.

        Raises:
            InputError: the set or a model is not complete, or nothing would be made.
        """
        self.directory, self.config = Path(directory), config
        info = shards.read_info(directory)
        self.name = str(info["name"])
        self.version = str(info.get("version", "1.0.0"))
        self.description = str(info.get("description", ""))
        names = config.splits or tuple(shards.split_names(directory))
        self._splits = {name: shards.open_split(directory, name) for name in names}
        self._provenance = dict(load(config).provenance)

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides the bytes."""
        return {
            "records": self._fingerprint(),
            "cues": {kind: list(by) for kind, by in self._provenance.items()},
            "batch": self.config.batch,
            "sapiens_batch": self.config.cues and self.config.cues.sapiens_batch,
            "splits": list(self._splits),
        }

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        """Those of the set."""
        return {name: split.counts for name, split in self._splits.items()}

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        """The records of a shard with their new cues."""
        found = self._splits[split]
        path = found.paths[shard]
        payloads, problems = shards.read_shard(path, found.counts[shard])
        maker = load(self.config)
        for start in range(0, len(payloads), CHUNKS * self.config.batch):
            part = range(start, min(start + CHUNKS * self.config.batch, len(payloads)))
            rows: list[dict[str, Any] | Rejection] = [
                Rejection(DAMAGED, f"{Path(path).name}, record {number}")
                if number in problems
                else read_record(payloads[number])
                for number in part
            ]
            yield from _with_cues(rows, maker)

    def _fingerprint(self) -> str:
        """Changes when the set is built anew with other content."""
        digest = google_crc32c.Checksum()
        for split in self._splits.values():
            for path in map(Path, split.paths):
                digest.update(f"{path.name} {path.stat().st_size}".encode())
                receipt = path.parent / shard_file.RECEIPTS / f"{path.name}.json"
                if receipt.exists():
                    digest.update(receipt.read_bytes())
        return digest.hexdigest().decode()


@functools.lru_cache(maxsize=1)
def load(config: StageConfig) -> Maker:
    """The maker of cues that a config describes, once a process.

    Raises:
        InputError: a model cannot be used, or none of ``only`` would be made.
    """
    if config.cues is None:
        truth = LabelCues(mano.load(config.mano))
        return Maker(truth, _kept(truth.provenance, config.only))
    extractor = cue_choice.load_in_boxes(config.cues)
    made_by = _kept(extraction.provenance(extractor), config.only)
    wanted = extraction.limit(extractor, made_by)
    return Maker(functools.partial(_extract, wanted, config.batch), made_by)


def _kept(
    made_by: Mapping[str, Provenance], only: Sequence[str]
) -> Mapping[str, Provenance]:
    """The kinds of cues that are replaced."""
    absent = sorted(set(only) - set(made_by))
    if absent:
        raise InputError(
            f"--only names {', '.join(absent)}, but this source makes "
            f"{', '.join(made_by)}."
        )
    return {kind: made_by[kind] for kind in only or made_by}


def _with_cues(
    rows: Sequence[dict[str, Any] | Rejection], maker: Maker
) -> Iterator[Example | Rejection]:
    """The rows in their order, those that are usable with new cues."""
    usable = [row for row in rows if not isinstance(row, Rejection)]
    made = iter(maker.make(usable))
    for row in rows:
        if isinstance(row, Rejection):
            yield row
            continue
        cues = next(made)
        if isinstance(cues, Rejection):
            yield cues
        else:
            yield row | cue_features(cues, maker.provenance)


def _extract(
    extractor: Extractor, batch: int, rows: Sequence[Row]
) -> list[Cues | Rejection]:
    """Cues of the stored pictures in their labelled boxes."""
    pictures: dict[int, np.ndarray] = {}
    made: list[Cues | Rejection] = []
    for at, row in enumerate(rows):
        made.append(Rejection(UNREADABLE, row["image_id"]))
        try:
            pictures[at] = images.decode_jpeg(row["image"])
        except InputError:
            continue
    if pictures:
        boxes = np.stack([rows[at]["hands/box"] for at in pictures])
        valid = np.stack([rows[at]["hands/valid"] for at in pictures])
        given = list(pictures.values())
        found = extraction.extract(extractor, given, boxes, valid, batch=batch)
        for at, cues in zip(pictures, found, strict=True):
            made[at] = cues
    return made
