"""One's own labels: what each part gives, the documented example, hostile files."""

import copy
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data_pipelines import agreement
from twohand_jax import mano
from twohand_jax.cli import main
from twohand_jax.errors import InputError
from twohand_jax.mano.joint_set import POSED
from twohand_jax.pipelines.fixtures.scenes import scenes
from twohand_jax.pipelines.own import fixture, labels
from twohand_jax.pipelines.own.dataset import Own
from twohand_jax.types import LEFT, RIGHT

ROOT = Path(__file__).parents[3]
EXAMPLE = re.search(
    r"## Your own data.*?```json\n(.*?)```",
    (ROOT / "docs" / "data.md").read_text(),
    re.DOTALL,
)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("own")
    fixture.write(root, count=8)
    return root


@pytest.fixture
def changed(miniature, tmp_path):
    """The miniature with a change to its content, as a dataset."""
    root = shutil.copytree(miniature, tmp_path / "copy")
    content = json.loads((root / "labels.json").read_text())

    def made(change) -> Own:
        new = copy.deepcopy(content)
        text = change(new)
        text = text if isinstance(text, str) else json.dumps(new)
        (root / "labels.json").write_text(text)
        return Own(root / "labels.json")

    return made


def put(number: int, *keys: str, value):
    """A change of one value of a picture."""

    def change(content):
        entry = content["pictures"][number]
        for key in keys[:-1]:
            entry = entry[key]
        entry[keys[-1]] = value

    return change


def test_splits_are_those_that_the_pictures_name(miniature):
    assert Own(miniature / "labels.json").counts() == {"test": 6, "train": 2}


def test_records_read_back_hold_together(miniature, tmp_path):
    own = Own(miniature / "labels.json")
    records = agreement.written(own, tmp_path / "out")
    assert sorted(records) == [f"images/{number:04d}.jpg" for number in range(8)]
    for number, scene in enumerate(scenes(8)):
        example = records[f"images/{number:04d}.jpg"]
        file = miniature / "images" / f"{number:04d}.jpg"
        assert example["image"] == file.read_bytes()
        shown = [True, True] if number % 2 == 0 else [number % 4 == 1, number % 4 == 3]
        assert example["hands/valid"].tolist() == shown
        np.testing.assert_allclose(
            example["hands/joints_2d"][shown], scene.joints_px[shown], atol=1e-3
        )
        assert example["camera/valid"] == (number % 4 != 3)
        if number % 4 == 3:
            assert not example["hands/joints_3d_valid"].any()
            continue
        assert agreement.reprojection_error(example) < 1e-3
        np.testing.assert_allclose(
            example["hands/joints_3d"][shown], scene.joints[shown], atol=1e-5
        )
        if example["mano/valid"].any():
            error = agreement.posed_error(mano.load(), example, POSED)
            assert error < 1e-5


def test_a_given_box_stays_and_others_are_about_the_joints(miniature):
    scene = scenes(8)[3]
    points = scene.joints_px[LEFT]
    tight = np.concatenate([points.min(axis=0), points.max(axis=0)])
    own = Own(miniature / "labels.json")
    given = agreement.first(own, "train")["hands/box"][LEFT]
    np.testing.assert_allclose(given, tight, atol=1e-3)
    example = agreement.first(own, "test")
    for side in (RIGHT, LEFT):
        low, high = np.split(example["hands/box"][side], 2)
        extent = np.ptp(example["hands/joints_2d"][side], axis=0)
        np.testing.assert_allclose(high - low, 1.2 * extent, rtol=1e-5)


def test_an_absolute_pose_becomes_relative_to_the_mean(changed):
    mean = np.asarray(mano.load().pose_mean)

    def absolute(content):
        for side, name in enumerate(("right", "left")):
            fit = content["pictures"][0][name]["mano"]
            fit["hand_pose"] = (
                np.reshape(fit["hand_pose"], (15, 3)) + mean[side]
            ).tolist()
            fit["flat_hand_mean"] = True

    example = agreement.first(changed(absolute), "test")
    expected = scenes(8)[0].params.hand_pose
    np.testing.assert_allclose(example["mano/hand_pose"], expected, atol=1e-5)


