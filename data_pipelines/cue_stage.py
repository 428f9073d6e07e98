"""New cues for finished records: their own resumable stage.

    twohand data cues RECORDS --out DIR --cues auto|mediapipe|sapiens|labels

Reads a record set, extracts cues in the labelled boxes and writes the set anew with
them, shard by shard. Everything else, the pictures above all, keeps its bytes; cues
that the extractor does not make stay as they were, so stages can follow each other.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import jax
import numpy as np
from jaxtyping import Float, Float32, Int

from twohand_jax import mano, paths
from twohand_jax.crops.cue_kinds import hand_pixels
from twohand_jax.crops.cue_table import CUE_KINDS, in_order
from twohand_jax.cues import extraction
from twohand_jax.cues.extraction import Extractor, Provenance
from twohand_jax.data import decode, shards
from twohand_jax.errors import InputError
from twohand_jax.inference import observe
from twohand_jax.inference.observe import CueConfig
from twohand_jax.pipelines import shard_file
from twohand_jax.pipelines.labelled import DAMAGED, Example, Rejection
from twohand_jax.pipelines.shard_file import read_record
from twohand_jax.types import NO_CUES, Camera, Cues, ManoModel, ManoParams
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import RayScene

LABELS = "labels"
UNREADABLE = "the stored picture does not decode"
StoredRecord = Mapping[str, Any]
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

    make: Callable[[Sequence[StoredRecord]], list[Cues | Rejection]]
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
        self.directory, self.config = paths.local(directory), config
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
        cues = self.config.cues
        split: dict[str, object] = {}  # absent where it is 1: older sets go on
        if cues is not None and cues.sapiens_fsdp > 1:
            split = {"sapiens_fsdp": cues.sapiens_fsdp}
        return {
            "records": self._fingerprint(),
            "cues": {kind: list(by) for kind, by in self._provenance.items()},
            "batch": self.config.batch,
            "sapiens_batch": cues and cues.sapiens_batch,
            "splits": list(self._splits),
            **split,
        }

    @property
    def needs_device(self) -> bool:
        """Whether each worker wants an accelerator of its own: Sapiens does."""
        return self.config.cues is not None and self.config.cues.source == "sapiens"

    @property
    def cues(self) -> tuple[str, ...]:
        """Those that the set holds, and those that are made."""
        return in_order({*shards.cue_names(self.directory), *self._provenance})

    @property
    def is_pseudo(self) -> bool:
        """Whether the set's records say how certain their labels are."""
        return shards.is_pseudo(self.directory)

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        """Those of the set."""
        return {name: split.counts for name, split in self._splits.items()}

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        """The records of a shard with their new cues.

        Raises:
            MissingFileError, UnreadableError: the shard cannot be read.
        """
        found = self._splits[split]
        path = found.paths[shard]
        payloads, problems = shards.read_shard(path, found.counts[shard])
        maker = _loaded(self.config)
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
                digest.update(f"{path.name} {paths.size(path)}".encode())
                receipt = path.parent / shard_file.RECEIPTS / f"{path.name}.json"
                if receipt.exists():
                    digest.update(receipt.read_bytes())
        return digest.hexdigest().decode()


# Beam's workers have many threads: they load once, and networks run one at a time.
_loading, _making = threading.Lock(), threading.Lock()


def _loaded(config: StageConfig) -> Maker:
    with _loading:
        return load(config)


@functools.lru_cache(maxsize=1)
def load(config: StageConfig) -> Maker:
    """The maker of cues that a config describes, once a process.

    Raises:
        InputError: a model cannot be used, or none of ``only`` would be made.
    """
    if config.cues is None:
        truth = LabelCues(mano.load(config.mano))
        return Maker(truth, _kept(truth.provenance, config.only))
    extractor = observe.load_in_boxes(config.cues)
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
    with _making:
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
    extractor: Extractor, batch: int, rows: Sequence[StoredRecord]
) -> list[Cues | Rejection]:
    """Cues of the stored pictures in their labelled boxes."""
    pictures: dict[int, np.ndarray] = {}
    made: list[Cues | Rejection] = []
    for at, row in enumerate(rows):
        made.append(Rejection(UNREADABLE, row["image_id"]))
        try:
            pictures[at] = decode.decode_jpeg(row["image"])
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


