"""Hands and cues of a picture: who finds, who extracts, and whose word counts."""

from pathlib import Path

import numpy as np
import pytest

from tests.cues.extractors import Painter
from tests.inference.conftest import PRESENCE, detections
from twohand_jax import assets
from twohand_jax.cues.onnx_detector import HandBoxes
from twohand_jax.errors import InputError
from twohand_jax.inference import observe
from twohand_jax.inference.detections import box_around
from twohand_jax.inference.observe import GIVEN, MEDIAPIPE, CueConfig, Observer


def observer(keypoints=None, extractor=None, **config) -> Observer:
    """With a detector that finds these keypoints, and this extractor or none."""
    found = [] if keypoints is None else detections(keypoints)

    def detector(image, boxes=None, sides=None):
        return [hand for hand in found if sides is None or hand.side in sides]

    made = Observer(CueConfig(**{"source": "mediapipe"} | config), detector=detector)
    made.extractor = extractor
    return made


def look(made: Observer, image, **given):
    (seen,) = made.observe([image], [made.find(image, **given)])
    return seen


def test_the_detector_alone_gives_keypoints(image, keypoints) -> None:
    seen = look(observer(keypoints), image)
    points = seen.cues.values["keypoints"]
    np.testing.assert_array_equal(points, seen.hands.keypoints)
    assert seen.cues.has("keypoints") and seen.provenance == {"keypoints": MEDIAPIPE}
    assert tuple(seen.cues.values) == ("keypoints",)
    for side in (0, 1):
        box = box_around(seen.hands.keypoints[side])
        np.testing.assert_array_equal(seen.hands.boxes[side], box)


def test_joints_in_metres_come_with_the_hands(image, keypoints) -> None:
    one = [[10, 20, 90, 110], None]
    anywhere = look(observer(keypoints), image).hands
    boxed = look(observer(keypoints), image, boxes=one).hands
    given = look(observer(keypoints), image, keypoints=keypoints).hands
    for side, hand in enumerate(detections(keypoints)):
        np.testing.assert_array_equal(anywhere.world[side], hand.world)
    np.testing.assert_array_equal(boxed.world[0], anywhere.world[0])
    assert boxed.has_world.tolist() == [True, False]
    assert not given.has_world.any()


@pytest.mark.parametrize(
    ("presence", "trust", "solid"),
    [(0.55, 0.0, False), (0.75, 0.5, False), (0.95, 1.0, False), (0.98, 1.0, True)],
)
def test_keypoints_are_believed_as_far_as_the_detector_is_sure(
    image, keypoints, presence, trust, solid
) -> None:
    """Their scores stay; what the fit is told of them does not."""
    sure = [None if one is None else np.array(one, np.float32) for one in keypoints]
    for one in sure:
        one[:, 2] = presence / PRESENCE
    hands = look(observer(sure, Painter(makes=("segmentation",))), image).hands
    np.testing.assert_allclose(hands.keypoints[..., 2], presence, rtol=1e-6)
    np.testing.assert_allclose(hands.trust, trust, atol=1e-6)
    np.testing.assert_allclose(hands.evidence[..., 2], presence * trust, atol=1e-6)
    np.testing.assert_array_equal(hands.evidence[..., :2], hands.keypoints[..., :2])
    assert hands.has_world.all()
    assert hands.solid_world.any(axis=(1, 2)).tolist() == [solid] * 2
    given = look(observer(sure), image, keypoints=sure).hands
    np.testing.assert_array_equal(given.evidence, given.keypoints)
    better = Painter(makes=("keypoints",))
    np.testing.assert_array_equal(look(observer(sure, better), image).hands.trust, 1.0)


