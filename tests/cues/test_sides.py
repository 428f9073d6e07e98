"""Which box is the right hand: evidence of each kind, and the choice."""

import itertools

import numpy as np
import pytest

from tests.cues.extractors import Painter
from tests.inference.conftest import PRESENCE, detections
from twohand_jax.cues import selection
from twohand_jax.cues.onnx_detector import HandBoxes
from twohand_jax.types import NO_CUES

BOXES = np.array([[50, 5, 80, 40], [5, 5, 35, 40]], np.float32)
IMAGE = np.zeros((60, 90, 3), np.uint8)


def found(scores: list[float], known: list[int] | None = None) -> HandBoxes:
    count = len(scores)
    boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (count, 1))
    return HandBoxes(boxes, np.array(scores), np.array(known or [-1] * count))


@pytest.mark.parametrize("kind", ["keypoints", "segmentation"])
def test_cues_tell_the_sides(kind) -> None:
    # Right hand on the right of the picture: boxes come in the order right, left.
    painter = Painter(makes=(kind,))
    (cues,) = painter([IMAGE], BOXES[None], np.ones((1, 2), bool))
    evidence = selection.sides_from_cues(BOXES[::-1], cues)
    assert evidence.argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_array_equal(
        selection.choose_sides(found([0.5, 0.9]), evidence), [1, 0]
    )


def test_labels_speak_where_keypoints_are_silent() -> None:
    painter = Painter(score=0.05)
    (cues,) = painter([IMAGE], BOXES[None], np.ones((1, 2), bool))
    assert selection.sides_unknown(
        selection.sides_from_keypoints(BOXES, cues.values["keypoints"])
    ).all()
    assert selection.sides_from_cues(BOXES, cues).argmax(axis=1).tolist() == [0, 1]


def test_no_cues_say_nothing() -> None:
    assert selection.sides_unknown(selection.sides_from_cues(BOXES, NO_CUES)).all()
    outside = BOXES + 500
    assert selection.sides_unknown(
        selection.sides_from_labels(outside, np.ones((60, 90), np.uint8))
    ).all()


def test_the_look_of_a_hand_is_a_word_for_both_sides(keypoints) -> None:
    def detector(image, boxes):
        return [detections(keypoints)[0]]

    evidence = selection.sides_from_appearance(BOXES, IMAGE, detector)
    np.testing.assert_allclose(
        evidence, [[0.9 * PRESENCE, 0.1 * PRESENCE]] * 2, rtol=1e-5
    )
    assert selection.sides_unknown(
        selection.sides_from_appearance(BOXES, IMAGE, lambda *_: [])
    ).all()


def test_of_two_right_hands_the_less_sure_one_is_the_left() -> None:
    evidence = np.array([[0.6, 0.4], [0.9, 0.1]])
    np.testing.assert_array_equal(
        selection.choose_sides(found([1, 1]), evidence), [1, 0]
    )


def test_what_the_detector_knows_stands() -> None:
    evidence = np.array([[0.9, 0.1], [0.9, 0.1]])
    chosen = selection.choose_sides(found([0.5, 0.9], [0, 0]), evidence)
    np.testing.assert_array_equal(chosen, [1, -1])


def test_no_box_and_boxes_without_evidence() -> None:
    nothing = np.zeros((0, 2))
    np.testing.assert_array_equal(selection.choose_sides(found([]), nothing), [-1, -1])
    chosen = selection.choose_sides(found([0.4, 0.9]), np.zeros((2, 2)))
    assert sorted(chosen.tolist()) == [0, 1]


def test_the_choice_is_the_best_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, evidence = rng.uniform(size=4), rng.uniform(size=(4, 2))
        right, left = selection.choose_sides(found(scores.tolist()), evidence)
        weight = (evidence + 1e-3) * scores[:, None]
        best = max(
            weight[i, 0] + weight[j, 1] for i, j in itertools.permutations(range(4), 2)
        )
        assert np.isclose(weight[right, 0] + weight[left, 1], best)