def cue_features(cues: Cues, made_by: Mapping[str, Provenance]) -> dict[str, object]:
    """The features of the kinds of cues that were made, and of no other.

    Args:
        cues: of one picture, numpy.
        made_by: what made each kind; a cue that is not there is written as absent.
    """
    features: dict[str, object] = {}
    for kind, source in made_by.items():
        features |= decode.absent_cue(kind)
        if not cues.has(kind):
            continue
        features[f"cues/has_{kind}"] = True
        features[f"cues/{kind}_source"] = source.source
        features[f"cues/{kind}_version"] = source.version
        value = np.asarray(cues.values[kind])
        if CUE_KINDS[kind].is_map:
            features |= decode.encode_cue(kind, value, hand_pixels(cues, kind))
        else:
            features[f"cues/{kind}"] = value.astype(np.float32)
    return features


SOURCE, VERSION = "ground truth", "1"
MADE = ("keypoints", "segmentation", "depth")


class LabelCues:
    """Ground truth as cues.

    Attributes:
        model: the hand model that the records' fits belong to.
        provenance: what records say of each cue.
    """

    def __init__(self, model: ManoModel) -> None:
        """Take the hand model."""
        self.model = model
        self.provenance = dict.fromkeys(MADE, Provenance(SOURCE, VERSION))
        self._forward = jax.jit(mano.forward)

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Cues of flat examples.

        Raises:
            InputError: the fits belong to another hand model.
        """
        return [self._one(example) for example in examples]

    def _one(self, example: Mapping[str, Any]) -> Cues:
        cues = _with_keypoints(NO_CUES, example)
        shown, fitted = example["hands/valid"], example["mano/valid"]
        if not example["camera/valid"] or not shown.any() or (shown & ~fitted).any():
            return cues
        self._check_model(example)
        params = ManoParams(*(example[f"mano/{name}"] for name in ManoParams._fields))
        vertices = np.asarray(self._forward(self.model, params).vertices)
        meshes = hand_meshes(self.model, vertices, shown)
        # One ray of occlusion: nothing is shaded here.
        scene = RayScene(meshes, occlusion_rays=1)
        camera = Camera(example["camera/focal"], example["camera/center"])
        labels = np.flatnonzero(shown) + 1
        size = int(example["height"]), int(example["width"])
        return _with_maps(cues, scene, camera, labels, size)

    def _check_model(self, example: Mapping[str, Any]) -> None:
        if example["mano/model"] != self.model.name:
            raise InputError(
                f"The fits of record {example['image_id']} belong to the hand model "
                f"{example['mano/model']!r}, but {self.model.name!r} is loaded: give "
                "the right one with --mano."
            )


def _with_keypoints(cues: Cues, example: Mapping[str, Any]) -> Cues:
    valid = example["hands/joints_2d_valid"] & example["hands/valid"][:, None]
    score = valid[..., None].astype(np.float32)
    keypoints = np.concatenate([example["hands/joints_2d"] * score, score], axis=-1)
    return cues.put("keypoints", keypoints, bool(valid.any()))


def _with_maps(
    cues: Cues,
    scene: RayScene,
    camera: Camera,
    labels: Int[np.ndarray, "m"],
    size: tuple[int, int],
) -> Cues:
    """Label and relative depth of the first surface at each pixel's centre."""
    height, width = size
    plane = (_grid(height, width) - np.asarray(camera.center)) / camera.focal
    hits = scene.first_hits(plane)
    found = hits.triangle >= 0
    owner = np.where(found, labels[scene.owner[hits.triangle]], 0)
    segmentation = owner.reshape(height, width).astype(np.uint8)
    depth = relative_depth(np.where(found, hits.depth, 0).reshape(height, width))
    is_there = bool(found.any())
    return cues.put("segmentation", segmentation, is_there).put(
        "depth", depth, is_there
    )


def relative_depth(depth_m: Float[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """0 for the nearest to 1 for the farthest positive depth; 0 where there is none."""
    there = depth_m > 0
    if not there.any():
        return np.zeros(depth_m.shape, np.float32)
    near, far = depth_m[there].min(), depth_m[there].max()
    share = (depth_m - near) / max(far - near, 1e-6)
    return np.where(there, share, 0.0).astype(np.float32)


@functools.lru_cache(maxsize=2)
def _grid(height: int, width: int) -> Float32[np.ndarray, "n 2"]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x.ravel(), y.ravel()], axis=-1)
