"""What a newcomer would use instead: MediaPipe's world landmarks, as predictions.

Each hand is looked for in its labelled box, the one our crops are cut about, and its
side is told, so that neither method has to detect. MediaPipe's world landmarks are 21
joints in our order, metres about the hand's middle, x right, y down and, as z grows
with the distance from the camera, z forward: our axes as its crop sees them. Hands are
estimated one by one, so there is no ``rel_trans``, and no mesh.
"""

import functools
import multiprocessing
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.data import decode
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError
from twohand_jax.evaluation.outside import prediction_file
from twohand_jax.evaluation.outside.prediction_file import Outside

NAME = "MediaPipe"
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


def predictions(
    rows: Iterable[Rows],
    image_ids: Mapping[int, str],
    out: Path,
    *,
    workers: int = 1,
    progress: str | None = NAME,
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
    with tqdm(total=len(names), desc=progress, unit="img", disable=not progress) as bar:
        todo = _not_known(pictures(rows, set(names)), known, done, bar)
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
    growing.unlink(missing_ok=True)
    return result


def pictures(rows: Iterable[Rows], wanted: set[str]) -> Iterator[PeerTask]:
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


def look(hands: MediaPipeHands, picture: PeerTask) -> PeerHands:
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
        yield from ((picture, look(hands, picture)) for picture in todo)
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
    return look(_networks(), picture)


@functools.cache
def _networks() -> MediaPipeHands:
    """A process's networks, loaded once."""
    return MediaPipeHands(num_threads=1)


def _not_known(
    todo: Iterator[PeerTask],
    known: Mapping[str, PeerAnswer],
    done: dict[str, PeerAnswer],
    bar: tqdm,
) -> Iterator[PeerTask]:
    """Pictures that are not known yet; the others go to ``done``."""
    for picture in todo:
        kept = known.get(picture.image_id)
        if kept is None or kept[0] != picture.digest:
            yield picture
        else:
            done[picture.image_id] = kept
            bar.total -= 1


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
