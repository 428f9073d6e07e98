"""Whether a directory holds the frozen benchmark: manifest, hashes and fingerprints."""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import google_crc32c
import numpy as np
from jaxtyping import Float, Int, UInt8, UInt32

from twohand_jax import files, paths
from twohand_jax.data import decode, shards
from twohand_jax.errors import InputError
from twohand_jax.pipelines.labelled import Example
from twohand_jax.pipelines.shard_file import read_record
from twohand_jax.pipelines.synthetic.benchmark import scenes
from twohand_jax.pipelines.synthetic.benchmark.scenes import Scenes
from twohand_jax.pipelines.synthetic.poses.sampler import KINDS

NAME = "synthetic_benchmark"


SPLIT = "test"


ASSETS = Path(__file__).parents[1] / "assets"


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorState:
    """Everything that decides the pictures.

    Attributes:
        version: ``synthetic.labels.VERSION``.
        hand: CRC-32C of the hand model's files.
        config: of the pictures and cues (``SyntheticConfig``), as JSON.
        scenes: SHA-256 of the file of scenes.
    """

    version: str
    hand: int
    config: dict[str, object]
    scenes: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The benchmark as it was frozen.

    Attributes:
        version: of the benchmark.
        generator: what made it.
        shards: SHA-256 of each file of records, in order.
        whole: SHA-256 of these files one after the other.
        prints: SHA-256 of the file of fingerprints.
        counts: records of each kind and level of occlusion.
        programs: what it was made with; others may round differently.
    """

    version: str
    generator: GeneratorState
    shards: dict[str, str]
    whole: str
    prints: str
    counts: dict[str, dict[str, int]]
    programs: dict[str, str]

    @property
    def num_records(self) -> int:
        """Records of the set."""
        return sum(sum(levels.values()) for levels in self.counts.values())


class Files:
    """Where the benchmark's own files lie."""

    def __init__(self, assets: Path = ASSETS) -> None:
        """``assets`` is another folder in tests only."""
        self.manifest = assets / "benchmark.json"
        self.scenes = assets / "benchmark_scenes.npz"
        self.prints = assets / "benchmark_prints.npz"


BUILD_AGAIN = "build it again with `twohand data build benchmark` in an empty directory"


class Distance(NamedTuple):
    """How far two records are from each other, the largest difference of each part."""

    landmarks_px: float
    keypoints_px: float
    labels_share: float
    depth_levels: float
    grey_levels: float


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
    wanted = load_manifest(assets)
    split = _open(directory, wanted)
    found = {Path(path).name: sha256(Path(path)) for path in split.paths}
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
    places = Files(assets)
    truth, expected = scenes.load(places.scenes), load_prints(places.prints)
    largest, differing = np.zeros(len(Distance._fields)), 0
    for number, (where, payload) in enumerate(_payloads(split)):
        crc = google_crc32c.value(payload)
        if crc == int(expected.crc[number]):
            continue
        example = read_record(payload)
        found = take_prints(example, crc)
        apart = prints_distance(found, expected.row(number))
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


class Prints(NamedTuple):
    """What is kept of each record.

    Attributes:
        crc: CRC-32C of the record.
        landmarks: labelled pixels of ``LANDMARKS``, in 1/``PER_PIXEL``.
        keypoints: mean keypoint cue of each hand, in 1/``PER_PIXEL``.
        labels: pixels of each hand in the segmentation cue.
        depth: mean level of the depth cue.
        thumbnail: the picture in grey.
    """

    crc: UInt32[np.ndarray, "*n"]
    landmarks: Int[np.ndarray, "*n 2 3 2"]
    keypoints: Int[np.ndarray, "*n 2 2"]
    labels: Int[np.ndarray, "*n 2"]
    depth: Int[np.ndarray, "*n"]
    thumbnail: UInt8[np.ndarray, "*n 8 8"]

    def row(self, number: int) -> "Prints":
        """One record's."""
        return Prints(*(column[number] for column in self))


def collect(split: shards.Split) -> Prints:
    """The prints of a set, for the manifest."""
    found = [
        take_prints(read_record(payload), google_crc32c.value(payload))
        for _, payload in _payloads(split)
    ]
    return Prints(*(np.stack(column) for column in zip(*found, strict=True)))


LANDMARKS = (0, 4, 12)  # wrist, tips of thumb and middle finger
PER_PIXEL = 64  # landmarks and keypoints are kept in parts of a pixel
SIDE = 8


