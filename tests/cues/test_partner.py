"""The other hand of a pair, which the palm detector does not see."""

import cv2
import numpy as np
import pytest

from tests.inference.conftest import open_palm
from twohand_jax.cues import partner
from twohand_jax.cues.mediapipe import MediaPipeHands, to_fingertips
from twohand_jax.cues.palm import Landmarks, Region, pyramid
from twohand_jax.cues.selection import HandDetection, long_side
from twohand_jax.types import LEFT, RIGHT

KNUCKLES = [0, 1, 5, 9, 13, 17]


def hand(side: int, at=(300.0, 300.0), *, turn=0.0, **changes) -> HandDetection:
    """An open hand of 200 pixels, fingers up if it is not turned."""
    sign = 1 if side == RIGHT else -1
    points = np.asarray(open_palm((0, 0), 100, sign), np.float64)[:, :2]
    cos, sin = np.cos(turn), np.sin(turn)
    points = points @ np.array([[cos, sin], [-sin, cos]]) + at
    keypoints = np.column_stack([points, np.ones(21)]).astype(np.float32)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)
    whole = HandDetection(side, 0.99, 0.99, keypoints, np.zeros((21, 3)), box)
    return whole._replace(**changes)


KNOWN = hand(LEFT)
BESIDE = hand(RIGHT, (140.0, 300.0), turn=1.2)


def test_a_hand_with_a_wrist_of_its_own_is_a_partner():
    assert partner.is_partner(KNOWN, BESIDE)


@pytest.mark.parametrize(
    "other",
    [
        BESIDE._replace(side=LEFT),
        BESIDE._replace(score=0.59),
        BESIDE._replace(side_score=0.59),
        hand(RIGHT, (310.0, 300.0)),
        hand(RIGHT, (240.0, 300.0)),
        KNOWN._replace(side=RIGHT),
    ],
    ids=["same side", "no hand", "unsure", "same place", "same wrist", "same hand"],
)
def test_others_are_none(other):
    assert not partner.is_partner(KNOWN, other)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_hand_of_another_size_is_not_the_same_persons(factor):
    points = BESIDE.keypoints.copy()
    middle = points[:, :2].mean(axis=0)
    points[:, :2] = middle + factor * (points[:, :2] - middle)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    other = BESIDE._replace(keypoints=points, box=np.concatenate([low, high]))
    assert not partner.is_partner(KNOWN, other)


def test_the_surest_of_all_regions_is_taken_and_a_clear_one_ends_the_search(
    monkeypatch,
):
    """The first region shows a weak partner, the third a better one, others none."""
    seen: list[Region] = []

    def look(presence: float) -> Landmarks:
        points = BESIDE.keypoints[:, :2].astype(np.float64)
        return Landmarks(points, BESIDE.world, presence, 0.99)

    def first(network, image, region):
        seen.append(region)
        return look({1: 0.7, 3: best}.get(len(seen), 0.1))

    monkeypatch.setattr(partner, "find_landmarks", first)
    monkeypatch.setattr(partner, "sharpen", lambda network, image, found: found)
    for best, count in ((0.9, len(partner.TOWARDS) * partner.QUARTERS), (0.99, 3)):
        seen.clear()
        found = partner.find_partner(None, None, KNOWN)
        assert found is not None and found.score == pytest.approx(best)
        assert len(seen) == count
    best = 0.1
    seen.clear()
    found = partner.find_partner(None, None, KNOWN)
    assert found is not None and found.score == pytest.approx(0.7)


def test_a_right_hands_regions_are_a_mirrored_left_hands():
    left = list(partner._regions(KNOWN))
    mirrored = KNOWN.keypoints * [-1, 1, 1] + [600, 0, 0]
    right = list(partner._regions(KNOWN._replace(side=RIGHT, keypoints=mirrored)))
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(other.center, [600 - one.center[0], one.center[1]])
        assert other.size == pytest.approx(one.size)
        assert np.cos(other.angle + one.angle) == pytest.approx(1)


def behind_another(
    hands: MediaPipeHands, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The demo's left hand cut out, turned and laid over its right one.

    Returns:
        The picture, and the joints of the right hand, pixels.
    """
    right, left = sorted(hands(image), key=lambda one: one.side)

    def cut(one: HandDetection) -> np.ndarray:
        mask = np.zeros(image.shape[:2], np.uint8)
        points = to_fingertips(one.keypoints)[:, :2].round().astype(np.int32)
        width = int(0.13 * long_side(one.box))
        for finger in range(5):
            chain = points[[0, *range(1 + 4 * finger, 5 + 4 * finger)]]
            cv2.polylines(mask, [chain], False, 255, width)
        cv2.fillPoly(mask, [points[KNUCKLES]], 255)
        return mask

    pivot = left.keypoints[[0, 5, 17], :2].mean(axis=0).tolist()
    move = cv2.getRotationMatrix2D(pivot, 130, 1.0)
    move[:, 2] += right.keypoints[[5, 9, 13], :2].mean(axis=0) - [60, 0] - pivot
    size = (image.shape[1], image.shape[0])
    out = image.copy()
    out[cut(left) > 0] = np.median(image[:20], axis=(0, 1))
    over = cv2.warpAffine(cut(left), move, size) > 0
    out[over] = cv2.warpAffine(image, move, size)[over]
    return out, right.keypoints[:, :2]


def test_a_hand_behind_another_is_found(hands, demo_image, monkeypatch):
    image, joints = behind_another(hands, demo_image)
    found = {one.side: one for one in hands(image)}
    assert set(found) == {RIGHT, LEFT}
    off = np.linalg.norm(found[RIGHT].keypoints[:, :2] - joints, axis=1).mean()
    assert off < 0.22 * long_side(found[RIGHT].box)
    again = partner.find_partner(hands._joints, pyramid(image), found[LEFT])
    assert again is not None and again.side == RIGHT
    monkeypatch.setattr("twohand_jax.cues.mediapipe.find_partner", lambda *_: None)
    assert [one.side for one in hands(image)] == [LEFT]


def test_a_hand_alone_has_no_partner(hands, demo_image):
    right, left = sorted(hands(demo_image), key=lambda one: one.side)
    for one, columns in ((left, slice(0, 480)), (right, slice(480, 960))):
        alone = np.full_like(demo_image, 255)
        alone[:, columns] = demo_image[:, columns]
        assert partner.find_partner(hands._joints, pyramid(alone), one) is None
