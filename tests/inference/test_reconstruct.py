"""The whole way with an untrained network: shapes, frames, cues, fit, refusals."""

import functools
import io
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from tests.cues.extractors import Painter
from tests.inference.conftest import PRESENCE, detections
from tests.programs import forward
from twohand_jax.cues.mediapipe import to_fingertips
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.inference.observe import CueConfig, Observer
from twohand_jax.inference.reconstruct import Reconstructor, keypoint_error
from twohand_jax.types import Camera


@pytest.fixture(scope="module")
def reconstructor(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Reconstructor:
    cache = tmp_path_factory.mktemp("cache")
    return Reconstructor.load(checkpoint, cues="mediapipe", cache=cache)


@pytest.fixture
def with_detector(reconstructor, monkeypatch):
    def use(detector):
        monkeypatch.setattr(reconstructor.observer, "detector", detector)
        return reconstructor

    return use


@pytest.mark.slow
def test_given_keypoints_are_met_after_the_fit(reconstructor, image, keypoints) -> None:
    one = reconstructor.detailed(image, keypoints=keypoints)
    network, fitted = one.errors()
    assert (fitted < 0.05).all() and (fitted < network).all()
    prediction = one.prediction
    assert one.refinement is not None or one.fitted is prediction
    np.testing.assert_array_equal(prediction.score, [1, 1])
    geometry = forward(reconstructor.model, prediction.mano)
    np.testing.assert_allclose(
        prediction.geometry.vertices, geometry.vertices, atol=1e-4
    )
    pixels = np.asarray(cameras.project(geometry.joints, prediction.camera))
    assert np.abs(pixels - keypoints[..., :2]).mean() < 5


def test_fit_off_gives_the_network(reconstructor, image, keypoints) -> None:
    one = reconstructor.detailed(image, keypoints=keypoints, fit="off")
    assert one.prediction is one.network
    again = reconstructor(image, keypoints=keypoints, fit="off")
    close = functools.partial(np.testing.assert_allclose, atol=1e-4)
    jax.tree.map(close, one.network, again)


def test_box_scale_and_camera(reconstructor, image, keypoints) -> None:
    one = reconstructor.detailed(image, keypoints=keypoints, fit="off", focal=500.0)
    np.testing.assert_array_equal(one.prediction.camera.focal, [500, 500])
    np.testing.assert_array_equal(one.prediction.camera.center, [159.5, 119.5])
    given = {"focal": [500.0, 510.0], "center": [40.0, 300.0]}
    moved = reconstructor.detailed(image, keypoints=keypoints, fit="off", **given)
    np.testing.assert_array_equal(moved.prediction.camera.focal, given["focal"])
    np.testing.assert_array_equal(moved.prediction.camera.center, given["center"])
    assert moved.camera_from == ("given", "given")
    camera = Camera(np.array(given["focal"]), np.array(given["center"]))
    again = reconstructor(image, keypoints=keypoints, fit="off", camera=camera)
    close = functools.partial(np.testing.assert_allclose, atol=1e-5)
    jax.tree.map(close, again, moved.prediction)
    extent = np.ptp(keypoints[0, :, :2], axis=0)
    box = np.asarray(one.prediction.box[0])
    np.testing.assert_allclose(box[2:] - box[:2], 1.2 * extent, rtol=1e-4)


def test_pictures_of_jax_and_pillow(reconstructor, image, keypoints) -> None:
    plain = reconstructor(image, keypoints=keypoints, fit="off")
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    exif[0x8769] = {0xA405: 43}
    file = io.BytesIO()
    Image.fromarray(image[::-1, ::-1]).save(file, "PNG", exif=exif)
    one = reconstructor.detailed(Image.open(file), keypoints=keypoints, fit="off")
    assert one.camera_from == ("exif", "middle")
    np.testing.assert_allclose(one.prediction.camera.focal, 43 / 43.27 * 400, rtol=1e-4)
    np.testing.assert_allclose(
        one.prediction.mano.hand_pose, plain.mano.hand_pose, atol=1e-4
    )
    other = reconstructor(jax.numpy.asarray(image), keypoints=keypoints, fit="off")
    jax.tree.map(np.testing.assert_array_equal, plain, other)


def test_detector_finds_the_hands(with_detector, image, keypoints) -> None:
    reconstructor = with_detector(lambda picture: detections(keypoints))
    one = reconstructor.detailed(image)
    np.testing.assert_allclose(one.prediction.score, PRESENCE, rtol=1e-5)
    expected = [to_fingertips(points)[:, :2] for points in keypoints]
    np.testing.assert_allclose(one.hands.keypoints[..., :2], expected, rtol=1e-5)


def painted(reconstructor: Reconstructor, **config) -> Reconstructor:
    """The same network, shown maps as well."""
    observer = Observer(CueConfig(**config))
    observer.extractor = Painter(makes=("segmentation", "depth"))
    return Reconstructor(reconstructor._trained, reconstructor.model, observer=observer)


def test_maps_reach_the_network(reconstructor, image, keypoints, monkeypatch) -> None:
    plain = reconstructor.detailed(image, keypoints=keypoints, fit="off")
    whole = painted(reconstructor, unseen=())
    seen = []
    run = whole._run

    def spy(name, *arguments, **more):
        seen.append(arguments)
        return run(name, *arguments, **more)

    monkeypatch.setattr(whole, "_run", spy)
    one = whole.detailed(image, keypoints=keypoints, fit="off")
    assert set(one.provenance) == {"keypoints", "segmentation", "depth"}
    view = seen[0][-1]
    labels, depth = (view.cues.values[name] for name in ("segmentation", "depth"))
    assert view.cues.has("segmentation") and view.cues.has("depth")
    for side, box in enumerate(one.hands.boxes):
        middle = box.reshape(2, 2).mean(axis=0)
        T = view.T_canvas_image
        x, y = np.rint(T[:, :2] @ middle + T[:, 2]).astype(int)
        assert labels[y, x] == side + 1 and depth[y, x] > 0
    two = painted(reconstructor, unseen=("depth",)).detailed(
        image, keypoints=keypoints, fit="off"
    )
    assert set(two.provenance) == {"keypoints", "segmentation"}
    for other in (plain, two):
        change = one.network.geometry.joints - other.network.geometry.joints
        assert np.abs(change).max() > 0, "the network does not look at the maps"


def test_a_network_sees_arrays_of_the_cues_that_may_be_there(reconstructor) -> None:
    assert reconstructor._shown == ("keypoints",)
    assert painted(reconstructor)._shown == ("keypoints",)
    halved = painted(reconstructor, unseen=("depth",))
    assert halved._shown == ("keypoints", "segmentation")
    assert halved.observer.shown(("depth",)) == ()


def test_fingertips_move_along_their_last_bone() -> None:
    points = np.ones((21, 3), np.float32)
    points[7, :2], points[8, :2] = (10.0, 20.0), (10.0, 10.0)
    moved = to_fingertips(points)
    np.testing.assert_allclose(moved[8], [10.0, 7.0, 1.0], rtol=1e-6)
    others = np.delete(np.arange(21), 8)
    np.testing.assert_array_equal(moved[others], points[others])


def test_boxes_ask_the_detector_only_inside(with_detector, image, keypoints) -> None:
    asked = []

    def detector(picture, boxes, sides):
        asked.append((np.asarray(boxes).tolist(), sides))
        return []

    reconstructor = with_detector(detector)
    one = reconstructor.detailed(image, boxes=[None, [150, 40, 300, 200]])
    assert asked == [([[150, 40, 300, 200]], [1])]
    np.testing.assert_array_equal(one.prediction.score, [0, 1])
    np.testing.assert_array_equal(one.prediction.box[1], [150, 40, 300, 200])
    assert one.prediction is one.network, "nothing to fit to"


@pytest.mark.slow
def test_all_people_of_a_picture(with_detector, image, keypoints, monkeypatch) -> None:
    """Three people, the third one with a left hand alone; each as if alone."""
    moved = [keypoints * [0.3, 0.3, 1] + [x, 20, 0] for x in (0, 200, 100)]
    pairs = [detections(points) for points in moved]
    sure = [
        [hand._replace(score=0.9 - 0.1 * at) for hand in pair]
        for at, pair in enumerate(pairs)
    ]
    hands = [*sure[0], *sure[1], sure[2][1]]
    reconstructor = with_detector(lambda picture: hands)
    monkeypatch.setattr(reconstructor, "_rows", 8)
    found = reconstructor.people(image, fit="off")
    present = [one.hands.present.tolist() for one in found]
    assert present == [[True, True], [True, True], [False, True]]
    for one, pair in zip(found, [*sure[:2], sure[2][1:]], strict=True):
        with_detector(lambda picture, pair=pair: pair)
        alone = reconstructor.detailed(image, fit="off")
        close = functools.partial(np.testing.assert_allclose, atol=1e-4)
        jax.tree.map(close, one.prediction, alone.prediction)
    with_detector(lambda picture: hands)
    (surest,) = reconstructor.people(image, fit="off", max_hands=2)
    np.testing.assert_allclose(surest.prediction.score, 0.9)
    with_detector(lambda picture: [])
    assert reconstructor.people(image) == []


def test_the_number_of_hands_must_be_one(reconstructor, image) -> None:
    for number in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="max_hands must be 1 or more"):
            reconstructor.people(image, max_hands=number)


