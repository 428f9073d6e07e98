"""Extractors as one protocol: who wins, what is told, how pictures are batched."""

import jax
import numpy as np
import pytest

from tests.cues.extractors import Painter
from twohand_jax.cues import extraction
from twohand_jax.cues.extraction import Provenance
from twohand_jax.cues.mediapipe import MediaPipeCues
from twohand_jax.errors import InputError
from twohand_jax.types import NO_CUES

BOXES = np.array([[[2, 3, 10, 12], [14, 4, 20, 15]]], np.float32)
BOTH = np.ones((1, 2), bool)
IMAGE = np.zeros((20, 30, 3), np.uint8)


def test_cues_are_put_kept_and_taken_by_name() -> None:
    depth, flag = np.ones((4, 6), np.float32), np.array(False)
    cues = NO_CUES.put("depth", depth, flag).put("keypoints", np.ones((2, 21, 3)))
    assert not NO_CUES.values and not NO_CUES.present, "cues are not changed in place"
    assert cues.has("keypoints") and cues.values["depth"] is depth
    assert not cues.has("depth"), "what there is of a cue may be nothing"
    assert not cues.has("segmentation") and cues.has("segmentation").shape == ()
    again = cues.put("depth", depth + 1)
    assert again.has("depth") and again.values["depth"].max() == 2
    assert tuple(cues.only(["depth", "segmentation"]).values) == ("depth",)
    assert cues.only(["depth"]).present == {"depth": flag}


def test_merging_takes_only_what_the_other_has() -> None:
    one = NO_CUES.put("depth", np.zeros((4, 6))).put("keypoints", np.zeros((2, 21, 3)))
    other = NO_CUES.put("depth", np.ones((4, 6)), False)
    merged = extraction.merge(one, other, ("depth", "keypoints", "segmentation"))
    assert merged.values["depth"].all() and not merged.has("depth")
    assert merged.has("keypoints") and "segmentation" not in merged.values
    same = extraction.merge(one, other, ())
    assert same.has("depth") and not same.values["depth"].any()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_first_that_makes_a_cue_wins(order) -> None:
    points = Painter(name="a", makes=("keypoints", "depth"), score=0.2)
    maps = Painter(name="b", version="7", makes=("keypoints", "segmentation"), score=1)
    parts = [(points, maps)[place] for place in order]
    combined = extraction.combine(parts)
    (cues,) = combined([IMAGE], BOXES, BOTH)
    assert combined.makes == ("keypoints", "segmentation", "depth")
    assert cues.values["keypoints"][0, 0, 2] == np.float32(parts[0].score)
    told = extraction.provenance(combined)
    assert told["keypoints"] == Provenance(parts[0].name, parts[0].version)
    assert told["segmentation"] == Provenance("b", "7")
    assert told["depth"] == Provenance("a", "1")


def test_one_that_adds_nothing_is_not_asked() -> None:
    first, second = Painter(), Painter(makes=("depth",))
    (cues,) = extraction.combine([first, second])([IMAGE], BOXES, BOTH)
    assert first.asked and not second.asked
    assert cues.has("keypoints") and cues.has("segmentation") and cues.has("depth")


def test_parts_that_are_not_wanted_are_not_asked() -> None:
    points, maps = Painter(makes=("keypoints",)), Painter(makes=("depth",))
    combined = extraction.combine([points, maps])
    (cues,) = extraction.limit(combined, ("depth",))([IMAGE], BOXES, BOTH)
    assert cues.has("depth") and not cues.has("keypoints") and not points.asked
    assert extraction.limit(maps, ("keypoints",)) is maps


def test_combined_extractors_combine_again() -> None:
    inner = extraction.combine([Painter(name="a", makes=("depth",)), Painter(name="b")])
    outer = extraction.combine([Painter(name="c", makes=("segmentation",)), inner])
    sources = {kind: by.source for kind, by in extraction.provenance(outer).items()}
    assert sources == {"keypoints": "b", "segmentation": "c", "depth": "a"}


def test_no_extractor_and_unknown_cues_are_refused() -> None:
    with pytest.raises(InputError, match="at least one is needed"):
        extraction.combine([])
    with pytest.raises(InputError, match="painter names the cue 'flow'; cues are key"):
        extraction.combine([Painter(makes=("depth", "flow")), Painter()])


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
        jax.tree.map(np.testing.assert_array_equal, cues, expected)


def test_mediapipe_makes_keypoints_inside_of_given_boxes(hands, demo_image) -> None:
    found = {hand.side: hand for hand in hands(demo_image)}
    boxes = np.stack([found[0].box, found[1].box])[None]
    valid = np.array([[True, False]])
    (cues,) = MediaPipeCues(hands)([demo_image], boxes, valid)
    assert tuple(cues.values) == ("keypoints",) and cues.has("keypoints")
    points = cues.values["keypoints"]
    assert not points[1].any(), "only the right hand was asked for"
    base = np.delete(np.arange(21), [4, 8, 12, 16, 20])
    gap = np.linalg.norm((points[0] - found[0].keypoints)[base, :2], axis=1)
    assert gap.mean() < 0.03 * np.ptp(found[0].box.reshape(2, 2), axis=0).max()


def test_mediapipe_without_a_hand_makes_nothing() -> None:
    (cues,) = MediaPipeCues(lambda *_: [])([IMAGE], BOXES, BOTH)
    assert not cues.has("keypoints") and not cues.values["keypoints"].any()
    (cues,) = MediaPipeCues(None.__class__)([IMAGE], BOXES, ~BOTH)
    assert not cues.has("keypoints")
