"""Result files: they are as their schema says, and come back as the records."""

import copy
import json
from pathlib import Path

import jax
import jsonschema
import numpy as np
import pytest

import twohand_jax as th
from tests.inference.people import NAMES, people
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.inference import result_file
from twohand_jax.inference.result_file import PictureInfo
from twohand_jax.types import Prediction

SCHEMA = Path(th.__file__).parent / "assets" / "result.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
INFO = PictureInfo("a.jpg", 480, 640, camera_from=("exif", "middle"))
DEPTH = {"max_depth_mm": 1.5, "volume_cm3": None}


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def prediction(model) -> Prediction:
    return people(model)


@pytest.fixture
def content(model, prediction) -> dict:
    return result_file.to_json(
        prediction,
        INFO,
        model=model.name,
        refined=[True, False, False],
        penetration=[DEPTH, None, None],
    )


@pytest.mark.slow
def test_content(content, prediction) -> None:
    VALIDATOR.validate(content)
    assert json.loads(json.dumps(content)) == content
    both, right, left = content["people"]
    assert right["left"] is None and left["right"] is None
    assert right["rel_trans"] is None and both["penetration"] == DEPTH
    for side, name in enumerate(NAMES):
        joints, pixels = (
            np.array(both[name][key]) for key in ("joints_cam", "joints_px")
        )
        expected = prediction.geometry.joints[0, side]
        np.testing.assert_allclose(joints, expected, atol=1e-6)
        projected = joints[:, :2] / joints[:, 2:] * [500, 510] + [319.5, 239.5]
        np.testing.assert_allclose(pixels, projected, atol=0.02)
    gap = np.subtract(both["left"]["joints_cam"][0], both["right"]["joints_cam"][0])
    np.testing.assert_allclose(both["rel_trans"], gap, atol=3e-6)
    assert content["conventions"]["joints"][8] == "index_4"
    assert content["conventions"]["pose_joints"][6] == "pinky_1"


def test_hands_before_the_refinement_are_told_and_read(
    model, prediction, tmp_path
) -> None:
    other = prediction.mano._replace(transl=prediction.mano.transl + 0.01)
    before = [jax.tree.map(lambda leaf, at=at: leaf[at], other) for at in range(3)]
    content = result_file.to_json(
        prediction,
        INFO,
        model=model.name,
        refined=[True, False, False],
        before=before,
        penetration=[DEPTH, None, None],
    )
    VALIDATOR.validate(content)
    assert ["before_refinement" in person for person in content["people"]] == [1, 0, 0]
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = th.load_result(tmp_path / "a.json").persons.before
    for leaf, same in zip(found, other, strict=True):
        np.testing.assert_allclose(leaf[0], same[0], atol=1e-6)
        assert np.isnan(leaf[1:]).all()
    del content["people"][0]["before_refinement"]["left"]["betas"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="no field 'betas'"):
        th.load_result(tmp_path / "a.json")


@pytest.mark.slow
def test_a_picture_without_hands(model, prediction, tmp_path) -> None:
    nobody = prediction._replace(score=np.zeros((3, 2)))
    content = result_file.to_json(
        nobody, INFO, model=model.name, refined=[False] * 3, penetration=[None] * 3
    )
    VALIDATOR.validate(content)
    assert content["people"] == []
    (tmp_path / "a.json").write_text(json.dumps(content))
    loaded = th.load_result(tmp_path / "a.json")
    assert loaded.prediction.geometry.vertices.shape == (0, 2, 778, 3)
    assert loaded.pictures == (INFO,)


def test_what_is_read_is_what_was_written(content, prediction, tmp_path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    loaded = th.load_result(tmp_path / "a.json")
    there = prediction.score > 0
    assert loaded.pictures == (INFO,) and loaded.model == content["hand_model"]
    np.testing.assert_array_equal(loaded.persons.refined, [True, False, False])
    np.testing.assert_array_equal(loaded.persons.number, [0, 1, 2])
    np.testing.assert_array_equal(loaded.persons.max_depth_mm, [1.5, np.nan, np.nan])

    def same(found: np.ndarray, expected: np.ndarray) -> None:
        flags = there.reshape(there.shape + (1,) * (expected.ndim - 2))
        wanted = np.where(flags, expected, np.nan)
        np.testing.assert_allclose(found, wanted, atol=1e-5)

    jax.tree.map(same, loaded.prediction.mano, prediction.mano)
    jax.tree.map(same, loaded.prediction.geometry, prediction.geometry)
    np.testing.assert_allclose(loaded.prediction.score, prediction.score, atol=1e-4)
    np.testing.assert_allclose(loaded.prediction.camera.focal, [[500, 510]] * 3)


def test_frames_of_a_video(content, tmp_path) -> None:
    video = copy.deepcopy(content)
    people = video.pop("people")
    video["frames"] = [
        {"frame": 0, "time_s": 0.0, "people": people[:1]},
        {"frame": 2, "time_s": 0.08, "people": people[1:]},
    ]
    VALIDATOR.validate(video)
    (tmp_path / "clip.json").write_text(json.dumps(video))
    loaded = result_file.read(tmp_path / "clip.json")
    assert [info.frame for info in loaded.pictures] == [0, 2]
    np.testing.assert_array_equal(loaded.persons.picture, [0, 1, 1])
    np.testing.assert_array_equal(loaded.persons.number, [0, 0, 1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 2}, "schema version 2, but this version"),
        ({"format": "something"}, "not a result file"),
        ({"people": [{"right": None}]}, "damaged or was changed: no field 'left'"),
        ({"people": [3]}, "damaged or was changed"),
        ({"camera": {"focal": [1, 2, 3], "center": [0, 0]}}, "damaged"),
        ({"hand_model": "mano"}, "of the hand model 'mano', not 'open-hand-1'"),
    ],
    ids=str,
)
def test_refusals(content, change, words, tmp_path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=words) as error:
        th.load_result(tmp_path / "a.json")
    assert "a.json" in str(error.value) and "\n" not in str(error.value)


def test_numbers_of_a_wrong_shape_and_files_that_are_none(content, tmp_path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match="There is no result file"):
        th.load_result(path)
    path.write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        th.load_result(path)
    for value in ([[0.0] * 3] * 14, [[float("nan")] * 3] * 15):
        content["people"][0]["right"]["hand_pose"] = value
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="damaged"):
            th.load_result(path)