def test_no_hands_is_a_result(with_detector, image) -> None:
    one = with_detector(lambda picture: []).detailed(image)
    np.testing.assert_array_equal(one.prediction.score, [0, 0])
    assert not one.hands.present.any()


def test_one_hand_leaves_the_other_absent(reconstructor, image, keypoints) -> None:
    prediction = reconstructor(image, keypoints=[keypoints[0].tolist(), None])
    np.testing.assert_array_equal(prediction.score, [1, 0])
    assert np.isfinite(np.asarray(prediction.geometry.vertices[0])).all()


def test_any_picture_size_uses_the_same_programs(reconstructor, keypoints) -> None:
    for shape in ((240, 320, 3), (1000, 700, 3), (241, 2000, 3)):
        prediction = reconstructor(np.zeros(shape, np.uint8), keypoints=keypoints)
        error = keypoint_error(prediction, keypoints)
        assert (error < 0.06).all()
    names = set(reconstructor.programs._futures) - {"network 4"}
    assert names == {"network", "fit"}


@pytest.mark.slow
def test_programs_kept_on_disk_give_the_same(
    checkpoint, tmp_path, image, keypoints, monkeypatch
) -> None:
    run = functools.partial(
        Reconstructor.load, checkpoint, cues="mediapipe", cache=tmp_path
    )
    first = run()(image, keypoints=keypoints)
    kept = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert kept == ["fit", "network", "shapes"]

    def trace(*_: object) -> None:
        raise AssertionError("the network was built again")

    monkeypatch.setattr("twohand_jax.models.apply.shapes", trace)
    monkeypatch.setattr("twohand_jax.inference.predict.predict", trace)
    second = run()(image, keypoints=keypoints)
    close = functools.partial(np.testing.assert_allclose, atol=1e-3)
    jax.tree.map(close, first, second)


