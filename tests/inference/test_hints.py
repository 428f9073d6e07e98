"""Boxes and keypoints from callers and files, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.inference import given, hint_files

ROWS = np.random.default_rng(0).uniform(10, 90, (21, 2))


def test_keypoints_get_the_box_of_training() -> None:
    hands = given.given_detections(keypoints=[ROWS.tolist(), None])
    np.testing.assert_array_equal(hands.present, [True, False])
    assert not hands.has_world.any()
    low, high = ROWS.min(0), ROWS.max(0)
    np.testing.assert_allclose(
        hands.boxes[0, 2:] - hands.boxes[0, :2], 1.2 * (high - low), rtol=1e-5
    )
    np.testing.assert_allclose(hands.keypoints[0, :, 2], 1)
    assert hands.has_keypoints


def test_given_boxes_stay_as_they_are() -> None:
    hands = given.given_detections(boxes=[None, [1, 2, 30, 40]])
    np.testing.assert_array_equal(hands.boxes[1], [1, 2, 30, 40])
    np.testing.assert_array_equal(hands.score, [0, 1])
    assert not hands.has_keypoints


def test_nan_boxes_and_unscored_keypoints_mean_absent() -> None:
    boxes = np.full((2, 4), np.nan)
    assert not given.given_detections(boxes=boxes).present.any()
    assert not given.given_detections(keypoints=np.zeros((2, 21, 3))).present.any()


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
        given.given_detections(boxes=boxes)


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
        given.given_detections(keypoints=[rows, None])


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([0.1, 0.2, 0.4, 0.5], "0.3 pixels only"),
        ([700, 10, 800, 90], "lies outside of the picture"),
        ([-90, 10, -20, 90], "lies outside of the picture"),
        ([0, 0, 1e5, 1e5], "far larger than the picture"),
        ([-1e5, 0, 300, 300], "far larger than the picture"),
    ],
)
def test_boxes_of_another_picture_or_unit(box: list, words: str) -> None:
    with pytest.raises(InputError, match=f"left hand's box .*{words}"):
        given.given_detections(boxes=[None, box], size=(480, 640))


def test_hands_that_the_border_cuts_are_taken() -> None:
    box = [-60, 300, 90, 560]
    hands = given.given_detections(boxes=[box, None], size=(480, 640))
    np.testing.assert_array_equal(hands.boxes[0], box)
    rows = [ROWS - [40, 0], None]
    assert given.given_detections(keypoints=rows, size=(480, 640)).present[0]


def test_keypoints_of_another_unit_and_outliers() -> None:
    for rows in (ROWS / 640, [[0.5, 0.5, 1.0]] * 21):
        with pytest.raises(InputError, match="right hand's .* must be in pixels"):
            given.given_detections(keypoints=[rows, None], size=(480, 640))
    rows = np.column_stack([ROWS, np.ones(21)])
    rows[5, 0] = 1e6
    with pytest.raises(InputError, match=r"keypoint 5 \(index_1\) .* far outside"):
        given.given_detections(keypoints=[None, rows], size=(480, 640))
    rows[5, 2] = 0
    assert given.given_detections(keypoints=[None, rows], size=(480, 640))


def test_files_for_one_and_for_several_pictures(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    one = {"right": [0, 0, 5, 5], "left": None}
    path.write_text(json.dumps(one))
    content = hint_files.read_file(path)
    assert hint_files.for_picture(content, "any", "f") == [[0, 0, 5, 5], None]
    path.write_text(json.dumps({"a": {"left": [1, 1, 2, 2]}}))
    content = hint_files.read_file(path)
    assert hint_files.for_picture(content, "a", "f") == [None, [1, 1, 2, 2]]
    assert hint_files.for_picture(content, "b", "f") is None


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "{}", "\x00"])
def test_bad_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match="boxes.json"):
        hint_files.read_file(path)


def test_bad_entry_of_a_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="keys 'right'"):
        hint_files.for_picture({"a": {"rechts": [1]}}, "a", "file.json")
    with pytest.raises(InputError, match="no file"):
        hint_files.read_file(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("photo.jpg", "'photo.jpg' \\(is 'photo' meant"),
        ("phot", "'phot' \\(is 'photo' meant"),
        ("Right", "'Right' \\(is 'right' meant"),
        ("elsewhere", "'elsewhere'; a picture's name is"),
        ("clip", "'clip' \\(is 'clip_000000' meant"),
    ],
)
def test_entries_of_no_picture_are_named(tmp_path: Path, key: str, advice: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({key: {"left": [1, 1, 9, 9]}, "photo": {}}))
    with pytest.raises(InputError, match=f"boxes.json has entries .*{advice}"):
        hint_files.HintFile(path, ["photo", "b"], ["clip"])


def test_entries_of_frames_are_known_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    entry = {"left": [1, 1, 9, 9]}
    path.write_text(json.dumps({"clip_000001": entry, "clip_000009": entry}))
    hints = hint_files.HintFile(path, [], ["clip"])
    assert hints.of("clip_000000") is None
    assert hints.of("clip_000001") == [None, [1, 1, 9, 9]]
    (failure,) = hints.unused()
    assert "do not have: clip_000009." in failure.message
    assert hints.of("clip_000009") and not list(hints.unused())


@pytest.mark.parametrize(
    "content", [{"people": []}, {"image": "a.jpg", "hands": {"right": None}}]
)
def test_our_own_results_are_no_hints(tmp_path: Path, content: dict) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="a.json is a result file of twohand"):
        hint_files.HintFile(path, ["a"])


PAIRS = {
    "boxes": [[[0, 0, 40, 50], None], [[60, 0, 99, 50], [10, 60, 50, 99]]],
    "keypoints": [[ROWS.tolist(), None], [None, ROWS.tolist()]],
}


@pytest.mark.parametrize("kind", ["boxes", "keypoints"])
def test_hands_of_several_people(kind: str) -> None:
    pairs = PAIRS[kind]
    people = given.given_people(**{kind: pairs}, size=(100, 100))
    for hands, pair in zip(people, pairs, strict=True):
        one = given.given_detections(**{kind: pair})
        for leaf, same in zip(hands, one, strict=True):
            np.testing.assert_array_equal(leaf, same)
    (alone,) = given.given_people(**{kind: pairs[0]})
    np.testing.assert_array_equal(alone.boxes, people[0].boxes)
    (left,) = given.given_people(**{kind: [None, pairs[1], [None, None]]})
    np.testing.assert_array_equal(left.boxes, people[1].boxes)
    assert given.first_person(**{"boxes": None, "keypoints": None} | {kind: pairs}) == (
        (pairs[0], None) if kind == "boxes" else (None, pairs[0])
    )


@pytest.mark.parametrize(
    ("hints", "words"),
    [
        (
            {"boxes": [[None, None], [[5, 5, 5, 9], None]]},
            "Person 2: The right .* empt",
        ),
        ({"boxes": PAIRS["boxes"], "keypoints": PAIRS["keypoints"][0]}, "of 2 people"),
        ({"boxes": [[0, 0, 9, 9]]}, "must be a pair"),
        ({"keypoints": 3}, "must be a pair"),
    ],
)
def test_bad_hints_of_several_people(hints: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        given.given_people(**hints)


def test_files_of_several_people(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    box = [0, 0, 9, 9]
    several = [{"right": box}, {}, {"left": box, "right": None}]
    path.write_text(json.dumps({"a": several, "b": {"left": box}, "c": [{}]}))
    file = hint_files.HintFile(path, ["a", "b", "c"])
    assert file.most_people == 3
    assert file.of("a") == [[box, None], None, [None, box]]
    assert file.of("b") == [None, box] and file.of("c") == [None, None]
    assert not list(file.unused())
    assert len(given.given_people(file.of("a"))) == 2
    path.write_text(json.dumps(several))
    assert len(given.given_people(hint_files.HintFile(path, ["x"]).of("x"))) == 2
    path.write_text(json.dumps({"a": [{"Right": box}]}))
    with pytest.raises(InputError, match="list of such objects, one for each person"):
        hint_files.HintFile(path, ["a"]).of("a")
