import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data_pipelines import agreement
from twohand_jax import mano
from twohand_jax.data import decode
from twohand_jax.errors import InputError
from twohand_jax.mano.joint_set import HO3D
from twohand_jax.pipelines.fixtures.scenes import scenes
from twohand_jax.pipelines.ho3d import fixture
from twohand_jax.pipelines.ho3d.dataset import SIZE, Ho3d, read_meta
from twohand_jax.types import LEFT, RIGHT

META = Path("train") / "ABF10" / "meta" / "0000.pkl"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ho3d")
    fixture.write(root, count=2)
    return root


@pytest.fixture
def damaged(miniature, tmp_path) -> Path:
    return shutil.copytree(miniature, tmp_path / "copy")


def edit(file: Path, **values) -> None:
    content = pickle.loads(file.read_bytes(), encoding="latin1")
    file.write_bytes(fixture.python2_pickle(content | values))


def test_records_read_back_hold_together(miniature, tmp_path):
    records = agreement.written(Ho3d(miniature), tmp_path / "out")
    assert sorted(records) == [
        "evaluation/AP10/0000",
        "train/ABF10/0000",
        "train/MC1/0000",
    ]
    for name, example in records.items():
        split, sequence, frame = name.split("/")
        file = miniature / split / sequence / "rgb" / f"{frame}.jpg"
        assert example["image"] == file.read_bytes()
        assert agreement.reprojection_error(example) < 1e-3
        assert example["subset"] == sequence
        assert example["hand_type"] == "right"
        if split == "train":
            error = agreement.posed_error(mano.load(), example, HO3D)
            assert error < 1e-5


def test_parameters_and_joints_are_those_of_the_scene(miniature):
    """OpenGL's axes, the absolute pose and the joint order are all undone."""
    scene = scenes(3, size=SIZE, sides=(RIGHT,))[0]
    example = agreement.first(Ho3d(miniature), "train")
    np.testing.assert_allclose(
        example["hands/joints_3d"][RIGHT], fixture.joints(scene), atol=1e-6
    )
    for name, value in scene.params._asdict().items():
        np.testing.assert_allclose(
            example[f"mano/{name}"][RIGHT], value[RIGHT], atol=1e-5, err_msg=name
        )


def test_the_official_reader_reads_the_miniature(miniature):
    """The toolbox unpickles with latin1; OpenGL's axes point away from the scene."""
    meta = pickle.loads((miniature / META).read_bytes(), encoding="latin1")
    assert meta["handPose"].shape == (48,) and meta["objName"] == "003_cracker_box"
    assert (meta["handJoints3D"][:, 2] < 0).all()
    K, flipped = meta["camMat"], meta["handJoints3D"] * [1, -1, -1]
    px = flipped @ K.T
    example = agreement.first(Ho3d(miniature), "train")
    wrist = example["hands/joints_2d"][RIGHT, 0]
    np.testing.assert_allclose(px[0, :2] / px[0, 2], wrist, atol=1e-3)
    assert b"numpy.core.multiarray" in (miniature / META).read_bytes()


def test_of_the_evaluation_split_wrist_and_box_are_known(miniature):
    example = agreement.first(Ho3d(miniature), "test")
    assert example["hands/joints_3d_valid"].sum() == 1
    assert example["hands/joints_3d_valid"][RIGHT, 0]
    assert not example["mano/valid"].any()
    assert example["hands/valid"].tolist() == [True, False]
    low, high = example["hands/box"][RIGHT].reshape(2, 2)
    wrist = example["hands/joints_2d"][RIGHT, 0]
    assert (low < wrist).all() and (wrist < high).all()
    assert not example["hands/box"][LEFT].any()


def test_version_2_has_pngs_which_become_jpegs(tmp_path):
    fixture.write(tmp_path, count=1, release="v2")
    dataset = Ho3d(tmp_path)
    assert dataset.settings["release"] == "v2"
    stored = decode.decode_jpeg(agreement.first(dataset, "train")["image"])
    drawn = scenes(2, size=SIZE, sides=(RIGHT,))[0].image
    assert np.abs(stored.astype(float) - drawn).mean() < 1.0


