"""Boxes and keypoints from callers and files, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.inference import detections

ROWS = np.random.default_rng(0).uniform(10, 90, (21, 2))


def test_keypoints_get_the_box_of_training() -> None:
    hands = detections.given_detections(keypoints=[ROWS.tolist(), None])
    np.testing.assert_array_equal(hands.present, [True, False])
    assert not hands.has_world.any()
    low, high = ROWS.min(0), ROWS.max(0)
    np.testing.assert_allclose(
        hands.boxes[0, 2:] - hands.boxes[0, :2], 1.2 * (high - low), rtol=1e-5
    )
    np.testing.assert_allclose(hands.keypoints[0, :, 2], 1)
    assert hands.has_keypoints


def test_given_boxes_stay_as_they_are() -> None:
    hands = detections.given_detections(boxes=[None, [1, 2, 30, 40]])
    np.testing.assert_array_equal(hands.boxes[1], [1, 2, 30, 40])
    np.testing.assert_array_equal(hands.score, [0, 1])
    assert not hands.has_keypoints


def test_nan_boxes_and_unscored_keypoints_mean_absent() -> None:
    boxes = np.full((2, 4), np.nan)
    assert not detections.given_detections(boxes=boxes).present.any()
    assert not detections.given_detections(keypoints=np.zeros((2, 21, 3))).present.any()


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[0, 0, 10], None], "four finite numbers"),
        ([[0, 0, 10, np.inf], None], "four finite numbers"),
        ([None, [10, 0, 10, 5]], "left hand's box .* is empty"),
        ([["a", 0, 1, 1], None], "must be numbers"),
    ],
)
def test_bad_boxes(boxes: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        detections.given_detections(boxes=boxes)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS[:20].tolist(), "21 rows"),
        ((ROWS * np.nan).tolist(), "not finite"),
        ([[1, 2]] * 20 + [[1, 2, 3]], "equal rows"),
    ],
)
def test_bad_keypoints(rows: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        detections.given_detections(keypoints=[rows, None])


def test_files_for_one_and_for_several_pictures(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    one = {"right": [0, 0, 5, 5], "left": None}
    path.write_text(json.dumps(one))
    content = detections.read_file(path)
    assert detections.for_picture(content, "any", "f") == [[0, 0, 5, 5], None]
    path.write_text(json.dumps({"a": {"left": [1, 1, 2, 2]}}))
    content = detections.read_file(path)
    assert detections.for_picture(content, "a", "f") == [None, [1, 1, 2, 2]]
    assert detections.for_picture(content, "b", "f") is None


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "{}", "\x00"])
def test_bad_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match="boxes.json"):
        detections.read_file(path)


def test_bad_entry_of_a_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="keys 'right'"):
        detections.for_picture({"a": {"rechts": [1]}}, "a", "file.json")
    with pytest.raises(InputError, match="no file"):
        detections.read_file(tmp_path / "missing.json")