@pytest.mark.slow
def test_damaged_cache_is_ignored(checkpoint, tmp_path, image, keypoints) -> None:
    first = Reconstructor.load(checkpoint, cues="mediapipe", cache=tmp_path)
    expected = first(image, keypoints=keypoints, fit="off")
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
    second = Reconstructor.load(checkpoint, cues="mediapipe", cache=tmp_path)
    found = second(image, keypoints=keypoints, fit="off")
    close = functools.partial(np.testing.assert_allclose, atol=1e-4)
    jax.tree.map(close, expected, found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": np.zeros((4, 4, 3))}, "uint8"),
        ({"image": np.zeros((4, 4), np.uint8)}, "shape"),
        ({"image": np.zeros((4, 0, 3), np.uint8)}, "shape"),
        ({"image": "photo.jpg"}, "uint8"),
        ({"fit": "maybe"}, "fit must be one of"),
        ({"focal": -3.0}, "positive"),
        ({"focal": [500.0, 0.0]}, "positive"),
        ({"focal": float("nan")}, "positive"),
        ({"center": [1.0, 2.0, 3.0]}, "principal point must be a finite number"),
        ({"center": [1.0, float("inf")]}, "principal point must be a finite number"),
        ({"camera": Camera([500.0] * 2, [1.0, 2.0, 3.0])}, "principal point must be"),
        ({"camera": 500.0}, "must be a Camera"),
        ({"camera": Camera([500.0] * 2, [0.0] * 2), "focal": 1.0}, "either a camera"),
        ({"keypoints": [np.zeros((20, 2)), None]}, "21 rows"),
    ],
)
def test_refusals(reconstructor, image, arguments, words) -> None:
    with pytest.raises(InputError, match=words):
        reconstructor.detailed(**{"image": image} | arguments)
