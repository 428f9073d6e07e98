"""``twohand cues`` as a person uses it: files, going on, and bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cues.extractors import Painter
from tests.inference.conftest import PRESENCE, detections
from twohand_jax.cli import main as cli
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.inference import observe

NAMES = {"_cues.json", "_segmentation.png", "_depth.png", "_cues.png"}


@pytest.fixture(autouse=True)
def painter(monkeypatch, keypoints) -> Painter:
    """In place of all networks: two hands in every picture that is not black."""
    painter = Painter(makes=("segmentation", "depth"))

    def find(_, image, boxes=None, sides=None):
        return detections(keypoints) if image.any() else []

    monkeypatch.setattr(MediaPipeHands, "__init__", lambda _: None)
    monkeypatch.setattr(MediaPipeHands, "__call__", find)
    monkeypatch.setattr(observe, "load_extractor", lambda _: painter)
    return painter


@pytest.fixture
def photos(tmp_path, image) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(image).save(folder / "a.png")
    Image.fromarray(image[:200]).save(folder / "b.png")
    Image.fromarray(image * 0).save(folder / "dark.png")
    return folder


def test_the_files_of_a_picture(tmp_path, photos, image, keypoints, capsys) -> None:
    out = tmp_path / "out"
    assert cli.main(["cues", str(photos), "--out", str(out)]) == 0
    assert {p.name for p in out.glob("a_*")} == {f"a{ending}" for ending in NAMES}
    content = json.loads((out / "a_cues.json").read_text())
    assert (content["height"], content["width"]) == image.shape[:2]
    assert content["image"] == str(photos / "a.png") and content["box_iou"] == 0
    for name, points in zip(("right", "left"), keypoints, strict=True):
        hand = content["hands"][name]
        assert len(hand["keypoints"]) == 21 and hand["score"] == PRESENCE
        np.testing.assert_allclose(hand["keypoints"][0][:2], points[0, :2], atol=0.01)
    sources = {kind: by["source"] for kind, by in content["cues"].items()}
    assert sources["segmentation"] == sources["depth"] == "painter"
    labels = np.asarray(Image.open(out / "a_segmentation.png"))
    depth = np.asarray(Image.open(out / "a_depth.png"))
    assert labels.dtype == np.uint8 and set(np.unique(labels)) == {0, 1, 2}
    assert depth.dtype == np.uint16 and ((depth > 0) == (labels > 0)).all()
    sheet = np.asarray(Image.open(out / "a_cues.png"))
    assert sheet.shape[1] > 3 * image.shape[1]
    told = capsys.readouterr().out
    assert "a.png: 2 of 2 hands, keypoints, segmentation, depth" in told
    assert "3 pictures" in told and "images/s" in told


def test_a_picture_without_hands_is_a_result(tmp_path, photos) -> None:
    out = tmp_path / "out"
    assert cli.main(["cues", str(photos / "dark.png"), "--out", str(out)]) == 0
    assert {p.name for p in out.glob("[!.]*")} == {"dark_cues.json", "dark_cues.png"}
    content = json.loads((out / "dark_cues.json").read_text())
    assert content["hands"] == {"right": None, "left": None} and not content["cues"]


def test_pictures_are_batched_by_size(tmp_path, photos, painter) -> None:
    Image.open(photos / "a.png").save(photos / "c.png")
    options = ["--out", str(tmp_path / "out"), "--batch", "4"]
    assert cli.main(["cues", str(photos), *options]) == 0
    assert sorted(map(len, painter.asked)) == [1, 2]


def test_finished_pictures_are_skipped(tmp_path, photos, painter, capsys) -> None:
    out = tmp_path / "out"
    command = ["cues", str(photos), "--out", str(out)]
    assert cli.main(command) == 0
    before = {p.name: p.read_bytes() for p in out.glob("[!.]*")}
    (out / "b_cues.json").unlink()  # as a killed run leaves it: the JSON comes last
    painter.asked.clear()
    capsys.readouterr()
    assert cli.main(command) == 0
    assert painter.asked == [[(200, 320, 3)]]
    assert "1 pictures" in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in out.glob("[!.]*")} == before


@pytest.mark.parametrize("change", ["again", "boxes", "model", "picture"])
def test_what_is_not_of_these_settings_is_made_anew(
    tmp_path, photos, painter, change, image
) -> None:
    out = tmp_path / "out"
    command = ["cues", str(photos / "a.png"), "--out", str(out)]
    assert cli.main(command) == 0
    painter.asked.clear()
    if change == "again":
        command.append("--again")
    elif change == "boxes":
        (tmp_path / "boxes.json").write_text('{"right": [5, 6, 70, 80]}')
        command += ["--boxes", str(tmp_path / "boxes.json")]
    elif change == "model":
        painter.version = "2"
    else:
        Image.fromarray(image[:100]).save(photos / "a.png")
    assert cli.main(command) == 0
    assert len(painter.asked) == 1


def test_a_file_that_was_changed_is_not_replaced(tmp_path, photos, capsys) -> None:
    out = tmp_path / "out"
    command = ["cues", str(photos / "a.png"), "--out", str(out)]
    assert cli.main(command) == 0
    (out / "a_cues.json").write_text("mine now")
    assert cli.main(command) == 2
    assert "a_cues.json would be replaced" in capsys.readouterr().err
    assert (out / "a_cues.json").read_text() == "mine now"
    assert cli.main([*command, "--overwrite"]) == 0
    assert json.loads((out / "a_cues.json").read_text())["hands"]


def test_bad_pictures_do_not_stop_the_good_ones(tmp_path, photos, capsys) -> None:
    (photos / "aa.jpg").write_text("words")
    (photos / "empty.jpg").touch()
    out = tmp_path / "out"
    assert cli.main(["cues", str(photos), "--out", str(out)]) == 2
    assert (out / "b_cues.json").exists() and not list(out.glob("aa*"))
    told = capsys.readouterr().err
    assert "aa.jpg is not an image" in told and "empty.jpg is empty" in told


def test_given_boxes_are_used_and_bad_ones_named(tmp_path, photos, capsys) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(
        json.dumps({"a": {"right": [5, 6, 70, 80]}, "b": {"left": [9, 9, 3, 3]}})
    )
    out = tmp_path / "out"
    options = ["--out", str(out), "--boxes", str(boxes)]
    assert cli.main(["cues", str(photos), *options]) == 2
    told = capsys.readouterr().err
    assert f"{photos / 'b.png'}: The left hand's box [9.0, 9.0, 3.0, 3.0] is" in told
    content = json.loads((out / "a_cues.json").read_text())
    assert content["hands"]["right"]["box"] == [5, 6, 70, 80]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cues", "sapiens"], "needs converted models"),
        (["--sapiens-depth", "d"], "needs --cues sapiens"),
        (["--detector", "none.onnx"], "no detector file none.onnx"),
        (["--boxes", "none.json"], "no file none.json"),
    ],
)
def test_jobs_that_cannot_work_write_nothing(
    tmp_path, photos, options, message, capsys
) -> None:
    out = tmp_path / "out"
    assert cli.main(["cues", str(photos), "--out", str(out), *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_is_no_detector_ends_the_run(tmp_path, photos, capsys) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_text("words")
    out = tmp_path / "out"
    options = ["--out", str(out), "--detector", str(wrong)]
    assert cli.main(["cues", str(photos), *options]) == 2
    assert "wrong.onnx cannot be loaded as an ONNX model" in capsys.readouterr().err
    assert not out.exists()
