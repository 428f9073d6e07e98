"""One way to a prediction: photographs, records and exported programs agree."""

import functools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from jax import export as jax_export

from tests.data.records import Squares, example
from tests.inference import networks
from twohand_jax import experiments, mano
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.data import decode
from twohand_jax.evaluation import methods
from twohand_jax.experiments import data
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.geometry import boxes, cameras
from twohand_jax.inference import export, predict
from twohand_jax.inference.detections import Detections
from twohand_jax.inference.observe import CueConfig, Observer
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.labelled import Example
from twohand_jax.types import LEFT, NO_CUES, RIGHT, Batch, CanvasView, Cues, Prediction

HEIGHT, WIDTH = 1080, 1920
BOXES = np.array(
    [
        [[700, 300, 1100, 760], [1000, 350, 1400, 800]],  # run into each other
        [[150.5, 500, 270, 640], [1500, 380, 1640, 600.25]],
        [[1800, 940, 1930, 1090], [1600, 900, 1700, 1010]],  # at the edge
    ],
    np.float32,
)
CHANGES = {"model__cues": networks.ALL, "model__transnet": None}
close = functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5)


def record(number: int) -> dict:
    """A full HD picture with hands in the boxes and every cue."""
    rng = np.random.default_rng(number)
    rough = rng.integers(0, 256, (54, 96, 3), dtype=np.uint8)
    image = cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    points = np.ones((2, 21, 3), np.float32)
    for side, (x0, y0, x1, y1) in enumerate(BOXES[number]):
        labels[int(y0) : int(y1), int(x0) : int(x1)] = side + 1
        points[side, :, :2] = rng.uniform([x0, y0], [x1, y1], (21, 2))
    depth = np.broadcast_to(np.linspace(0, 1, WIDTH), labels.shape)
    camera = cameras.default(HEIGHT, WIDTH)
    return {
        **example(str(number), HEIGHT, WIDTH, rng),
        "image": decode.encode_jpeg(image),
        "camera/focal": np.asarray(camera.focal),
        "camera/center": np.asarray(camera.center),
        "hands/box": BOXES[number],
        "hands/joints_2d_valid": np.zeros((2, 21), bool),  # the box is the label's
        "cues/keypoints": points,
        **decode.encode_cue("segmentation", labels, labels > 0),
        **decode.encode_cue("depth", depth, labels > 0),
    }


class Pictures(Squares):
    """The pictures above as a record set."""

    def examples(self, split: str, shard: int) -> Iterator[Example]:
        return map(record, range(len(BOXES)))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pictures")
    source = Pictures(sizes=(("test", (len(BOXES),)),))
    writer.write(source, directory, workers=0, progress=False)
    return directory


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> predict.Trained:
    return networks.saved(tmp_path_factory.mktemp("small"), **CHANGES)


def read(records: Path, **changes: object) -> Batch:
    """The records as an evaluation reads them."""
    experiment = experiments.parse_as(
        RegressorExperiment, networks.config(**CHANGES | changes)
    )
    reader = data.reader(
        experiment, str(records), "test", shuffle=False, batch_size=len(BOXES)
    )
    (batch,) = reader.once()
    return batch


@pytest.fixture(scope="module")
def batch(records: Path) -> Batch:
    return read(records)


def photo(number: int) -> tuple[np.ndarray, Detections, Cues]:
    """What a reconstruction knows of the same picture."""
    one = record(number)
    depth = decode.values_from_levels(
        decode.decode_map(one["cues/depth"]),
        scale=float(one["cues/depth_scale"]),
        offset=float(one["cues/depth_offset"]),
    )
    cues = NO_CUES.put("keypoints", one["cues/keypoints"])
    labels = decode.decode_map(one["cues/segmentation"])
    cues = cues.put("segmentation", labels).put("depth", depth)
    hands = Detections(BOXES[number], one["cues/keypoints"], np.ones(2, np.float32))
    return decode.decode_jpeg(one["image"]), hands, cues


def laid_out(number: int, crop, *, names=networks.ALL) -> CanvasView:
    image, hands, cues = photo(number)
    camera = cameras.default(HEIGHT, WIDTH)
    return predict.lay_out(
        image, hands, cues, camera, names=names, config=crop.canvas()
    )


