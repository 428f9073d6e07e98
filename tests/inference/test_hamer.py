"""HaMeR the whole way: as its own code goes, and through the commands."""

import json

import cv2
import jax
import numpy as np
import pytest

from tests.mano import fake_mano
from tests.multiprocess import launch
from tests.weights import tiny_hamer
from tests.weights.tiny_hamer import tiny, torch_network
from twohand_jax import experiments, mano
from twohand_jax.cli import main as cli
from twohand_jax.experiments import regressor
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.inference import predict
from twohand_jax.inference.detections import Detections
from twohand_jax.inference.result_file import load_result
from twohand_jax.mano import loading
from twohand_jax.models import apply
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.freihand import fixture
from twohand_jax.pipelines.freihand.dataset import FreiHand
from twohand_jax.pipelines.labelled import LabelledSource, ShardConfig
from twohand_jax.types import NO_CUES, NUM_JOINTS, Camera
from twohand_jax.weights import native

torch = pytest.importorskip("torch")
smplx = pytest.importorskip("smplx")

TIGHT = np.array([[100.3, 90.0, 150.1, 170.5], [200.2, 80.7, 330.0, 140.4]])
HEIGHT, WIDTH = 240, 420


@pytest.fixture(scope="module")
def hands(tmp_path_factory):
    """MANO's files, the left hand the mirror image of the right one, as HaMeR's is."""
    fields = fake_mano.corrected_fields(0)
    folder = tmp_path_factory.mktemp("mano")
    return fake_mano.write_plain(folder, fields, loading.mirrored(fields))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny_hamer.save(tmp_path_factory.mktemp("hamer"))


def picture():
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3))
    return cv2.GaussianBlur(noise.astype(np.uint8), (0, 0), 1.5)


def bilinear(image, x, y):
    """Colours between pixels, zero outside, a pixel at a time."""
    low, out = np.floor([x, y]).astype(int), np.zeros(3)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = low + [dx, dy]
            if 0 <= column < image.shape[1] and 0 <= row < image.shape[0]:
                share = (1 - abs(x - column)) * (1 - abs(y - row))
                out += share * image[row, column]
    return out


def original_way(image, tight, is_right, files, *, size):
    """Vertices in the picture's camera, and its focal length, as HaMeR's demo goes."""
    (x0, y0, x1, y1), width = tight, image.shape[1]
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    side = 2.0 * max((x1 - x0) * 4 / 3, y1 - y0)
    seen, at = image.astype(np.float64), middle.copy()
    if not is_right:
        seen, at[0] = seen[:, ::-1], width - middle[0] - 1
    crop = np.zeros((size, size, 3), np.float32)
    for row in range(size):
        for column in range(size):
            x, y = (np.array([column, row]) - size / 2) * side / size + at
            crop[row, column] = bilinear(seen, x, y) / 255
    with torch.no_grad():
        values = torch_network(tiny())(torch.tensor(np.moveaxis(crop, -1, 0)[None]))
        six = values[0, :96].reshape(16, 2, 3)
        first = torch.nn.functional.normalize(six[:, 0], dim=-1)
        second = six[:, 1] - (first * six[:, 1]).sum(-1, keepdim=True) * first
        second = torch.nn.functional.normalize(second, dim=-1)
        third = torch.linalg.cross(first, second)
        R = torch.stack([first, second, third], dim=-1)[None]
        layer = smplx.MANOLayer(str(files), is_rhand=True)
        posed = layer(
            global_orient=R[:, :1], hand_pose=R[:, 1:], betas=values[:, 96:106]
        ).vertices[0]
    scale, *shift = values[0, 106:].tolist()
    sign = 1 if is_right else -1
    focal = 5000 / 256 * max(image.shape[:2])
    extent, half = side * scale, np.array([width, image.shape[0]]) / 2
    place = 2 * (middle - half) / extent + [sign * shift[0], shift[1]]
    vertices = posed.numpy() * [sign, 1, 1]
    return vertices + [*place, 2 * focal / extent], focal


def view_of(crop, *, focal):
    """Our way's input: hand boxes are 1.2 times the tight ones."""
    middle, extent = (TIGHT[:, :2] + TIGHT[:, 2:]) / 2, TIGHT[:, 2:] - TIGHT[:, :2]
    box = np.concatenate([middle - 0.6 * extent, middle + 0.6 * extent], axis=1)
    found = Detections(
        boxes=box.astype(np.float32),
        keypoints=np.zeros((2, NUM_JOINTS, 3), np.float32),
        score=np.ones(2, np.float32),
    )
    middle = np.array([WIDTH / 2, HEIGHT / 2], np.float32)
    camera = Camera(focal=np.full(2, focal, np.float32), center=middle)
    config = crop.canvas()
    return predict.lay_out(picture(), found, NO_CUES, camera, names=(), config=config)


