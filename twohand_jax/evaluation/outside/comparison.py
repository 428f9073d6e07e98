"""Another system beside a trained regressor, on the hands that the other found.

The other system is a file of predictions, or what a newcomer would use: MediaPipe's
world landmarks. For these each hand is looked for in its labelled box, the one our
crops are cut about, and its side is told, so that neither method has to detect.
MediaPipe's world landmarks are 21 joints in our order, metres about the hand's middle,
x right, y down and, as z grows with the distance from the camera, z forward: our axes
as its crop sees them. Hands are estimated one by one, so there is no ``rel_trans``, and
no mesh.
"""

import dataclasses
import functools
import hashlib
import multiprocessing
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from twohand_jax import files
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.data import decode, shards
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError
from twohand_jax.evaluation import evaluator, protocols, run
from twohand_jax.evaluation.outside import prediction_file
from twohand_jax.evaluation.outside.prediction_file import Outside, SplitLabels
from twohand_jax.experiments import data
from twohand_jax.progress import Bar
from twohand_jax.types import ManoModel

MEDIAPIPE = "mediapipe.npz"


class Comparison(NamedTuple):
    """Results of the other system and of ours, and how many records it covers."""

    evaluation: run.Evaluation
    coverage: str


def compare_set(
    model_directory: Path,
    dataset: str | Path,
    split: str,
    protocol: str,
    *,
    hand: ManoModel,
    predictions: Path | None = None,
    workers: int = 1,
    out: Path,
    batch_size: int | None = None,
    progress: bool = True,
) -> Comparison:
    """Scores of another system and of a regressor on the hands that system found.

    Args:
        model_directory: of the regressor.
        dataset: directory of records.
        split: its split.
        protocol: name of a protocol.
        hand: hand model.
        predictions: file of the other system; None runs MediaPipe.
        workers: processes of MediaPipe.
        out: where MediaPipe's predictions and all scores are kept.
        batch_size: records in a batch of this process.
        progress: whether to show bars.

    Raises:
        InputError: the file is not usable, or the protocol does not fit.
    """
    chosen = protocols.get(protocol)
    records = shards.open_split(dataset, split)
    protocols.check_fit(chosen, dataset=records.dataset, split=split)
    name, other = _given(predictions, chosen)
    subject = run.regressor(Path(model_directory), hand=hand)
    reader = data.reader(subject.experiment, str(dataset), split, shuffle=False)
    labels = prediction_file.labels_from_rows(reader.rows())
    if other is None:
        other = mediapipe_predictions(
            reader.rows(),
            labels.image_ids(),
            out / MEDIAPIPE,
            workers=workers,
            progress=name if progress else None,
        )
    coverage = prediction_file.check_labels(other, labels)
    evaluation = run.evaluate(
        beside(subject, other, labels, name=name),
        dataset,
        split,
        protocol=chosen,
        score=run.score_found(evaluator.scorer(chosen)),
        out=out,
        batch_size=batch_size,
        progress=progress,
    )
    return Comparison(evaluation, coverage)


def _given(
    predictions: Path | None, protocol: protocols.Protocol
) -> tuple[str, Outside | None]:
    """The other system's name and file (None: MediaPipe, to be run), both checked."""
    other = None if predictions is None else prediction_file.read(predictions)
    name = MEDIAPIPE_NAME if predictions is None else predictions.stem
    has_mesh = other is not None and other.vertices is not None
    prediction_file.check_protocol(protocol, where=name, has_mesh=has_mesh)
    if other is None and jax.process_count() > 1:
        raise InputError(
            "MediaPipe runs on one host: run it there, without --distributed, and give "
            f"the {MEDIAPIPE} of its --out with --predictions."
        )
    return name, other


def beside(
    subject: run.Subject, other: Outside, labels: SplitLabels, *, name: str
) -> run.Subject:
    """The other system's row, then the subject's rows on the hands it found."""
    names = labels.image_ids()
    hands = prediction_file.found_hands(other, names)
    ours = {
        f"{row}, hands of {name}": run.limited(method, hands)
        for row, method in subject.methods.items()
    }
    return dataclasses.replace(
        subject,
        methods={name: prediction_file.method(other, names), **ours},
        identity=dict(subject.identity) | {"other": digest(other)},
    )


def digest(other: Outside) -> str:
    """Tells predictions apart."""
    arrays = (other.joints, other.found, other.vertices, other.rel_trans)
    parts = (array.tobytes() for array in arrays if array is not None)
    names = "\n".join(other.image_id.tolist()).encode()
    return hashlib.sha256(b"".join((names, *parts))).hexdigest()


MEDIAPIPE_NAME = "MediaPipe"
SAVE_EVERY = 100
AHEAD = 4  # pictures waiting for each worker


class PeerTask(NamedTuple):
    """One record as a worker gets it; ``digest`` is of picture, boxes and hands."""

    image_id: str
    jpeg: bytes
    boxes: Float[np.ndarray, "2 4"]
    shown: Bool[np.ndarray, "2"]
    digest: int


class PeerHands(NamedTuple):
    """MediaPipe's hands of a picture, metres; zeros where there is none."""

    joints: Float[np.ndarray, "2 21 3"]
    found: Bool[np.ndarray, "2"]