@pytest.fixture(scope="module")
def views(trained: predict.Trained) -> CanvasView:
    """All pictures as photographs, in one batch."""
    found = [laid_out(number, trained.crop) for number in range(len(BOXES))]
    return jax.tree.map(lambda *rows: np.stack(rows), *found)


@pytest.fixture(scope="module")
def estimated(trained: predict.Trained, batch: Batch) -> Prediction:
    """What an evaluation says."""
    network = experiments.network(experiments.parse(networks.config(**CHANGES)))
    estimate = methods.estimator(network, crop=trained.crop)
    found = estimate(trained.variables, batch, mano.load(), networks.ALL)
    return jax.device_get(found)


@pytest.fixture(scope="module")
def predicted(trained: predict.Trained, views: CanvasView) -> Prediction:
    ask = functools.partial(
        predict.predict, apply=trained.make_apply(), crop=trained.crop
    )
    return jax.device_get(jax.jit(ask)(trained.variables, mano.load(), views))


@pytest.fixture(scope="module")
def exported(
    trained: predict.Trained,
    views: CanvasView,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, np.ndarray]:
    """What the exported program says of the photographs with all cues."""
    path = tmp_path_factory.mktemp("export") / "hands.zip"
    export.write(path, trained, mano.load(), platforms=("cpu",))
    program = zipfile.ZipFile(path).read(export.PROGRAM)
    inputs = {
        "canvas": views.canvas,
        "T_canvas_image": views.T_canvas_image,
        "boxes": views.box,
        "score": views.score,
        "focal": views.camera.focal,
        "center": views.camera.center,
        **views.cues.values,
        **{f"has_{name}": flag for name, flag in views.cues.present.items()},
    }
    assert inputs.keys() == export.inputs(512, networks.ALL).keys()
    found = jax.jit(jax_export.deserialize(bytearray(program)).call)(inputs)
    return jax.device_get(found)


@pytest.fixture(scope="module")
def reconstructed(trained: predict.Trained) -> list[Prediction]:
    """What a reconstruction says of the photographs with given hands."""
    observer = Observer(CueConfig(source="mediapipe"), detector=lambda *_: [])
    ask = Reconstructor(trained, mano.load(), observer=observer)
    found = []
    for number in range(len(BOXES)):
        image, hands, _ = photo(number)
        found.append(
            ask(image, hands.boxes, hands.keypoints, fit="off", refine="never")
        )
    return found


