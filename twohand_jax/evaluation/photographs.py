"""What the whole pipeline does on photographs, picture by picture.

Each picture of a record set goes through the same ``Reconstructor`` as in ``twohand
reconstruct``, and every stage of it is a row: MediaPipe's world landmarks, the network,
the keypoint fit, and the two-hand prior where pictures have two hands. Either boxes,
sides and camera of the labels are given, or nothing is and the detector looks for the
hands. Errors are over the hands that a row has an estimate of.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax.data import decode, shards
from twohand_jax.errors import InputError
from twohand_jax.evaluation import evaluator, protocols, results, run, truth
from twohand_jax.evaluation.evaluator import ScoredBatch, Store
from twohand_jax.evaluation.outside import prediction_file
from twohand_jax.evaluation.run import WRONG_SIDE, Evaluation
from twohand_jax.geometry import boxes
from twohand_jax.inference.reconstruct import Reconstruction, Reconstructor
from twohand_jax.progress import Bar
from twohand_jax.types import LEFT, RIGHT, HandGeometry, Mean, Prediction, Targets

if TYPE_CHECKING:
    from twohand_jax.data.tfrecord import Reader

PROTOCOL = "photographs"
MEDIAPIPE, NETWORK, FIT, REFINE = "MediaPipe", "network", "+ fit", "+ refine"
NOTE = (
    "The intervals take pictures for independent. Those of one person or one sequence "
    "are much alike: with more than one of them the intervals are too narrow."
)
# Least intersection over union of a found and a labelled box that are one hand.
SAME_HAND = 0.2
PICTURES_A_FILE = 16


class Photograph(NamedTuple):
    """One record: its picture, and labels with a leading axis of 1."""

    record: int
    image: UInt8[np.ndarray, "h w 3"]
    targets: Targets


class Match(NamedTuple):
    """Which labelled hands were found, and which only as the other side."""

    found: Bool[np.ndarray, "2"]
    wrong_side: Bool[np.ndarray, "2"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotographsConfig:
    """How pictures are shown to the pipeline.

    Attributes:
        found: whether the detector looks for the hands; else the labels give boxes,
            sides and, where they know it, the camera.
        pictures: so many of them, evenly over the split; None for all.
    """

    found: bool = False
    pictures: int | None = None

    def __post_init__(self) -> None:
        if self.pictures is not None and self.pictures < 1:
            raise InputError(
                f"The number of pictures must be at least 1, not {self.pictures}."
            )


def evaluate(
    reconstructor: Reconstructor,
    dataset: str | Path,
    split: str,
    *,
    config: PhotographsConfig = PhotographsConfig(),
    identity: Mapping[str, object] | None = None,
    out: Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Scores of every stage on the pictures of a record set.

    Args:
        reconstructor: what is evaluated.
        dataset: directory of records.
        split: its split.
        config: what the pipeline is told.
        identity: of what is evaluated, as JSON has it.
        out: keeps what was computed; the same call continues there.
        progress: whether to show a bar.

    Raises:
        InputError: there are no 3D joints, a record is damaged, or ``out`` holds
            another evaluation.
    """
    source = shards.open_split(dataset, split)
    protocols.check_fit(protocols.get(PROTOCOL), dataset=source.dataset, split=split)
    reader = _reader(dataset, split)
    labels = prediction_file.labels_from_rows(reader.rows())
    chosen = evenly(len(labels.record), config.pictures)
    known_hands = labels.valid[chosen].any(axis=-1)
    if not known_hands.any():
        raise InputError(
            f"No hand of split {split!r} of {dataset} has 3D joints, so no error of "
            "what is reconstructed can be computed: choose other records."
        )
    rows = [MEDIAPIPE, NETWORK, FIT]
    if known_hands.all(axis=-1).any() and reconstructor.has_prior:
        rows.append(REFINE)
    known = dict(identity or {}) | {
        "version": results.VERSION,
        "records": shards.digest(dataset, split),
        "protocol": PROTOCOL,
        "rows": rows,
        **dataclasses.asdict(config),
    }
    store = None if out is None else Store(out, known, batches=PICTURES_A_FILE)
    if out is not None and (kept := run.kept_results(out, rows)):
        return Evaluation(kept, float("nan"))
    stages = _Stages(reconstructor, rows, config.found)
    wanted = set(labels.record[chosen].tolist())
    whole, rate = _scores(stages, reader, wanted, store, progress=progress)
    found = run.as_results(
        whole, rows, protocol=PROTOCOL, dataset=source.dataset, split=split
    )
    run.keep_results(found, out, store)
    return Evaluation(found, rate)


def _scores(
    stages: "_Stages",
    reader: "Reader",
    wanted: set[int],
    store: Store | None,
    *,
    progress: bool,
) -> tuple[ScoredBatch, float]:
    """Scores of the wanted records, what is in the store from there, and the rate."""
    names, parts = results.Names(), list[ScoredBatch]()
    marks: list[tuple[float, int]] = []
    done = store.done if store else 0
    with Bar(
        total=len(wanted),
        done=min(done, len(wanted)),
        unit="img",
        name="photographs",
        is_shown=progress,
    ) as bar:
        pictures = _photographs(reader, names, wanted)
        for photograph in itertools.islice(pictures, done, None):
            part = stages.scored(photograph, names)
            (store.add if store else parts.append)(part)
            marks.append((time.perf_counter(), 1))
            bar.update()
    whole = evaluator.gather(store.close() if store else parts)
    return whole, run.pictures_per_second(marks)


