"""Extractors as one protocol: who wins, what is told, how pictures are batched."""

import numpy as np
import pytest

from tests.cues.extractors import Painter
from twohand_jax.cues import extraction
from twohand_jax.cues.extraction import Provenance
from twohand_jax.cues.mediapipe import MediaPipeCues
from twohand_jax.data import schema
from twohand_jax.errors import InputError

BOXES = np.array([[[2, 3, 10, 12], [14, 4, 20, 15]]], np.float32)
BOTH = np.ones((1, 2), bool)
IMAGE = np.zeros((20, 30, 3), np.uint8)


def test_kinds_are_those_of_the_records() -> None:
    assert extraction.KINDS == schema.CUES


def test_absent_cues_are_zeros_with_cleared_flags() -> None:
    cues = extraction.no_cues(4, 6)
    assert cues.segmentation.shape == cues.depth.shape == (4, 6)
    assert not any(np.any(leaf) for leaf in cues)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_first_that_makes_a_cue_wins(order) -> None:
    points = Painter(name="a", makes=("keypoints", "depth"), score=0.2)
    maps = Painter(name="b", version="7", makes=("keypoints", "segmentation"), score=1)
    parts = [(points, maps)[place] for place in order]
    combined = extraction.combine(parts)
    (cues,) = combined([IMAGE], BOXES, BOTH)
    assert combined.makes == extraction.KINDS
    assert cues.keypoints[0, 0, 2] == np.float32(parts[0].score)
    told = extraction.provenance(combined)
    assert told["keypoints"] == Provenance(parts[0].name, parts[0].version)
    assert told["segmentation"] == Provenance("b", "7")
    assert told["depth"] == Provenance("a", "1")


def test_one_that_adds_nothing_is_not_asked() -> None:
    first, second = Painter(), Painter(makes=("depth",))
    (cues,) = extraction.combine([first, second])([IMAGE], BOXES, BOTH)
    assert first.asked and not second.asked
    assert cues.has_keypoints and cues.has_segmentation and cues.has_depth


def test_parts_that_are_not_wanted_are_not_asked() -> None:
    points, maps = Painter(makes=("keypoints",)), Painter(makes=("depth",))
    combined = extraction.combine([points, maps])
    (cues,) = extraction.limit(combined, ("depth",))([IMAGE], BOXES, BOTH)
    assert cues.has_depth and not cues.has_keypoints and not points.asked
    assert extraction.limit(maps, ("keypoints",)) is maps


def test_combined_extractors_combine_again() -> None:
    inner = extraction.combine([Painter(name="a", makes=("depth",)), Painter(name="b")])
    outer = extraction.combine([Painter(name="c", makes=("segmentation",)), inner])
    sources = {kind: by.source for kind, by in extraction.provenance(outer).items()}
    assert sources == {"keypoints": "b", "segmentation": "c", "depth": "a"}


def test_no_extractor_and_unknown_cues_are_refused() -> None:
    with pytest.raises(InputError, match="at least one is needed"):
        extraction.combine([])
    with pytest.raises(InputError, match="painter makes .'normals'., but cues are"):
        extraction.combine([Painter(makes=("depth", "normals")), Painter()])


def test_batches_hold_one_size_and_the_order_stays() -> None:
    rng = np.random.default_rng(0)
    shapes = [(20, 30, 3), (24, 30, 3)]
    images = [np.zeros(shapes[number % 2], np.uint8) for number in range(7)]
    boxes = rng.uniform(1, 8, (7, 2, 4)).round()
    boxes[..., 2:] += boxes[..., :2]
    valid = rng.uniform(size=(7, 2)) < 0.7
    painter = Painter()
    found = extraction.extract(painter, images, boxes, valid, batch=3)
    assert [len(set(shapes)) for shapes in painter.asked] == [1] * len(painter.asked)
    assert sorted(map(len, painter.asked)) == [1, 3, 3]
    for cues, *alone in zip(found, images, boxes, valid, strict=True):
        image, box, there = alone
        (expected,) = painter([image], box[None], there[None])
        for one, other in zip(cues, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_mediapipe_makes_keypoints_inside_of_given_boxes(hands, demo_image) -> None:
    found = {hand.side: hand for hand in hands(demo_image)}
    boxes = np.stack([found[0].box, found[1].box])[None]
    valid = np.array([[True, False]])
    (cues,) = MediaPipeCues(hands)([demo_image], boxes, valid)
    assert cues.has_keypoints and not cues.has_segmentation and not cues.has_depth
    assert not cues.keypoints[1].any(), "only the right hand was asked for"
    base = np.delete(np.arange(21), [4, 8, 12, 16, 20])
    gap = np.linalg.norm((cues.keypoints[0] - found[0].keypoints)[base, :2], axis=1)
    assert gap.mean() < 0.03 * np.ptp(found[0].box.reshape(2, 2), axis=0).max()


def test_mediapipe_without_a_hand_makes_nothing() -> None:
    (cues,) = MediaPipeCues(lambda *_: [])([IMAGE], BOXES, BOTH)
    assert not cues.has_keypoints and not cues.keypoints.any()
    (cues,) = MediaPipeCues(None.__class__)([IMAGE], BOXES, ~BOTH)
    assert not cues.has_keypoints
