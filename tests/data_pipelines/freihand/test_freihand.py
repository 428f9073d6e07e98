import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data_pipelines import agreement
from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.mano.joint_set import FREIHAND, POSED, JointSet
from twohand_jax.mano.joints import CANONICAL
from twohand_jax.pipelines import fits
from twohand_jax.pipelines.fixtures.scenes import scenes
from twohand_jax.pipelines.freihand import fixture
from twohand_jax.pipelines.freihand.dataset import (
    SIZE,
    FreiHand,
    FreiHandConfig,
)
from twohand_jax.types import LEFT, RIGHT


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("freihand")
    fixture.write(root, count=3)
    return root


@pytest.fixture
def damaged(miniature, tmp_path) -> Path:
    return shutil.copytree(miniature, tmp_path / "copy")


def edit(root: Path, name: str, change) -> None:
    content = json.loads((root / name).read_text())
    change(content)
    (root / name).write_text(json.dumps(content))


def test_every_version_of_every_sample_is_counted(miniature):
    assert FreiHand(miniature).counts() == {"train": 12, "test": 1}
    one = FreiHand(miniature, FreiHandConfig(versions=("hom",)))
    assert one.counts() == {"train": 3, "test": 1}
    assert agreement.first(one, "train", 1)["image_id"] == "training/00000004"


def test_records_read_back_hold_together(miniature, tmp_path):
    dataset = FreiHand(miniature)
    records = agreement.written(dataset, tmp_path / "out")
    assert len(records) == 13
    for name, example in records.items():
        split, number = name.split("/")
        file = miniature / split / "rgb" / f"{number}.jpg"
        assert example["image"] == file.read_bytes()
        assert agreement.reprojection_error(example) < 1e-3
        error = agreement.posed_error(mano.load(), example, FREIHAND)
        assert error < 1e-5
        assert example["hand_type"] == "right"
        assert example["hands/valid"].tolist() == [True, False]
    assert {example["subset"] for example in records.values()} == {
        "gs",
        "hom",
        "sample",
        "auto",
    }


def test_parameters_and_joints_are_those_of_the_scene(miniature):
    scene = scenes(4, size=SIZE, sides=(RIGHT,))[0]
    example = agreement.first(FreiHand(miniature), "train")
    np.testing.assert_allclose(
        example["hands/joints_3d"][RIGHT], fixture.joints(scene, mano.load()), atol=1e-6
    )
    for name, value in scene.params._asdict().items():
        np.testing.assert_allclose(
            example[f"mano/{name}"][RIGHT], value[RIGHT], atol=1e-5, err_msg=name
        )


def test_pixel_and_scale_place_the_root_where_the_joints_have_it(miniature):
    """The toolbox's ``recover_root``, which the reader does without."""
    vector = np.array(json.loads((miniature / "training_mano.json").read_text())[0][0])
    K = np.array(json.loads((miniature / "training_K.json").read_text())[0])
    focal = (K[0, 0] + K[1, 1]) / 2
    root = np.append(vector[58:60] - K[:2, 2], focal) / vector[60]
    example = agreement.first(FreiHand(miniature), "train")
    stored = example["hands/joints_3d"][RIGHT, CANONICAL.MIDDLE_BASE]
    np.testing.assert_allclose(stored, root, atol=1e-6)


def test_a_root_rotation_in_another_frame_is_laid_onto_the_joints(damaged):
    def turn(rows):
        rows[0][0][:3] = [0.1, 2.0, -0.3]

    edit(damaged, "training_mano.json", turn)
    example = agreement.first(FreiHand(damaged), "train")
    error = agreement.posed_error(mano.load(), example, FREIHAND)
    assert error < 1e-5


def test_a_fit_that_does_not_meet_the_joints_does_not_count(damaged):
    """As MANO's parameters do not with the open hand."""

    def bend(rows):
        rows[0][0][3:48] = (np.array(rows[0][0][3:48]) + 0.6).tolist()

    edit(damaged, "training_mano.json", bend)
    example = agreement.first(FreiHand(damaged), "train")
    assert not example["mano/valid"].any()
    assert not example["mano/hand_pose"].any()
    assert example["hands/joints_3d_valid"][RIGHT].all()