def evenly(total: int, wanted: int | None) -> Int[np.ndarray, "n"]:
    """Places of so many of a list's entries, evenly over it; all of them for None."""
    if wanted is None or wanted >= total:
        return np.arange(total)
    return np.arange(wanted) * total // wanted


def match(
    detected: Float[np.ndarray, "2 4"],
    present: Bool[np.ndarray, "2"],
    labelled: Float[np.ndarray, "2 4"],
    shown: Bool[np.ndarray, "2"],
) -> Match:
    """Hold a picture's detected right and left hand against the labelled ones.

    A labelled hand is found where the detection of its side overlaps its box. It has
    the wrong side where only the other side's detection does, which is not that of the
    other labelled hand.

    Args:
        detected: boxes of right and left hand, pixels.
        present: which of them are there.
        labelled: boxes of the labels.
        shown: which of these are there.
    """
    overlap = np.asarray(boxes.iou(detected[:, None], labelled[None]))
    overlaps = (overlap >= SAME_HAND) & present[:, None] & shown
    found = np.diagonal(overlaps)
    crossed = overlaps[[LEFT, RIGHT], [RIGHT, LEFT]]
    return Match(found, crossed & ~found & ~found[::-1])


class _Stages:
    """What a reconstructor makes of a picture, stage by stage, and its errors."""

    def __init__(
        self, reconstructor: Reconstructor, rows: Sequence[str], found: bool
    ) -> None:
        self._reconstructor, self._rows, self._found = reconstructor, rows, found
        self._score = run.score_found(evaluator.scorer(protocols.get(PROTOCOL)))

    def scored(self, photograph: Photograph, names: results.Names) -> ScoredBatch:
        """Scores of every row on one picture."""
        targets, model = photograph.targets, self._reconstructor.model
        made = self._reconstruct(photograph)
        shown = targets.hand_valid[0]
        seen = Match(made.hands.present & shown, np.zeros(2, bool))
        if self._found:
            seen = match(made.hands.boxes, made.hands.present, targets.box[0], shown)
        known, weight = truth.batch_truth(targets, model), np.ones(1, np.float32)
        record = np.array([photograph.record], np.int32)
        scores = {}
        for name in self._rows:
            prediction = _batched(_estimate(made, name), seen.found)
            broken = np.asarray(evaluator.not_finite(prediction, targets, weight))
            evaluator.require_finite(name, broken, record)
            scored = self._score(prediction, known, model, jnp.asarray(weight))
            found = jax.device_get(scored)
            if self._found:
                found.metrics[WRONG_SIDE] = _share(seen.wrong_side, shown)
            scores[name] = found
        return ScoredBatch(record, weight, scores, names.texts(record, weight))

    def _reconstruct(self, photograph: Photograph) -> Reconstruction:
        image, targets = photograph.image, photograph.targets
        refine = "auto" if REFINE in self._rows else "never"
        if self._found:
            return self._reconstructor.detailed(image, refine=refine)
        pairs = zip(targets.box[0], targets.hand_valid[0], strict=True)
        given = [box if shown else None for box, shown in pairs]
        has_camera = bool(targets.camera_valid[0])
        return self._reconstructor.detailed(
            image,
            boxes=given,
            refine=refine,
            focal=targets.camera.focal[0] if has_camera else None,
            center=targets.camera.center[0] if has_camera else None,
        )


def _estimate(made: Reconstruction, row: str) -> Prediction:
    """A stage's estimate of both hands, and which of them it has one of."""
    if row == NETWORK:
        return made.network
    if row == FIT:
        return made.fitted
    if row == REFINE:
        return made.prediction
    return made.network._replace(
        geometry=HandGeometry(vertices=None, joints=made.hands.world),
        rel_trans=None,
        score=made.hands.has_world.astype(np.float32),
    )


def _batched(prediction: Prediction, found: Bool[np.ndarray, "2"]) -> Prediction:
    """One picture's estimates as a batch, those of other hands than these left out."""
    score = np.asarray(prediction.score) * found
    return jax.tree.map(
        lambda leaf: np.asarray(leaf)[None], prediction._replace(score=score)
    )


def _share(hands: Bool[np.ndarray, "2"], of: Bool[np.ndarray, "2"]) -> Mean:
    """Which of a picture's labelled hands these are, per cent."""
    count = of.sum(keepdims=True).astype(np.float32)
    return Mean(100.0 * (hands & of).sum(keepdims=True).astype(np.float32), count)


def _reader(dataset: str | Path, split: str) -> "Reader":
    from twohand_jax.data.tfrecord import Reader, ReaderConfig

    if jax.process_count() > 1:
        raise InputError("Photographs are reconstructed one by one: use one process.")
    config = ReaderConfig(
        directory=str(dataset), split=split, shuffle=False, batch_size=PICTURES_A_FILE
    )
    return Reader(config)


def _photographs(
    reader: "Reader", names: results.Names, wanted: set[int]
) -> Iterator[Photograph]:
    """The wanted records, decoded one by one when they are asked for.

    Raises:
        InputError: a picture does not decode.
    """
    for part in reader.rows():
        names.watch(part)
        for row in np.flatnonzero(part.usable):
            record = int(part.records[row])
            if record not in wanted:
                continue
            one = {key: values[row : row + 1] for key, values in part.fields.items()}
            try:
                image = decode.decode_jpeg(one["image"][0])
            except InputError as error:
                where = reader.describe(record)
                raise InputError(f"{where} is damaged: {error}") from error
            yield Photograph(record, image, decode.read_targets(one))