@pytest.mark.parametrize("crop_size", [32, 128, 256])
@pytest.mark.slow
def test_a_photograph_lies_on_the_canvas_as_its_record_does(records, crop_size):
    """The same window and the same pixels, whatever part of the picture it takes."""
    changes = {
        f"{section}__{name}": value
        for section in ("model", "crop")
        for name, value in (("crop_size", crop_size), ("cells", crop_size // 8))
    }
    batch = read(records, **changes)
    crop = experiments.parse_as(
        RegressorExperiment, networks.config(**CHANGES | changes)
    ).crop
    for number in range(len(BOXES)):
        view = laid_out(number, crop)
        np.testing.assert_array_equal(view.T_canvas_image, batch.T_canvas_image[number])
        np.testing.assert_array_equal(view.canvas, batch.canvas[number])
        assert view.cues.values.keys() == batch.cues.values.keys()
        for name, value in view.cues.values.items():
            np.testing.assert_array_equal(value, batch.cues.values[name][number])
            assert view.cues.present[name] == batch.cues.present[name][number]
    assert len(np.unique(batch.T_canvas_image[:, 0, 0])) > 1


@pytest.mark.slow
def test_an_evaluation_says_what_is_predicted_of_the_photograph(estimated, predicted):
    jax.tree.map(close, estimated, predicted)


@pytest.mark.slow
def test_an_exported_program_says_what_is_predicted(exported, predicted):
    """With every cue that the network looks at, segmentation and depth among them."""
    expected = predicted.geometry._asdict() | predicted.mano._asdict()
    expected["rel_trans"] = predicted.rel_trans
    assert exported.keys() == expected.keys()
    for name, value in expected.items():
        close(exported[name], value, err_msg=name)


def test_the_network_looks_at_every_cue(trained, views, predicted):
    """So that the agreement above says something of each."""
    ask = functools.partial(
        predict.predict, apply=trained.make_apply(), crop=trained.crop
    )
    ask = jax.jit(ask)
    for name in networks.ALL:
        hidden = views.cues.present | {name: np.zeros(len(BOXES), bool)}
        view = views._replace(cues=views.cues._replace(present=hidden))
        found = ask(trained.variables, mano.load(), view)
        change = np.abs(found.mano.hand_pose - predicted.mano.hand_pose)
        assert change.max() > 1e-4, name


@pytest.mark.slow
def test_a_reconstruction_says_what_an_evaluation_with_its_cues_says(
    trained, batch, reconstructed
):
    network = experiments.network(experiments.parse(networks.config(**CHANGES)))
    estimate = methods.estimator(network, crop=trained.crop)
    found = estimate(trained.variables, batch, mano.load(), ("keypoints",))
    for number, one in enumerate(reconstructed):
        jax.tree.map(close, one, jax.tree.map(lambda x, n=number: x[n], found))


@pytest.mark.parametrize("way", ["evaluated", "predicted", "exported", "reconstructed"])
def test_without_transnet_places_give_the_relative_translation(
    way, estimated, predicted, exported, reconstructed
):
    """Of hands whose boxes overlap, too; they are not laid onto each other."""
    assert boxes.overlap(BOXES, np.ones((len(BOXES), 2), bool)).tolist() == [
        True,
        False,
        False,
    ]
    if way == "exported":
        joints, rel_trans = exported["joints"], exported["rel_trans"]
    else:
        made = {
            "evaluated": estimated,
            "predicted": predicted,
            "reconstructed": jax.tree.map(lambda *x: np.stack(x), *reconstructed),
        }[way]
        joints, rel_trans = made.geometry.joints, made.rel_trans
    wrists = joints[:, :, 0]
    np.testing.assert_allclose(
        rel_trans, wrists[:, LEFT] - wrists[:, RIGHT], atol=2e-6, rtol=1e-5
    )
    assert (np.linalg.norm(rel_trans, axis=-1) > 0.1).all()


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 2)], ids=str)
def test_any_leading_batch(trained, views, shape):
    one = jax.tree.map(lambda x: np.broadcast_to(x[0], (*shape, *x.shape[1:])), views)
    ask = functools.partial(
        predict.predict, apply=trained.make_apply(), crop=trained.crop
    )
    found = jax.eval_shape(ask, trained.variables, mano.load(), one)
    assert found.geometry.vertices.shape == (*shape, 2, 778, 3)
    assert found.rel_trans.shape == (*shape, 3)
    assert found.score.shape == (*shape, 2)


def test_cues_that_a_network_does_not_look_at_are_left_out(trained):
    view = laid_out(0, trained.crop, names=("depth",))
    assert tuple(view.cues.values) == tuple(view.cues.present) == ("depth",)
    assert view.cues.present["depth"] and view.cues.values["depth"].any()


def test_cues_that_are_not_there_are_zeros_with_cleared_flags(trained):
    image, hands, _ = photo(0)
    camera = cameras.default(HEIGHT, WIDTH)
    config = trained.crop.canvas()
    view = predict.lay_out(
        image, hands, NO_CUES, camera, names=trained.cues, config=config
    )
    shapes = {name: value.shape for name, value in view.cues.values.items()}
    assert shapes == {
        "keypoints": (2, 21, 3),
        "segmentation": (512, 512),
        "depth": (512, 512),
    }
    assert not any(value.any() for value in view.cues.values.values())
    assert not any(view.cues.present.values())


def test_turned_crops_are_cut_from_the_same_canvases(records):
    """Of records and photographs; they are larger than those of upright crops."""
    found = read(records, crop__fingers_up=True)
    crop = CropConfig(crop_size=32, fingers_up=True)
    for row, number in enumerate(found.record):
        image, hands, cues = photo(int(number))
        view = predict.lay_out(
            image,
            hands,
            cues,
            cameras.default(HEIGHT, WIDTH),
            names=(),
            config=crop.canvas(),
            fingers_up=True,
        )
        np.testing.assert_array_equal(view.canvas, found.canvas[row])
        np.testing.assert_array_equal(view.T_canvas_image, found.T_canvas_image[row])
        upright = laid_out(int(number), CropConfig(crop_size=32), names=())
        assert (view.T_canvas_image[0, 0] <= upright.T_canvas_image[0, 0]).all()
        assert view.angle.shape == (2,) and upright.angle is None