PeerAnswer = tuple[
    int, PeerHands
]  # the digest of what was looked at, and what was seen


def mediapipe_predictions(
    rows: Iterable[Rows],
    image_ids: Mapping[int, str],
    out: Path,
    *,
    workers: int = 1,
    progress: str | None = MEDIAPIPE_NAME,
) -> Outside:
    """MediaPipe on records of a split, also written to a file.

    The same call goes on where it stopped: every so often what there is goes into a
    file beside ``out``, which becomes ``out`` at the end. Records whose picture or
    boxes have changed since are done again.

    Args:
        rows: records (``Reader.rows``).
        image_ids: names of the records to do, by their number in the split.
        out: file of the predictions.
        workers: processes; 0 for this one.
        progress: title of the progress bar, None for none.

    Raises:
        InputError: no record is to be done.
    """
    names = list(image_ids.values())
    if not names:
        raise InputError("There is no record for MediaPipe to look at.")
    growing = out.with_name(out.name + ".unfinished")
    kept = next((path for path in (growing, out) if path.exists()), None)
    known = _known(prediction_file.read(kept)) if kept else {}
    done: dict[str, PeerAnswer] = {}
    with Bar(
        total=len(names), name=progress or "", unit="img", is_shown=bool(progress)
    ) as bar:
        todo = _not_known(mediapipe_tasks(rows, set(names)), known, done, bar)
        try:
            for picture, hands in _run(todo, workers):
                done[picture.image_id] = picture.digest, hands
                bar.update()
                if len(done) % SAVE_EVERY == 0:
                    prediction_file.write(growing, _assembled(known | done, growing))
        finally:
            if done:
                prediction_file.write(growing, _assembled(known | done, growing))
    result = _assembled({name: done[name] for name in names}, out)
    prediction_file.write(out, result)
    files.remove(growing)
    return result


def mediapipe_tasks(rows: Iterable[Rows], wanted: set[str]) -> Iterator[PeerTask]:
    """The wanted records."""
    for part in rows:
        fields = part.fields
        for row in np.flatnonzero(part.usable):
            name = fields["image_id"][row].decode()
            if name not in wanted:
                continue
            jpeg, boxes = fields["image"][row], fields["hands/box"][row]
            shown = fields["hands/valid"][row].astype(bool)
            told = boxes.astype("<f4").tobytes() + shown.tobytes()
            yield PeerTask(name, jpeg, boxes, shown, zlib.crc32(jpeg + told))


def detect_hands(hands: MediaPipeHands, picture: PeerTask) -> PeerHands:
    """World landmarks of each labelled hand, looked for in its own box."""
    image = decode.decode_jpeg(picture.jpeg)
    out = PeerHands(np.zeros((2, 21, 3), np.float32), np.zeros(2, bool))
    for side in np.flatnonzero(picture.shown).tolist():
        seen = hands(image, picture.boxes[side : side + 1], [side])
        if seen:
            out.joints[side] = seen[0].world
            out.found[side] = True
    return out


def _run(
    todo: Iterator[PeerTask], workers: int
) -> Iterator[tuple[PeerTask, PeerHands]]:
    """Pictures with their hands, as they become ready."""
    if not workers:
        hands = _networks()
        yield from ((picture, detect_hands(hands, picture)) for picture in todo)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not fork
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: dict[Future[PeerHands], PeerTask] = {}
        try:
            for picture in todo:
                running[pool.submit(_look, picture)] = picture
                if len(running) >= AHEAD * workers:
                    yield from _ready(running)
            while running:
                yield from _ready(running)
        except BrokenProcessPool as error:
            raise InputError(
                "A process of MediaPipe was killed, often for lack of memory: use "
                "fewer --workers; the same command goes on where it stopped."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _ready(
    running: dict[Future[PeerHands], PeerTask],
) -> Iterator[tuple[PeerTask, PeerHands]]:
    ready, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in ready:
        yield running.pop(future), future.result()


def _look(picture: PeerTask) -> PeerHands:
    return detect_hands(_networks(), picture)


@functools.cache
def _networks() -> MediaPipeHands:
    """A process's networks, loaded once."""
    return MediaPipeHands(num_threads=1)


def _not_known(
    todo: Iterator[PeerTask],
    known: Mapping[str, PeerAnswer],
    done: dict[str, PeerAnswer],
    bar: Bar,
) -> Iterator[PeerTask]:
    """Pictures that are not known yet; the others go to ``done``."""
    for picture in todo:
        kept = known.get(picture.image_id)
        if kept is None or kept[0] != picture.digest:
            yield picture
        else:
            done[picture.image_id] = kept
            bar.total = (bar.total or 1) - 1


def _known(kept: Outside) -> dict[str, PeerAnswer]:
    if kept.digest is None:
        return {}
    return {
        str(name): (int(kept.digest[row]), PeerHands(kept.joints[row], kept.found[row]))
        for row, name in enumerate(kept.image_id)
    }


def _assembled(hands: Mapping[str, PeerAnswer], where: Path) -> Outside:
    return Outside(
        where=str(where),
        image_id=np.array(list(hands)),
        joints=np.stack([one.joints for _, one in hands.values()]),
        found=np.stack([one.found for _, one in hands.values()]),
        digest=np.array([digest for digest, _ in hands.values()], np.uint32),
    )