def test_unknown_joints_are_null(changed):
    def forget(content):
        entry = content["pictures"][1]
        entry["joints_m"][8] = None
        entry["joints_m"][4][2] = None

    example = agreement.first(changed(forget), "test", 1)
    known = np.ones(21, bool)
    known[[4, 8]] = False
    assert example["hands/joints_3d_valid"][RIGHT].tolist() == known.tolist()
    assert example["hands/joints_2d_valid"][RIGHT].tolist() == known.tolist()


def test_without_a_camera_nothing_is_projected(changed):
    def forget(content):
        del content["pictures"][1]["focal"], content["pictures"][1]["center"]
        content["pictures"][1]["box"] = [10, 10, 50, 60]

    example = agreement.first(changed(forget), "test", 1)
    assert example["hands/joints_3d_valid"][RIGHT].all()
    assert not example["hands/joints_2d_valid"].any() and not example["camera/valid"]


def test_one_focal_length_and_absent_hands(changed):
    def change(content):
        content["pictures"][0]["focal"] = content["pictures"][0]["focal"][0]
        content["pictures"][0]["left"] = None

    example = agreement.first(changed(change), "test")
    assert example["hand_type"] == "right" and example["camera/valid"]
    assert agreement.reprojection_error(example) < 1e-3


def test_the_documented_example_is_built(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name in ("one", "two"):
        picture = np.full((480, 640, 3), 128, np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / f"{name}.jpg"), picture)
    assert EXAMPLE is not None
    (tmp_path / "labels.json").write_text(EXAMPLE[1])
    words = ["data", "build", "own", "--labels", str(tmp_path / "labels.json")]
    words += ["--out", str(tmp_path / "records"), "--workers", "0"]
    assert main.main(words) == 0
    assert "1 images in split test" in capsys.readouterr().out
    one, two = Own(tmp_path / "labels.json"), Own(tmp_path / "labels.json")
    first, second = agreement.first(one, "test"), agreement.first(two, "train")
    assert first["hand_type"] == "left" and first["hands/joints_3d_valid"][LEFT].all()
    assert second["hand_type"] == "interacting"
    assert second["hands/joints_2d_valid"].sum(axis=1).tolist() == [20, 0]


@pytest.mark.parametrize(
    ("number", "keys", "value", "reason"),
    [
        (1, ("joints_m",), [[0.0, 0.0, -0.5]] * 21, "behind the camera"),
        (0, ("center",), [0.0, 0.0], "do not project onto"),
        (0, ("right", "mano", "transl"), [0.3, 0.0, 0.6], "do not meet"),
        (1, ("image",), "images/none.jpg", "the picture is missing"),
        (1, ("image",), "labels.json", "the picture does not decode"),
    ],
)
def test_labels_that_contradict_each_other_are_left_out(
    changed, number, keys, value, reason
):
    own = changed(put(number, *keys, value=value))
    assert reason in agreement.rejection(own, "test", number)


def test_pixels_of_annotators_are_no_contradiction(changed):
    def blur(content):
        for side in ("right", "left"):
            points = content["pictures"][0][side]["joints_px"]
            moved = np.random.default_rng(0).normal(0, 2, (21, 2)) + points
            content["pictures"][0][side]["joints_px"] = moved.tolist()

    assert agreement.first(changed(blur), "test")["hands/valid"].all()


