"""A clip's hands frame by frame, as detector and network see them, kept on the disk.

Hands are followed from frame to frame, which is quicker than to look for them; one
thread reads and follows while the network looks at the frame before. What is known of
a number of frames is a file in a hidden folder, so that a run which was killed goes on
there and ends with the same numbers.
"""

import collections
import concurrent.futures
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from twohand_jax import files, reading
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.cues.selection import HandDetection
from twohand_jax.errors import InputError
from twohand_jax.inference.clip import Clip, Frame
from twohand_jax.inference.detections import detect_people
from twohand_jax.inference.observe import MEDIAPIPE, Found
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.types import Camera

T = TypeVar("T")
# Frames of a file; every how many of them the fit asks for the hand's shape; how many
# frames are read ahead.
PART, SHAPE_EVERY, AHEAD = 64, 8, 2
# Every how many frames the whole picture is looked at: where everybody has both hands,
# where hands are missing, and where there are none, then thoroughly.
PAIRED_EVERY, MISSING_EVERY, NONE_EVERY = 15, 5, 30


class Estimates(NamedTuple):
    """Hands of frames, a row for each hand, in the frames' order.

    Attributes:
        number: of each frame in the video.
        time_s: of each frame, seconds.
        frame: position in these of the frame that a hand is in.
        side: 0 right, 1 left.
        score: how sure it is that it is a hand.
        trust: how far keypoints and world joints are to be believed.
        box: x0, y0, x1, y1, pixels.
        keypoints: x, y in pixels, score.
        world: the detector's joints, metres.
        orient: the network's, axis-angle, camera frame.
        pose: the network's, relative to the mean pose.
        betas: the network's.
        wrist: the network's, metres, camera frame.
        shape: betas after a fit of the frame; NaN where none was made.
    """

    number: Int[np.ndarray, "f"]
    time_s: Float[np.ndarray, "f"]
    frame: Int[np.ndarray, "n"]
    side: Int[np.ndarray, "n"]
    score: Float[np.ndarray, "n"]
    trust: Float[np.ndarray, "n"]
    box: Float[np.ndarray, "n 4"]
    keypoints: Float[np.ndarray, "n 21 3"]
    world: Float[np.ndarray, "n 21 3"]
    orient: Float[np.ndarray, "n 3"]
    pose: Float[np.ndarray, "n 15 3"]
    betas: Float[np.ndarray, "n 10"]
    wrist: Float[np.ndarray, "n 3"]
    shape: Float[np.ndarray, "n 10"]


SHAPES = dict(
    box=(4,),
    keypoints=(21, 3),
    world=(21, 3),
    orient=(3,),
    pose=(15, 3),
    betas=(10,),
    wrist=(3,),
    shape=(10,),
)
INTEGERS = ("number", "frame", "side")