@pytest.mark.slow
def test_picture_to_vertices_is_as_in_its_own_code(directory, hands):
    trained, model = predict.load_network(directory), mano.load(hands)
    want, focal = [], 0.0
    for side in (0, 1):
        vertices, focal = original_way(
            picture(), TIGHT[side], side == 0, hands, size=trained.crop.crop_size
        )
        want.append(vertices)
    network = trained.make_apply()
    view = view_of(trained.crop, focal=focal)
    got = jax.jit(
        lambda variables, model, view: predict.predict(
            variables, model, view, apply=network, crop=trained.crop
        )
    )(trained.variables, model, view)
    vertices = np.asarray(got.geometry.vertices)
    middle = np.mean(want, axis=1, keepdims=True)
    np.testing.assert_allclose(
        vertices - vertices.mean(axis=1, keepdims=True), want - middle, atol=1e-4
    )
    np.testing.assert_allclose(vertices, want, rtol=1e-5, atol=1e-4)  # metres away
    apart = np.asarray(got.geometry.joints)[:, 0]
    np.testing.assert_allclose(got.rel_trans, apart[1] - apart[0], atol=1e-5)


@pytest.mark.slow
def test_photographs_are_reconstructed_with_it(
    tmp_path, photo, keypoints, directory, hands, capsys, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    right, left = keypoints.tolist()
    (tmp_path / "k.json").write_text(json.dumps({"right": right, "left": left}))
    words = ["reconstruct", photo, "--out", tmp_path / "out", "--checkpoint", directory]
    words += ["--keypoints", tmp_path / "k.json"]
    assert cli.main([*map(str, words)]) == 2
    told = capsys.readouterr().err
    assert "trained on the hand model 'mano'" in told and "mano.is.tue.mpg.de" in told
    assert not (tmp_path / "out").exists()
    words += ["--mano", hands]
    assert cli.main([*map(str, words)]) == 0
    result = load_result(tmp_path / "out" / "photo.json", mano.load(hands))
    assert result.prediction.score[0].all()
    points = np.asarray(result.prediction.geometry.joints)
    assert np.isfinite(points).all() and (points[..., 2] > 0).all()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """FreiHAND's evaluation split in miniature."""
    root = tmp_path_factory.mktemp("freihand")
    fixture.write(root / "source", count=2)
    source = LabelledSource(FreiHand(root / "source"), ShardConfig(splits=("test",)))
    writer.write(source, root / "records", workers=0, progress=False)
    return root / "records"


@pytest.mark.slow
def test_it_is_evaluated(tmp_path, directory, hands, records):
    words = ["evaluate", "--model", directory, "--dataset", records, "--mano", hands]
    words += ["--protocol", "freihand", "--no-plots", "--worst", 0, "--out", tmp_path]
    assert cli.main([*map(str, words)]) == 0
    rows = json.loads((tmp_path / "freihand.json").read_text())["rows"]
    assert list(rows) == ["image"]  # it looks at no cue
    assert np.isfinite([rows["image"][n] for n in ("PA-MPJPE", "PA-MPVPE")]).all()


@pytest.mark.slow
def test_it_can_be_trained_further(directory):
    """Terms of heat maps and of TransNet have no part in its loss; others have."""
    config = native.load_config(directory)
    config["train"] |= {"total_steps": 1, "batch_size": 2}
    experiment = experiments.parse_as(RegressorExperiment, config)
    made = regressor.network(experiment.model)
    loss = regressor.loss(made, regressor.loss_config(experiment))
    outline = regressor.outline(experiment)
    step = jax.eval_shape(
        jax.value_and_grad(loss, has_aux=True),
        *apply.shapes(made),
        outline.batch,
        outline.constants,
        jax.random.key(0),
    )
    ((_, (terms, _)), gradient) = step
    names = {"pose", "shape", "joint_3d", "mesh", "projection"}
    assert set(terms) == names
    assert set(gradient) == {"backbone", "head"}


@pytest.mark.slow
def test_four_devices_predict_what_one_does():
    process = launch.start(["-m", "tests.inference.hamer_devices"], devices=4)
    out, error = process.communicate(timeout=launch.SECONDS)
    assert process.returncode == 0, error
    assert "same hands of 8 pictures on 4 devices" in out