ROWS = [[0.0, 0.0, 0.6]] * 21


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: "", "not readable as JSON"),
        (lambda content: "[" * 100_000, "not readable as JSON"),
        (lambda content: "[]", "at least one picture"),
        (lambda content: "7", "must hold a list of pictures"),
        (lambda content: "[3]", "picture 0: it is a number, expected an object"),
        (lambda content: content["pictures"].append({}), r"picture 8, image: nothing"),
        (lambda content: content.update(x=1), "'x' means nothing here"),
        (put(1, "image", value="a\0b"), "path of a picture"),
        (put(1, "image", value="\ud800"), "not valid text"),
        (put(1, "image", value="a" * 5000), "5000 bytes, more than 4096"),
        (put(1, "image", value="images/0000.jpg"), "'images/0000.jpg' 2 times: .*'id'"),
        (put(1, "id", value=""), "picture 1 .*, id: it is empty"),
        (put(1, "id", value=3), "id: it is a number, expected a text"),
        (put(1, "split", value="../x"), "not a name of a split"),
        (put(1, "subset", value="s" * 65), "65 bytes, more than 64"),
        (put(1, "joint_m", value=ROWS), r"picture 1 \(images/0001.jpg\): 'joint_m'"),
        (put(1, "side", value="rechts"), "anatomical side, but is 'rechts'"),
        (put(1, "left", value={"joints_m": ROWS}), "the hand is given twice"),
        (put(1, "joints_m", value=ROWS[:20]), "20 entries, expected a list of 21 rows"),
        (put(1, "joints_m", value=[[1, 2]] * 21), r"joints_m\[0\]: 2 entries"),
        (put(1, "joints_m", value="abc"), "joints_m: it is a text"),
        (put(1, "joints_m", 4, 1, value=float("nan")), r"\[4\]\[1\]: nan is not a fin"),
        (put(1, "joints_m", 4, 1, value=True), "true or false, expected a number"),
        (put(1, "joints_m", 4, 1, value=10**400), "a huge number is beyond 20: metres"),
        (put(1, "joints_m", value=[[0, 0, 600]] * 21), "are these millimetres"),
        (put(1, "joints_m", value=None), "right hand: nothing is known of it"),
        (put(1, "joints_m", value=[None] * 21), "right hand: nothing is known of it"),
        (put(0, "right", value=[]), "right hand: it is a list, expected an object"),
        (put(0, "right", "pose", value=1), "right hand: 'pose' means nothing here"),
        (put(3, "box", value=[10, 10, 5, 20]), "left hand, box: .* is empty"),
        (put(3, "box", value=[1, 2, 3]), "3 entries, expected a list of 4 numbers"),
        (put(3, "focal", value=300), "'center' is missing"),
        (put(1, "focal", value=-3), "must be above 0"),
        (put(1, "focal", value=[1, 2, 3]), "focal: 3 entries"),
        (put(2, "right", "mano", "betas", value=[0] * 9), "mano, betas: 9 entries"),
        (put(2, "right", "mano", "betas", value=None), "'betas' is missing"),
        (put(2, "right", "mano", "pose", value=[]), "mano: 'pose' means nothing"),
        (put(2, "right", "mano", "flat_hand_mean", value=1), "expected true or false"),
        (put(2, "right", "mano", "hand_pose", value=[[0.0] * 2] * 15), "2 entries"),
        (lambda content: content.update(hand_model="MANO"), "'MANO', but the loaded"),
    ],
)
def test_another_form_is_refused_with_its_place(changed, change, message):
    with pytest.raises(InputError, match=message) as error:
        changed(change).counts()
    assert "labels.json" in str(error.value) and len(str(error.value)) < 600


def test_pictures_that_are_all_missing_are_refused(miniature, tmp_path):
    shutil.copy(miniature / "labels.json", tmp_path)
    with pytest.raises(InputError, match="None of the 8 pictures .* relative to"):
        Own(tmp_path / "labels.json").counts()
    with pytest.raises(InputError, match="none.json is missing"):
        Own(tmp_path / "none.json").counts()


def test_a_file_that_is_too_large_is_not_read(miniature, monkeypatch):
    monkeypatch.setattr(labels, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="more than 1,000: divide it"):
        labels.read(miniature / "labels.json")


@pytest.mark.parametrize("both", [False, True])
def test_the_command_wants_the_labels_once(miniature, tmp_path, capsys, both):
    words = ["data", "build", "own", "--out", str(tmp_path / "out")]
    if both:
        words += ["--labels", str(miniature / "labels.json")]
        words += ["--source", str(miniature)]
    assert main.main(words) == 2
    assert "with --labels FILE" in capsys.readouterr().err


def test_changed_labels_are_another_set(changed):
    first = changed(lambda content: None).settings
    second = changed(put(1, "subset", value="b")).settings
    assert first["labels"] != second["labels"]