class Work:
    """The hidden folder of a clip's estimates.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: Path, made_of: dict[str, Any]) -> None:
        """Take what an earlier run left, if it is of just this; else begin anew.

        Raises:
            InputError: the folder cannot be written.
        """
        self.folder = folder
        about = folder / "made_of.json"
        text = json.loads(json.dumps(made_of))
        try:
            is_same = reading.read_json(about) == text
        except InputError:
            is_same = False
        if not is_same:
            files.remove(folder)
            files.write_json(about, text)
        files.remove_partials(folder, is_deep=False)

    def parts(self) -> list[Path]:
        """The files that are there, in order."""
        paths: list[Path] = []
        while (path := self._part(len(paths))).is_file():
            paths.append(path)
        return paths

    def count(self) -> int:
        """How many frames are known."""
        return len(self.load()[0].number)

    def load(self) -> tuple[Estimates, list[HandDetection]]:
        """All that is known, and the hands that were followed last."""
        loaded = []
        for path in self.parts():
            with np.load(path, allow_pickle=False) as part:
                loaded.append({name: part[name] for name in part.files})
        columns = [
            np.concatenate([part[name] for part in loaded] or [_empty(name)])
            for name in Estimates._fields
        ]
        last = loaded[-1] if loaded else {}
        hands = (
            [
                HandDetection(int(side), float(sure), float(score), *arrays)
                for side, sure, score, *arrays in zip(
                    *(last[f"hand_{name}"] for name in HandDetection._fields),
                    strict=True,
                )
            ]
            if last
            else []
        )
        return Estimates(*columns), hands

    def append(self, part: Estimates, hands: Sequence[HandDetection]) -> None:
        """Keep some frames, and the hands that were followed in the last of them.

        Raises:
            InputError: the file cannot be written.
        """
        state = {
            f"hand_{name}": np.array([getattr(hand, name) for hand in hands])
            for name in HandDetection._fields
        }
        path = self._part(len(self.parts()))
        files.write_npz(path, part._asdict() | state, compressed=False)

    def remove(self) -> None:
        """Remove the folder."""
        files.remove(self.folder)

    def _part(self, number: int) -> Path:
        return self.folder / f"part_{number:05d}.npz"


class _Followed(NamedTuple):
    """A frame, its people, and the hands that the next frame is to follow."""

    frame: Frame
    people: list[Found]
    hands: list[HandDetection]


def estimate(
    reconstructor: Reconstructor,
    clip: Clip,
    work: Work,
    camera: Camera,
    *,
    max_hands: int,
    fits: bool,
) -> Iterator[int]:
    """See the frames that are not known yet; gives how many are, after each.

    Args:
        reconstructor: finds and sees hands.
        clip: the video.
        work: where the estimates are kept.
        camera: of all frames.
        max_hands: how many hands of a frame are kept.
        fits: whether shapes are fitted.
    """
    known, hands = work.load()
    done = len(known.number)
    after = int(known.number[-1]) if done else -1
    follower = reconstructor.observer.follower(max_hands=max_hands)
    frames = clip.frames(after=after)
    followed = (
        _followed(frames, follower, hands, done, max_hands)
        if follower is not None
        else _searched(frames, reconstructor, max_hands)
    )
    rows: list[dict[str, Any]] = []
    taken: list[Frame] = []
    last: list[HandDetection] = hands
    for one in _ahead(followed):
        position = done + len(taken)
        fitted = fits and position % SHAPE_EVERY == 0
        rows += _rows(reconstructor, one, camera, position, fits=fitted)
        taken.append(one.frame._replace(image=_NO_IMAGE))
        last = one.hands
        yield position + 1
        if len(taken) == PART:
            work.append(_table(taken, rows), last)
            done, taken, rows = done + PART, [], []
    if taken:
        work.append(_table(taken, rows), last)


_NO_IMAGE = np.zeros((0, 0, 3), np.uint8)


def _followed(
    frames: Iterator[Frame],
    follower: MediaPipeHands,
    hands: list[HandDetection],
    position: int,
    max_hands: int,
) -> Iterator[_Followed]:
    for at, frame in enumerate(frames, start=position):
        if not hands and at % NONE_EVERY == 0:
            hands = follower(frame.image)
        else:
            every = PAIRED_EVERY if len(hands) >= 2 else MISSING_EVERY
            is_searched = at % every == 0
            hands = follower.follow(frame.image, hands, is_searched=is_searched)
        people = detect_people(_already(hands), frame.image, max_hands=max_hands)
        found = [Found(one, MEDIAPIPE, False) for one in people]
        yield _Followed(frame, found, hands)


def _already(hands: list[HandDetection]) -> Any:
    """A detector of hands that are known."""
    return lambda *_: hands


def _searched(
    frames: Iterator[Frame], reconstructor: Reconstructor, max_hands: int
) -> Iterator[_Followed]:
    for frame in frames:
        people = reconstructor.observer.find_people(frame.image, max_hands=max_hands)
        yield _Followed(frame, people, [])


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, made in another thread while they are used."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        coming = collections.deque(pool.submit(next, items, None) for _ in range(AHEAD))
        while (item := coming.popleft().result()) is not None:
            coming.append(pool.submit(next, items, None))
            yield item


def _rows(
    reconstructor: Reconstructor,
    one: _Followed,
    camera: Camera,
    position: int,
    *,
    fits: bool,
) -> list[dict[str, Any]]:
    rows = []
    for seen, network in reconstructor.look(one.frame.image, one.people, camera):
        hands, shape = seen.hands, np.full((2, 10), np.nan)
        if fits and hands.has_keypoints:
            shape = np.asarray(reconstructor.fit(network, hands).mano.betas)
        for side in np.flatnonzero(hands.present).tolist():
            rows.append(
                {
                    "frame": position,
                    "side": side,
                    "score": hands.score[side],
                    "trust": hands.trust[side],
                    "box": hands.boxes[side],
                    "keypoints": hands.keypoints[side],
                    "world": hands.solid_world[side],
                    "orient": network.mano.global_orient[side],
                    "pose": network.mano.hand_pose[side],
                    "betas": network.mano.betas[side],
                    "wrist": network.geometry.joints[side, 0],
                    "shape": shape[side],
                }
            )
    return rows


def _table(frames: list[Frame], rows: list[dict[str, Any]]) -> Estimates:
    columns = {
        name: np.stack([row[name] for row in rows]) if rows else _empty(name)
        for name in Estimates._fields[2:]
    }
    columns |= {
        "number": np.array([frame.number for frame in frames]),
        "time_s": np.array([frame.time_s for frame in frames]),
    }
    return Estimates(**{n: x.astype(_empty(n).dtype) for n, x in columns.items()})


def _empty(name: str) -> np.ndarray:
    kind: type = np.int64 if name in INTEGERS else np.float32
    return np.zeros(
        (0, *SHAPES.get(name, ())), np.float64 if name == "time_s" else kind
    )
