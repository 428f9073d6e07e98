"""Whether a directory holds the benchmark."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np

from data_pipelines.read_record import read_record
from data_pipelines.source import Example
from data_pipelines.synthetic.benchmark import manifest, prints, scenes
from data_pipelines.synthetic.benchmark.manifest import ASSETS, NAME, SPLIT, Manifest
from data_pipelines.synthetic.benchmark.prints import TOLERANCE, Distance, Prints
from data_pipelines.synthetic.benchmark.scenes import Scenes
from data_pipelines.synthetic.poses.sampler import KINDS
from twohand_jax.data import shards
from twohand_jax.errors import InputError

BUILD_AGAIN = "build it again with `twohand data build benchmark` in an empty directory"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The set is the benchmark, byte for byte or as another machine draws it.

    Attributes:
        version: of the benchmark.
        records: of the set.
        differing: records whose bytes are not those of the frozen set.
        largest: by how much these differ at most.
    """

    version: str
    records: int
    differing: int = 0
    largest: Distance = Distance(0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def status(self) -> str:
        """``identical`` or ``equivalent``."""
        return "equivalent" if self.differing else "identical"

    def text(self) -> str:
        """The verdict in words."""
        line = f"{NAME} {self.version}: {self.status}, {self.records:,} records"
        if not self.differing:
            return f"{line}, byte for byte the frozen set"
        return (
            f"{line} with the frozen scenes; {self.differing:,} were drawn by other "
            f"programs and differ by at most {self.largest.landmarks_px:.3f} px in the "
            f"joints and {self.largest.grey_levels:.0f} grey levels in thumbnails"
        )


def verify(directory: str | Path, *, assets: Path = ASSETS) -> Verdict:
    """Hold a set against the frozen one.

    Args:
        directory: record set.
        assets: the benchmark's own files; other ones in tests.

    Raises:
        InputError: it is another set, damaged, or differs by more than rounding does.
    """
    wanted = manifest.load(assets)
    split = _open(directory, wanted)
    found = {Path(path).name: manifest.sha256(Path(path)) for path in split.paths}
    if found == wanted.shards:
        return Verdict(version=wanted.version, records=split.num_records)
    return _compare(split, wanted, assets)


def _open(directory: str | Path, wanted: Manifest) -> shards.Split:
    """The set's split, if it has the right name and number of records."""
    name = shards.read_info(directory).get("name")
    if name != NAME:
        raise InputError(
            f"{directory} holds the set {name!r}, not {NAME!r}: give the directory "
            "that `twohand data build benchmark` wrote."
        )
    split = shards.open_split(directory, SPLIT)
    if split.num_records != wanted.num_records:
        raise InputError(
            f"{directory} holds {split.num_records:,} records, and the benchmark "
            f"{wanted.num_records:,}: {BUILD_AGAIN}."
        )
    return split


def _compare(split: shards.Split, wanted: Manifest, assets: Path) -> Verdict:
    """Record by record; those with the same bytes are not looked into."""
    files = manifest.Files(assets)
    truth, expected = scenes.load(files.scenes), prints.load(files.prints)
    largest, differing = np.zeros(len(Distance._fields)), 0
    for number, (where, payload) in enumerate(_payloads(split)):
        crc = google_crc32c.value(payload)
        if crc == int(expected.crc[number]):
            continue
        example = read_record(payload)
        found = prints.take(example, crc)
        apart = prints.distance(found, expected.row(number))
        problem = _other_scene(example, truth, number) or _too_far(apart)
        if problem:
            raise InputError(
                f"{where} ({example['image_id']}) is not that of the benchmark "
                f"{wanted.version}: {problem}; {BUILD_AGAIN}."
            )
        largest, differing = np.maximum(largest, apart), differing + 1
    return Verdict(
        version=wanted.version,
        records=split.num_records,
        differing=differing,
        largest=Distance(*largest.tolist()),
    )


def _payloads(split: shards.Split) -> Iterator[tuple[str, bytes]]:
    """Every record, and where it lies in words."""
    for path, count in zip(split.paths, split.counts, strict=True):
        payloads, problems = shards.read_shard(path, count)
        if problems:
            number, problem = min(problems.items())
            raise InputError(
                f"Record {number} of {path} is damaged, {problem}: {BUILD_AGAIN}, or "
                "run the command that wrote it again."
            )
        for number, payload in enumerate(payloads):
            yield f"Record {number} of {path}", payload


def _other_scene(example: Example, truth: Scenes, number: int) -> str:
    """What says that the record shows other hands, or nothing."""
    if example["subset"] != KINDS[truth.kind[number]]:
        return f"its hands are {example['subset']}, not {KINDS[truth.kind[number]]}"
    for name, values in truth.params._asdict().items():
        if not np.array_equal(np.asarray(example[f"mano/{name}"]), values[number]):
            return f"mano/{name} is another one"
    return ""


def _too_far(apart: Distance) -> str:
    for name, found, limit in zip(Distance._fields, apart, TOLERANCE, strict=True):
        if found > limit:
            return f"{name} differs by {found:.4g}, and {limit:.4g} is allowed"
    return ""


def collect(split: shards.Split) -> Prints:
    """The prints of a set, for the manifest."""
    found = [
        prints.take(read_record(payload), google_crc32c.value(payload))
        for _, payload in _payloads(split)
    ]
    return Prints(*(np.stack(column) for column in zip(*found, strict=True)))
