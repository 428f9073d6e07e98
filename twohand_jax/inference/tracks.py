"""Hands of frames as people of a clip: which hands are the same one, and whose.

A track is one hand through the frames. Its side is that of most of its frames; frames
that saw it as the other hand count as not seen. Gaps of a few frames are left for
bridging, and tracks of a few frames are dropped: they are not hands.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax.cues.people import best_pairs, pair_gain
from twohand_jax.cues.selection import HandDetection
from twohand_jax.types import LEFT, RIGHT

# Mean distance of the joints, in hand sizes, up to which a hand is that of the frame
# before; what it may be more for each frame between; and what another side adds.
NEAR, FARTHER, OTHER_SIDE = 0.6, 0.08, 0.25
# Seconds that a gap is bridged, that a hand may be away and still be the same person's,
# and that a hand is seen at least.
BRIDGED_S, AWAY_S, SEEN_S = 0.5, 3.0, 0.2
# How far a person's hand may be from where it was last, in hand sizes, and by what
# factor larger.
MOVED, GREW = 4.0, 1.6


class SeenHands(NamedTuple):
    """Hands of frames, a row each, in the frames' order.

    Attributes:
        frame: position in the clip of the frame that it was seen in.
        side: 0 right, 1 left, as that frame saw it.
        score: how sure it is that it is a hand.
        keypoints: x, y in pixels, score.
    """

    frame: Int[np.ndarray, "n"]
    side: Int[np.ndarray, "n"]
    score: Float[np.ndarray, "n"]
    keypoints: Float[np.ndarray, "n 21 3"]


class Tracks(NamedTuple):
    """People of a clip, those seen most first.

    Attributes:
        row: of the seen hands, for each frame, person and side; -1 where not seen.
        bridged: where a hand was not seen between two frames that saw it.
    """

    row: Int[np.ndarray, "f p 2"]
    bridged: Bool[np.ndarray, "f p 2"]

    @property
    def present(self) -> Bool[np.ndarray, "f p 2"]:
        """Where a hand is there: seen, or bridged."""
        return (self.row >= 0) | self.bridged


def track(seen: SeenHands, count: int, interval: float) -> Tracks:
    """Follow hands through a clip and put them together as people.

    Args:
        seen: hands of all frames.
        count: frames of the clip.
        interval: seconds between two frames.
    """
    gap = max(1, round(BRIDGED_S / interval))
    least = min(max(2, round(SEEN_S / interval)), max(1, count // 2))
    found = [_one_side(seen, rows) for rows in _follow(seen, gap)]
    kept = [rows for rows in found if len(rows) >= least]
    people = _as_people(seen, kept, max(1, round(AWAY_S / interval)))
    people.sort(key=lambda tracks: -sum(map(len, tracks)))
    row = np.full((count, len(people), 2), -1)
    bridged = np.zeros(row.shape, bool)
    for person, tracks in enumerate(people):
        for rows in tracks:
            frames, side = seen.frame[rows], seen.side[rows[0]]
            row[frames, person, side] = rows
            for before, after in zip(frames[:-1], frames[1:], strict=True):
                bridged[before + 1 : after, person, side] = True
    return Tracks(row, bridged & (row < 0))


def sizes(keypoints: Float[np.ndarray, "n 21 3"]) -> Float[np.ndarray, "n"]:
    """The longer side of each hand's box, pixels."""
    return np.maximum(np.ptp(keypoints[..., :2], axis=-2).max(axis=-1), 1.0)


def _follow(seen: SeenHands, gap: int) -> list[list[int]]:
    """Rows of each track; of all ways to go on, the nearest are taken first."""
    size = sizes(seen.keypoints)
    tracks: list[list[int]] = []
    live: list[list[int]] = []
    starts = np.flatnonzero(np.diff(seen.frame, prepend=-1))
    for rows in np.split(np.arange(len(seen.frame)), starts[1:]):
        if not len(rows):
            break
        now = seen.frame[rows[0]]
        live = [one for one in live if now - seen.frame[one[-1]] <= gap + 1]
        links = [
            (cost, number, row)
            for row in rows.tolist()
            for number, one in enumerate(live)
            if (cost := _cost(seen, size, one, row)) <= 1.0
        ]
        left, free = set(rows.tolist()), set(range(len(live)))
        for _, number, row in sorted(links):
            if row in left and number in free:
                live[number].append(row)
                left.remove(row)
                free.remove(number)
        begun = [[row] for row in sorted(left)]
        tracks += begun
        live += begun
    return tracks