def test_the_release_is_part_of_the_settings(miniature):
    assert Ho3d(miniature).settings["release"] == "v3"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"handPose": None}, "not annotated"),
        ({"handJoints3D": None, "handPose": None}, "not annotated"),
        ({"handPose": np.zeros(45)}, "annotation file"),
        ({"handJoints3D": np.zeros((20, 3))}, "annotation file"),
        ({"handTrans": "text"}, "annotation file"),
        ({"handBeta": np.full(10, np.nan)}, "NaN or infinite"),
        ({"handJoints3D": np.full((21, 3), np.nan)}, "NaN or infinite"),
        ({"camMat": np.full((3, 3), np.inf)}, "NaN or infinite"),
        ({"handJoints3D": np.full((21, 3), 0.5)}, "behind the camera"),
    ],
)
def test_a_bad_annotation_is_left_out_with_a_reason(damaged, values, reason):
    edit(damaged / META, **values)
    dataset = Ho3d(damaged)
    assert reason in agreement.rejection(dataset, "train")
    assert agreement.first(dataset, "train", 1)["mano/valid"].any()


def test_rows_columns_lists_and_numpy_numbers_are_read_alike(damaged):
    file = damaged / "evaluation" / "AP10" / "meta" / "0000.pkl"
    before = agreement.first(Ho3d(damaged), "test")
    meta = read_meta(file, "evaluation")
    edit(
        file,
        handJoints3D=meta["handJoints3D"][:, None],
        handBoundingBox=list(meta["handBoundingBox"]),
    )
    after = agreement.first(Ho3d(damaged), "test")
    for name in ("hands/joints_3d", "hands/box"):
        np.testing.assert_array_equal(before[name], after[name])


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_an_annotation_that_would_run_code_is_left_out(damaged, monkeypatch):
    monkeypatch.chdir(damaged)
    (damaged / META).write_bytes(pickle.dumps({"handPose": Evil()}, protocol=2))
    assert "annotation file" in agreement.rejection(Ho3d(damaged), "train")
    assert not (damaged / "ran").exists()
    with pytest.raises(InputError, match="no part of a HO-3D annotation"):
        read_meta(damaged / META, "train")


@pytest.mark.parametrize("data", [None, b"", b"no pickle", b"\x80\x02}"])
def test_a_missing_or_cut_annotation_is_left_out(damaged, data):
    file = damaged / META
    file.unlink() if data is None else file.write_bytes(data)
    assert "annotation file" in agreement.rejection(Ho3d(damaged), "train")


def test_a_picture_of_another_size_is_left_out(damaged):
    picture = damaged / "train" / "MC1" / "rgb" / "0000.jpg"
    picture.write_bytes(decode.encode_jpeg(np.zeros((48, 64, 3), np.uint8)))
    assert "size" in agreement.rejection(Ho3d(damaged), "train", 1)


def test_a_fit_that_does_not_meet_the_joints_does_not_count(damaged):
    edit(damaged / META, handPose=np.full(48, 0.7))
    assert not agreement.first(Ho3d(damaged), "train")["mano/valid"].any()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ABF10/0000\nABF10/0000\n", "lists ABF10/0000 2 times"),
        ("ABF10\n", "holds 'ABF10', expected lines"),
        ("../../etc\n", "holds '../../etc'"),
        ("../etc\n", "holds '../etc'"),
        ("", "holds 'nothing'"),
        ("SB10/0000\n", "0000 is missing as .jpg"),
        ("ABF10/0000\nSB10/0000\n", r"SB10/rgb is missing, but train.txt lists"),
    ],
)
def test_an_incomplete_source_is_refused(damaged, lines, message):
    (damaged / "train.txt").write_text(lines)
    with pytest.raises(InputError, match=message) as error:
        Ho3d(damaged).counts()
    assert "TU Graz" in str(error.value)


def test_a_split_that_is_not_there_is_left_out_and_an_empty_folder_refused(
    damaged, tmp_path
):
    (damaged / "evaluation.txt").unlink()
    assert Ho3d(damaged).counts() == {"train": 2}
    with pytest.raises(InputError, match="neither train.txt nor evaluation.txt"):
        Ho3d(tmp_path).counts()