def test_maps_are_extracted_in_the_detected_boxes(image, keypoints) -> None:
    painter = Painter(makes=("segmentation", "depth"))
    seen = look(observer(keypoints, painter), image)
    assert all(seen.cues.has(name) for name in ("keypoints", "segmentation", "depth"))
    x, y = seen.hands.boxes[1].reshape(2, 2).mean(axis=0).astype(int)
    assert seen.cues.values["segmentation"][y, x] == 2
    assert {kind: by.source for kind, by in seen.provenance.items()} == {
        "keypoints": MEDIAPIPE.source,
        "segmentation": "painter",
        "depth": "painter",
    }


def test_an_extractors_keypoints_move_detected_boxes(image, keypoints) -> None:
    before = look(observer(keypoints), image).hands
    seen = look(observer(keypoints, Painter(makes=("keypoints",))), image)
    assert seen.provenance["keypoints"].source == "painter"
    np.testing.assert_array_equal(
        seen.hands.boxes[0], box_around(seen.hands.keypoints[0])
    )
    assert not np.allclose(seen.hands.boxes, before.boxes)


def test_maps_that_the_network_does_not_see_are_not_made(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(observe, "load_extractor", made.append)
    assert Observer().extractor is None and made == []
    wanted = CueConfig(unseen=("depth",))
    assert Observer(wanted).extractor is None and made == [wanted]


def test_given_keypoints_are_never_replaced(image, keypoints) -> None:
    seen = look(observer(None, Painter()), image, keypoints=keypoints)
    np.testing.assert_array_equal(seen.hands.keypoints, keypoints)
    np.testing.assert_array_equal(seen.cues.values["keypoints"], keypoints)
    assert seen.provenance["keypoints"] == GIVEN
    assert seen.provenance["depth"].source == "painter"


def test_given_boxes_stay_where_keypoints_are_extracted(image) -> None:
    boxes = [[10, 20, 90, 110], None]
    seen = look(observer(None, Painter(makes=("keypoints",))), image, boxes=boxes)
    np.testing.assert_array_equal(seen.hands.boxes[0], boxes[0])
    np.testing.assert_array_equal(seen.hands.present, [True, False])
    assert seen.hands.keypoints[0].any() and not seen.hands.keypoints[1].any()


def test_pictures_without_hands_are_not_extracted(image) -> None:
    painter = Painter()
    made = observer(None, painter)
    found = [made.find(image), made.find(image, boxes=[[1, 1, 9, 9], None])]
    empty, one = made.observe([image, image], found)
    assert len(painter.asked) == 1 and len(painter.asked[0]) == 1
    assert not empty.provenance and not empty.hands.present.any()
    assert set(one.provenance) == {"keypoints", "segmentation", "depth"}


def boxed(keypoints) -> HandBoxes:
    """A detector's boxes, the left hand's first, without sides."""
    boxes = np.stack([box_around(points) for points in keypoints[::-1]])
    return HandBoxes(boxes, np.array([0.9, 0.7], np.float32), np.array([-1, -1]))


def test_a_detectors_boxes_get_sides_and_keypoints(image, keypoints) -> None:
    made = observer(keypoints)
    made._boxes = lambda picture: boxed(keypoints)
    made.detector = lambda image, boxes, sides=None: [
        hand
        for hand in detections(keypoints)
        if any(np.abs(hand.box - box).max() < 20 for box in boxes)
    ]
    seen = look(made, image)
    np.testing.assert_allclose(seen.hands.boxes, boxed(keypoints).boxes[::-1])
    np.testing.assert_allclose(seen.hands.score, [0.7, 0.9])
    assert (seen.hands.keypoints[..., 2] > 0).all()


def test_sapiens_tells_sides_and_is_asked_once(image, keypoints, monkeypatch) -> None:
    painter = Painter()
    places = np.stack([box_around(points) for points in keypoints])[None]

    def sees_the_person(images, boxes, valid):
        return painter(images, places, valid)

    sees_the_person.makes, sees_the_person.name = painter.makes, "sapiens_0.3b"
    sees_the_person.version = "1"
    monkeypatch.setattr(observe, "check_choice", lambda _: None)
    monkeypatch.setattr(observe, "load_extractor", lambda _: sees_the_person)
    models = tuple((kind, Path(kind)) for kind in painter.makes)
    made = Observer(CueConfig(source="sapiens", sapiens_models=models))
    made._boxes = lambda picture: boxed(keypoints)
    seen = look(made, image)
    np.testing.assert_allclose(seen.hands.boxes, places[0])
    assert len(painter.asked) == 1
    assert seen.provenance["keypoints"].source == "sapiens_0.3b"
    made._boxes = lambda picture: HandBoxes(*(part[:1] for part in boxed(keypoints)))
    seen = look(made, image)
    np.testing.assert_array_equal(seen.hands.present, [False, True])
    assert not seen.cues.values["keypoints"][0].any(), "a hand that was not detected"


@pytest.fixture
def crowd(keypoints) -> np.ndarray:
    """The right and left hands of two people, the second below the first."""
    return np.stack([keypoints, keypoints + [0, 800, 0]]).astype(np.float32)


def looker(crowd):
    """A detector of those hands, anywhere and in boxes."""
    there = [hand for pair in crowd for hand in detections(pair)]

    def detector(image, boxes=None, sides=None):
        if boxes is None:
            return there
        found = []
        for at, box in enumerate(boxes):
            near = [hand for hand in there if np.abs(hand.box - box).max() < 20]
            found += near if sides is None else [near[0]._replace(side=sides[at])]
        return found

    return detector


@pytest.mark.parametrize("classes", [(-1, -1, -1, -1), (0, 1, 0, 1)])
def test_a_detectors_boxes_are_those_of_people(image, crowd, classes) -> None:
    made = observer()
    made.detector = looker(crowd)
    boxes = np.stack([box_around(points) for points in crowd.reshape(4, 21, 3)])
    scores = np.array([0.6, 0.5, 0.9, 0.8], np.float32)
    made._boxes = lambda picture: HandBoxes(boxes, scores, np.array(classes))
    first, second = made.find_people(image, max_hands=16)
    np.testing.assert_array_equal(first.hands.boxes, boxes[2:])
    np.testing.assert_array_equal(second.hands.boxes, boxes[:2])
    np.testing.assert_allclose(first.hands.score, [0.9, 0.8])
    assert first.hands.has_world.all() and first.is_boxed
    (one,) = made.find_people(image, max_hands=2)
    np.testing.assert_array_equal(one.hands.boxes, boxes[:2])
    made._boxes = lambda picture: HandBoxes(boxes[:0], scores[:0], np.array([], int))
    assert made.find_people(image, max_hands=16) == []


def test_a_box_in_which_no_joints_are_seen_is_still_a_hands(image, crowd) -> None:
    made = observer()
    made.detector = lambda image, boxes=None, sides=None: []
    boxes = np.stack([box_around(points) for points in crowd[0]])
    found = HandBoxes(boxes, np.ones(2, np.float32), np.array([0, 1]))
    made._boxes = lambda picture: found
    (one,) = made.find_people(image, max_hands=16)
    np.testing.assert_array_equal(one.hands.boxes, boxes)
    assert not one.hands.has_keypoints and one.hands.trust.tolist() == [1, 1]


def test_hands_that_are_given_may_be_several_peoples(image, crowd) -> None:
    made = observer()
    made.detector = looker(crowd)
    tall = np.concatenate([image] * 5)
    boxes = [[box_around(points) for points in pair] for pair in crowd]
    found = made.find_people(tall, boxes, [crowd[0], None], max_hands=1)
    assert [one.source for one in found] == [GIVEN, MEDIAPIPE]
    for one, pair in zip(found, boxes, strict=True):
        np.testing.assert_array_equal(one.hands.boxes, pair)
        assert one.hands.has_keypoints
    with pytest.raises(InputError, match="of 2 people are given, but those of one"):
        made.find(tall, boxes)


def test_sapiens_looks_once_at_a_picture_of_several_people(
    image, crowd, monkeypatch
) -> None:
    """Its keypoints are those of the person whom it sees."""
    painter = Painter()
    places = np.stack([box_around(points) for points in crowd[1]])[None]

    def sees_one(images, boxes, valid):
        return painter(images, places, valid)

    sees_one.makes, sees_one.name, sees_one.version = painter.makes, "sapiens", "1"
    monkeypatch.setattr(observe, "check_choice", lambda _: None)
    monkeypatch.setattr(observe, "load_extractor", lambda _: sees_one)
    models = tuple((kind, Path(kind)) for kind in painter.makes)
    made = Observer(CueConfig(source="sapiens", sapiens_models=models))
    made.detector = looker(crowd)
    tall = np.concatenate([image] * 5)
    found = made.find_people(tall, max_hands=16)
    seen = made.observe([tall] * len(found), found)
    assert len(painter.asked) == 1 and len(seen) == 2
    by_place = sorted(seen, key=lambda one: one.hands.boxes[0, 1])
    for one, before in zip(
        by_place, sorted(found, key=lambda f: f.hands.boxes[0, 1]), strict=True
    ):
        is_same = one.hands.keypoints == before.hands.keypoints
        assert is_same.all() == (one is by_place[0])
        assert one.cues.has("segmentation")
    np.testing.assert_array_equal(by_place[1].hands.trust, 1.0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"source": "openpose"}, "cues must be one of"),
        ({"source": "sapiens"}, "needs converted models: give some of --sapiens-keyp"),
        (
            {"sapiens_models": (("depth", Path("d")),)},
            "--sapiens-depth needs --cues sapiens, but the",
        ),
        ({"detector": Path("none.onnx")}, "There is no detector file none.onnx"),
        (
            {"source": "sapiens", "sapiens_models": (("depth", Path("nowhere")),)},
            "nowhere",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(config, message) -> None:
    with pytest.raises(InputError, match=message):
        Observer(CueConfig(**config))


def test_in_boxes_mediapipe_is_an_extractor(monkeypatch) -> None:
    monkeypatch.setattr(assets, "SEGDEPTH", Path("not shipped"))
    for source in ("auto", "mediapipe"):
        assert observe.load_extractor(CueConfig(source=source)) is None
        made = observe.load_in_boxes(CueConfig(source=source))
        assert made.makes == ("keypoints",)


def test_converted_sapiens_models_make_all_cues(tmp_path, image, keypoints) -> None:
    pytest.importorskip("torch")
    from tests.weights.tiny_sapiens import loaded, tiny, torch_network
    from twohand_jax.models.sapiens import DEPTH, POSE, SEGMENTATION
    from twohand_jax.weights import sapiens

    kinds = {"keypoints": POSE, "segmentation": SEGMENTATION, "depth": DEPTH}
    for cue, kind in kinds.items():
        own = loaded(tiny(kind), torch_network(tiny(kind)))
        sapiens.save(tmp_path / cue, own.config, own.variables, origin=own.origin)
    models = tuple((cue, tmp_path / cue) for cue in kinds)
    made = Observer(
        CueConfig(source="sapiens", sapiens_models=models),
        detector=lambda *_: detections(keypoints),
    )
    seen = look(made, image)
    assert {by.source for by in seen.provenance.values()} == {"sapiens_24x3"}
    assert set(seen.provenance) == set(kinds)
    assert seen.cues.values["segmentation"].shape == image.shape[:2]


def test_hidden_cues_are_not_told_and_keypoints_stay(image, keypoints) -> None:
    seen = look(observer(keypoints, Painter()), image)
    hidden = observe.hide(seen, ("depth", "keypoints"))
    assert tuple(hidden.cues.values) == ("keypoints", "segmentation")
    assert set(hidden.provenance) == {"keypoints", "segmentation"}
    assert observe.hide(seen, ()) == seen