# Three times what was measured: meshes off by 2e-7 of their distance, colours by 0.2 %,
# depth by 1e-6 and labels in 1 % of the outlines' pixels give 1/64 pixel, one level of
# grey and of depth and 0.7 % of the labels.
TOLERANCE = Distance(0.05, 0.05, 0.02, 3.0, 3.0)


def take_prints(example: Mapping[str, object], crc: int) -> Prints:
    """The print of a flat example (``schema``)."""
    joints = np.asarray(example["hands/joints_2d"])[:, LANDMARKS]
    keypoints = np.asarray(example["cues/keypoints"])[..., :2].mean(axis=1)
    labels = decode.decode_map(_bytes(example["cues/segmentation"]))
    depth = decode.decode_map(_bytes(example["cues/depth"]))
    return Prints(
        crc=np.asarray(crc, np.uint32),
        landmarks=_parts(joints),
        keypoints=_parts(keypoints),
        labels=np.bincount(labels.ravel(), minlength=3)[1:3].astype(np.int32),
        depth=np.round(depth.mean()).astype(np.int32),
        thumbnail=_thumbnail(decode.decode_jpeg(_bytes(example["image"]))),
    )


def prints_distance(one: Prints, other: Prints) -> Distance:
    """Between the prints of two records."""
    labels = np.abs(one.labels - other.labels) / np.maximum(other.labels, 1)
    return Distance(
        landmarks_px=_largest(one.landmarks, other.landmarks) / PER_PIXEL,
        keypoints_px=_largest(one.keypoints, other.keypoints) / PER_PIXEL,
        labels_share=float(labels.max()),
        depth_levels=_largest(one.depth, other.depth),
        grey_levels=_largest(one.thumbnail, other.thumbnail),
    )


def save_prints(path: Path, prints: Prints) -> None:
    """Write the file that ``load`` reads."""
    small = {"landmarks": np.int16, "keypoints": np.int16, "depth": np.uint16}
    columns = prints._asdict().items()
    save_arrays(path, {k: v.astype(small.get(k, v.dtype)) for k, v in columns})


def load_prints(path: Path) -> Prints:
    """Read the prints of all records."""
    columns = load_arrays(path, Prints._fields)
    small = {"landmarks", "keypoints", "depth"}
    return Prints(
        **{k: v.astype(np.int32) if k in small else v for k, v in columns.items()}
    )


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int64) - other.astype(np.int64)).max())


def _parts(pixels: Float[np.ndarray, "*b 2"]) -> Int[np.ndarray, "*b 2"]:
    limit = np.iinfo(np.int16)
    parts = np.round(pixels.astype(np.float64) * PER_PIXEL)
    return np.clip(parts, limit.min, limit.max).astype(np.int32)


def _thumbnail(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "8 8"]:
    grey = image.astype(np.float32).mean(axis=-1)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.round(small).astype(np.uint8)


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def load_manifest(assets: Path = ASSETS) -> Manifest:
    """Read the manifest and see that the files beside it are those it speaks of.

    Raises:
        InputError: a file is not there, damaged or another one.
    """
    places = Files(assets)
    try:
        content = json.loads(places.manifest.read_text())
        found = Manifest(
            **content | {"generator": GeneratorState(**content["generator"])}
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{places.manifest}, the synthetic benchmark's manifest, cannot be read "
            f"({error}): install twohand_jax again."
        ) from error
    for path, wanted in (
        (places.scenes, found.generator.scenes),
        (places.prints, found.prints),
    ):
        if not path.exists() or sha256(path) != wanted:
            raise InputError(
                f"{path} is missing or not the file that the synthetic benchmark "
                f"{found.version} was frozen with: install twohand_jax again."
            )
    return found


def save_manifest(manifest: Manifest, assets: Path) -> None:
    """Write the manifest."""
    files.write_json(Files(assets).manifest, dataclasses.asdict(manifest))


def sha256(*named: Path) -> str:
    """Of the files' bytes one after the other."""
    digest = hashlib.sha256()
    for path in named:
        paths.fetch(path)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


_EPOCH = (1980, 1, 1, 0, 0, 0)


def save_arrays(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write an npz whose bytes the columns decide; ``np.savez`` would add the date."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, column in columns.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(column))
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(member, buffer.getvalue())
    files.write_bytes(path, whole.getvalue())


def load_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the named columns.

    Raises:
        InputError: the file is not there, damaged, or lacks a column.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}, a file of the synthetic benchmark, cannot be read ({error}): "
            "install twohand_jax again."
        ) from error
