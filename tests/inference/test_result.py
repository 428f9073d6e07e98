"""NAME.json and its companions: content, units, and all or nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.programs import forward
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.inference import predict, result
from twohand_jax.inference.photos import penetration
from twohand_jax.types import Camera, Prediction
from twohand_jax.viz.overlay import hand_meshes

KEYS = {"image", "camera", "model", "refined", "hands", "rel_trans", "penetration"}
HAND_KEYS = {"score", "box", "global_orient", "hand_pose", "betas", "transl"}
HAND_KEYS |= {"joints_cam", "joints_px"}


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture
def prediction(model) -> Prediction:
    params = mano.zeros()
    transl = np.array([[-0.2, 0, 0.6], [0.2, 0, 0.7]], np.float32)
    params = params._replace(transl=transl)
    geometry = forward(model, params)
    camera = Camera(focal=np.array([500.0, 500]), center=np.array([99.5, 49.5]))
    return predict.EMPTY._replace(
        mano=params,
        geometry=geometry,
        camera=camera,
        rel_trans=geometry.joints[1, 0] - geometry.joints[0, 0],
        score=np.array([0.9, 0.8], np.float32),
        box=np.array([[1, 2, 30, 40], [5, 6, 70, 80]], np.float32),
    )


def write(folder: Path, model, prediction: Prediction) -> list[Path]:
    content = result.to_json(prediction, image="a.jpg", model=model.name)
    present = np.asarray(prediction.score) > 0
    vertices = np.asarray(prediction.geometry.vertices)
    meshes = hand_meshes(model, vertices, present)
    picture = np.zeros((20, 30, 3), np.uint8)
    return result.write(folder, "a", content, prediction, model, meshes, picture)


def test_content(model, prediction) -> None:
    content = result.to_json(
        prediction,
        image="a.jpg",
        model=model.name,
        penetration={"max_depth_mm": 1.5, "volume_cm3": None},
    )
    assert set(content) == KEYS
    assert json.loads(json.dumps(content)) == content
    for side, name in enumerate(("right", "left")):
        hand = content["hands"][name]
        assert set(hand) == HAND_KEYS
        assert np.shape(hand["hand_pose"]) == (15, 3)
        joints, pixels = np.array(hand["joints_cam"]), np.array(hand["joints_px"])
        np.testing.assert_allclose(joints, prediction.geometry.joints[side], atol=1e-6)
        projected = joints[:, :2] / joints[:, 2:] * 500 + [99.5, 49.5]
        np.testing.assert_allclose(pixels, projected, atol=0.02)
    gap = np.array(content["hands"]["left"]["joints_cam"][0])
    gap = gap - content["hands"]["right"]["joints_cam"][0]
    np.testing.assert_allclose(content["rel_trans"], gap, atol=3e-6)
    assert content["penetration"]["max_depth_mm"] == 1.5


def test_json_poses_the_same_hands(model, prediction) -> None:
    content = result.to_json(prediction, image="a.jpg", model=model.name)
    hands = [content["hands"][name] for name in ("right", "left")]
    fields = {
        field: np.array([hand[field] for hand in hands], np.float32)
        for field in ("global_orient", "hand_pose", "betas", "transl")
    }
    geometry = forward(model, prediction.mano._replace(**fields))
    found = [hand["joints_cam"] for hand in hands]
    np.testing.assert_allclose(geometry.joints, found, atol=1e-5)


def test_absent_hands_are_null(model, prediction) -> None:
    one = prediction._replace(score=np.array([0.0, 1.0]))
    content = result.to_json(one, image="a.jpg", model=model.name)
    assert content["hands"]["right"] is None and content["rel_trans"] is None
    none = prediction._replace(score=np.zeros(2))
    content = result.to_json(none, image="a.jpg", model=model.name)
    assert content["hands"] == {"right": None, "left": None}


def test_files_of_both_hands(tmp_path, model, prediction) -> None:
    files = write(tmp_path, model, prediction)
    names = ["a.json", "a_right.obj", "a_left.obj", "a.glb", "a_overlay.png"]
    assert [path.name for path in files] == names
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


def test_stale_files_of_a_hand_that_is_gone_are_removed(
    tmp_path, model, prediction
) -> None:
    write(tmp_path, model, prediction)
    write(tmp_path, model, prediction._replace(score=np.zeros(2)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a_overlay.png"]


def test_a_failure_half_way_leaves_the_old_result(
    tmp_path, model, prediction, monkeypatch
) -> None:
    write(tmp_path, model, prediction)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("twohand_jax.viz.meshes.write_glb", fail)
    with pytest.raises(InputError, match="No space left"):
        write(tmp_path, model, prediction._replace(box=prediction.box + 1))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_unwritable_folder(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        result.prepare_folder(tmp_path / "file" / "out")


def test_penetration_of_hands_apart_and_through_each_other(model, prediction) -> None:
    apart = penetration(prediction, model)
    assert apart == {"max_depth_mm": 0.0, "volume_cm3": 0.0}
    vertices = np.array(prediction.geometry.vertices)
    vertices[1] += vertices[0].mean(0) - vertices[1].mean(0)
    through = prediction.geometry._replace(vertices=vertices)
    found = penetration(prediction._replace(geometry=through), model)
    assert 3 < found["max_depth_mm"] < 60