def _cost(seen: SeenHands, size: np.ndarray, one: list[int], row: int) -> float:
    """How badly a hand goes on with a track: 1 at most for one that does."""
    last = one[-1]
    apart = seen.keypoints[last, :, :2] - seen.keypoints[row, :, :2]
    distance = np.linalg.norm(apart, axis=-1).mean() / min(size[last], size[row])
    between = seen.frame[row] - seen.frame[last] - 1
    other = OTHER_SIDE * (seen.side[last] != seen.side[row])
    return float((distance + other) / (NEAR + FARTHER * between))


def _one_side(seen: SeenHands, rows: list[int]) -> np.ndarray:
    """The rows of a track that saw it as the hand that most of them did."""
    given = np.asarray(rows)
    is_left = seen.side[given] == LEFT
    votes = [seen.score[given[is_left == side]].sum() for side in (False, True)]
    return given[is_left == (votes[1] > votes[0])]


Person = list[np.ndarray]  # tracks, of which no two of a side overlap in time


def _as_people(seen: SeenHands, tracks: list[np.ndarray], away: int) -> list[Person]:
    """First hands that are seen together, as in a photograph; then who comes back."""
    sides = [seen.side[rows[0]] for rows in tracks]
    right, left = (
        [rows for rows, of in zip(tracks, sides, strict=True) if of == side]
        for side in (RIGHT, LEFT)
    )
    gain = np.array([[_together(seen, r, k) for k in left] for r in right])
    pairs = [(r, k) for r, k in best_pairs(gain) if gain[r, k] > 0]
    people: list[Person] = [[right[r], left[k]] for r, k in pairs]
    rest = {r for r, _ in pairs}, {k for _, k in pairs}
    people += [[rows] for r, rows in enumerate(right) if r not in rest[0]]
    people += [[rows] for k, rows in enumerate(left) if k not in rest[1]]
    while True:
        ways = [
            (cost, a, b)
            for a in range(len(people))
            for b in range(a)
            if (cost := _join_cost(seen, people[a], people[b], away)) < 1.0
        ]
        if not ways:
            return people
        _, a, b = min(ways)
        people[b] = people[b] + people[a]
        del people[a]


def _together(seen: SeenHands, right: np.ndarray, left: np.ndarray) -> float:
    """How well two tracks go together as hands of one person, over common frames."""
    _, r, k = np.intersect1d(seen.frame[right], seen.frame[left], return_indices=True)
    step = max(1, len(r) // 16)
    hands = [
        (_hand(seen, right[a]), _hand(seen, left[b]))
        for a, b in zip(r[::step], k[::step], strict=True)
    ]
    return len(r) * float(np.mean([pair_gain(*both) for both in hands] or [0.0]))


def _hand(seen: SeenHands, row: int) -> HandDetection:
    points = seen.keypoints[row]
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    world = np.zeros((21, 3), np.float32)
    return HandDetection(int(seen.side[row]), 1.0, 1.0, points, world, box)


def _join_cost(seen: SeenHands, one: Person, other: Person, away: int) -> float:
    """How badly two are the same person; above 1 where they are not."""
    gains, common = 0.0, 0
    for rows in one:
        for others in other:
            shared = len(np.intersect1d(seen.frame[rows], seen.frame[others]))
            sides = seen.side[rows[0]], seen.side[others[0]]
            if _overlap(seen, rows, others) and sides[0] == sides[1]:
                return np.inf
            pair = (rows, others) if sides[0] == RIGHT else (others, rows)
            if shared:
                gains, common = gains + _together(seen, *pair), common + shared
    if common:
        return 1.0 - gains / common if gains > 0 else np.inf
    return _return_cost(seen, one, other, away)


def _overlap(seen: SeenHands, rows: np.ndarray, others: np.ndarray) -> bool:
    (a, b), (c, d) = _span(seen, [rows]), _span(seen, [others])
    return max(a, c) <= min(b, d)


def _return_cost(seen: SeenHands, one: Person, other: Person, away: int) -> float:
    """How badly one who comes goes with one who went, by place and size."""
    spans = [_span(seen, rows) for rows in (one, other)]
    (_, end), (start, _) = sorted(spans)
    if start <= end or start - end > away:
        return np.inf
    early, late = (one, other) if spans[0] < spans[1] else (other, one)
    last = max((rows[-1] for rows in early), key=lambda row: seen.frame[row])
    first = min((rows[0] for rows in late), key=lambda row: seen.frame[row])
    size = sizes(seen.keypoints[[last, first]])
    middle = seen.keypoints[[last, first], :, :2].mean(axis=1)
    moved = np.linalg.norm(middle[1] - middle[0]) / size.mean()
    grew = np.log(size.max() / size.min()) / np.log(GREW)
    return float(max(moved / MOVED, grew))


def _span(seen: SeenHands, person: Sequence[np.ndarray]) -> tuple[int, int]:
    frames = np.concatenate([seen.frame[rows] for rows in person])
    return int(frames.min()), int(frames.max())