@pytest.fixture(scope="module")
def corrected(tmp_path_factory) -> Path:
    """A miniature of a hand in MANO's file format, whose pose corrects its surface."""
    root = tmp_path_factory.mktemp("corrected")
    hands = [fake_mano.corrected_fields(side) for side in (RIGHT, LEFT)]
    fake_mano.write_official(root, *hands)
    fixture.write(root / "freihand", count=1, model=mano.load(root))
    return root


def test_joints_that_are_regressed_from_the_mesh_do_not_lose_the_fit(corrected):
    """As the toolbox makes them; posed joints are elsewhere, and so was the reader."""
    dataset = FreiHand(corrected / "freihand", mano_path=corrected)
    example = agreement.first(dataset, "train")
    model = mano.load(corrected)
    assert example["mano/valid"][RIGHT]
    assert agreement.posed_error(model, example, FREIHAND) < 1e-5
    elsewhere = agreement.posed_error(model, example, JointSet("freihand", "kinematic"))
    assert elsewhere > 2 * dataset.config.max_fit_error


def clear(key):
    return lambda rows: rows.__setitem__(0, key)


NAN_JOINTS = [[0.0, 0.0, float("nan")]] * 21


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("mano", [[0.0] * 60], "61 numbers"),
        ("mano", None, "61 numbers"),
        ("mano", [[float("inf")] * 61], "NaN or infinite"),
        ("xyz", None, "joints are missing"),
        ("xyz", [[0.0] * 3] * 20, "joints are missing"),
        ("xyz", [["a"] * 3] * 21, "joints are missing"),
        ("xyz", NAN_JOINTS, "NaN or infinite"),
        ("xyz", [[0.0, 0.0, -0.5]] * 21, "behind the camera"),
        ("K", [[1.0, 0.0, 0.0]] * 2, "camera matrix"),
    ],
)
def test_a_bad_row_is_left_out_with_a_reason(damaged, part, value, reason):
    edit(damaged, f"training_{part}.json", clear(value))
    dataset = FreiHand(damaged)
    assert reason in agreement.rejection(dataset, "train")
    assert agreement.first(dataset, "train", 1)["mano/valid"].any()


@pytest.mark.parametrize("data", [None, b"no picture"])
def test_a_missing_or_broken_picture_is_left_out(damaged, data):
    picture = damaged / "training" / "rgb" / "00000001.jpg"
    picture.unlink() if data is None else picture.write_bytes(data)
    reason = agreement.rejection(FreiHand(damaged), "train", 1)
    assert reason == f"the picture {'does not decode' if data else 'is missing'}"


def test_files_of_different_lengths_are_refused(damaged):
    edit(damaged, "training_K.json", lambda rows: rows.pop())
    with pytest.raises(InputError, match=r"training_K.json 2, training_xyz.json 3"):
        FreiHand(damaged).counts()


def test_a_truncated_file_is_refused(damaged):
    file = damaged / "training_xyz.json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(InputError, match="training_xyz.json is not readable as JSON"):
        FreiHand(damaged).counts()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("training_mano.json", None, "training_mano.json is missing"),
        ("training_K.json", "{}", "holds a dict, expected a list"),
        ("training/rgb/00000000.jpg", None, "00000000.jpg is missing"),
        ("training/rgb/00000011.jpg", None, "--versions gs"),
    ],
)
def test_an_incomplete_source_is_refused(damaged, name, content, message):
    file = damaged / name
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        FreiHand(damaged).counts()
    assert "project page" in str(error.value)


def test_a_split_that_is_not_there_is_left_out_and_an_empty_folder_refused(
    damaged, tmp_path
):
    for file in damaged.glob("evaluation_*.json"):
        file.unlink()
    assert FreiHand(damaged).counts() == {"train": 12}
    with pytest.raises(InputError, match="neither training_xyz.json nor"):
        FreiHand(tmp_path).counts()
    with pytest.raises(InputError, match="no picture versions"):
        FreiHand(damaged, FreiHandConfig(versions=("blue",))).counts()


def test_laying_on_moves_no_hand_that_already_lies_there():
    model = mano.load()
    scene = scenes(1, size=(8, 8))[0]
    params, error = fits.laid_on(model, scene.params, scene.joints[RIGHT], POSED)
    assert error < 1e-6
    for new, old in zip(params, scene.params, strict=True):
        np.testing.assert_allclose(new[RIGHT], old[RIGHT], atol=2e-6)
