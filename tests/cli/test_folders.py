"""``twohand reconstruct`` in a person's folders: whose files they are, and resuming."""

import json
import os
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from PIL import Image

from tests.inference.people import people
from tests.inference.test_images import Webcam
from twohand_jax import mano
from twohand_jax.cli import main as cli
from twohand_jax.inference import given, known_camera, photos
from twohand_jax.inference.reconstruct import Reconstruction
from twohand_jax.viz import overlay


class Fake:
    """A reconstructor that sees the same two hands in every picture."""

    def __init__(self) -> None:
        self.model = mano.load()
        self.asked: list[tuple] = []
        self.one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], people(self.model))

    def people(
        self, photo, boxes, keypoints, fit, focal, refine, center, *, max_hands
    ) -> list[Reconstruction]:
        size = photo.image.shape[:2]
        hands = given.given_detections(boxes, keypoints, size=size)
        self.asked.append((photo.image.shape, focal))
        chosen = known_camera.choose(*size, focal=focal, center=center)
        one = self.one._replace(camera=chosen.camera)
        sources = (chosen.focal_from, chosen.center_from)
        return [Reconstruction(one, one, hands, {}, None, one, sources)]


@pytest.fixture(scope="module")
def model() -> Fake:
    return Fake()


@pytest.fixture(autouse=True)
def fake(model, monkeypatch) -> Fake:
    model.asked.clear()
    monkeypatch.setattr(photos.Reconstructor, "load", lambda *_, **__: model)
    # Drawn small, which is not what is tested here.
    monkeypatch.setattr(overlay, "MIN_SIDE", 16)
    monkeypatch.setattr(photos, "penetration", lambda *_: None)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("a", "b")):
        image = np.full((24, 32 + number, 3), 90, np.uint8)
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


def run(*words: object) -> int:
    return cli.main(["reconstruct", *map(str, words)])


def seen(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.json", "b_right.obj", "b_overlay.png"])
def test_a_person_s_files_are_named_and_stay(folder, name, capsys, fake) -> None:
    (folder / name).write_text("mine")
    before = seen(folder)
    assert run(folder / "a.png", folder / "b.png", "--out", folder) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{name} would be replaced" in line and "--overwrite" in line
    assert seen(folder) == before and not fake.asked
    assert run(folder / "a.png", folder / "b.png", "--out", folder, "--overwrite") == 0
    assert seen(folder)[name] != b"mine"


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_does_nothing(folder, capsys, fake) -> None:
    (folder / "notes.txt").write_text("mine")
    assert run(folder, "--out", folder) == 0
    told = capsys.readouterr().out
    assert f"Skipped, neither image nor video: {folder / 'notes.txt'}" in told
    before = seen(folder)
    assert len(before) == 3 + 2 * 5 + 1 and len(fake.asked) == 2
    assert run(folder, "--out", folder) == 0
    assert seen(folder) == before and len(fake.asked) == 2
    told = capsys.readouterr().out
    assert told.count("done before, unchanged") == 2 and "overlay" not in told


@pytest.mark.parametrize("change", ["picture", "settings", "lost", "again", "hints"])
@pytest.mark.slow
def test_what_changed_is_made_again(folder, tmp_path, change, fake) -> None:
    words: list[object] = [folder, "--out", tmp_path / "out"]
    assert run(*words) == 0
    fake.asked.clear()
    expected = [(24, 32, 3), (24, 33, 3)]
    if change == "picture":
        Image.new("RGB", (40, 24)).save(folder / "a.png")
        expected = [(24, 40, 3)]
    elif change == "settings":
        words += ["--focal", "50"]
    elif change == "lost":
        (tmp_path / "out" / "b.glb").unlink()
        expected = [(24, 33, 3)]
    elif change == "again":
        words += ["--again"]
    else:
        hints = tmp_path / "boxes.json"
        hints.write_text(json.dumps({"b": {"left": [1, 2, 20, 20]}}))
        words += ["--boxes", hints]
        expected = [(24, 33, 3)]
    assert run(*words) == 0
    assert [shape for shape, _ in fake.asked] == expected


@pytest.mark.slow
def test_pages_are_made_where_they_are_asked_for(folder, tmp_path, capsys) -> None:
    (folder / "a.html").write_text("mine")
    assert run(folder / "a.png", "--out", folder) == 0
    assert run(folder / "a.png", "--out", folder, "--html") == 2
    assert "a.html would be replaced" in capsys.readouterr().err
    assert (folder / "a.html").read_text() == "mine"
    out, page = tmp_path / "out", tmp_path / "page.html"
    assert run(folder / "b.png", "--out", out, "--html") == 0
    assert cli.main(["view", str(out / "b.json"), "--html", str(page)]) == 0
    assert page.read_text() == (out / "b.html").read_text()
    assert run(folder / "b.png", "--out", out) == 0
    assert not (out / "b.html").exists()


def test_entries_of_no_picture_end_the_run(folder, tmp_path, capsys, fake) -> None:
    hints = tmp_path / "boxes.json"
    hints.write_text(json.dumps({"a.png": {"left": [1, 2, 20, 20]}}))
    assert run(folder, "--out", tmp_path / "out", "--boxes", hints) == 2
    assert "'a.png' (is 'a' meant?)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not fake.asked


def test_folders_in_folders(folder, tmp_path, capsys) -> None:
    inner = folder / "day one"
    inner.mkdir()
    (folder / "a.png").rename(inner / "a.png")
    assert run(folder, "--out", tmp_path / "out") == 0
    assert "day one/" in capsys.readouterr().out
    assert run(folder, "--out", tmp_path / "out", "--recursive") == 0
    assert (tmp_path / "out" / "day one_a.json").exists()


def test_links_for_pictures_and_folders(folder, tmp_path) -> None:
    (folder / "a.png").rename(tmp_path / "elsewhere.png")
    (folder / "a.png").symlink_to(tmp_path / "elsewhere.png")
    links = [tmp_path / name for name in ("photos link", "out link")]
    for link, target in zip(links, (folder, tmp_path / "real"), strict=True):
        target.mkdir(exist_ok=True)
        link.symlink_to(target)
    before = os.umask(0o027)
    try:
        assert run(links[0], "--out", links[1]) == 0
    finally:
        os.umask(before)
    written = list((tmp_path / "real").iterdir())
    assert len(written) == 2 * 5 + 1
    assert {path.stat().st_mode & 0o777 for path in written} == {0o640}


def test_the_camera_that_was_used_is_said(folder, tmp_path) -> None:
    words = ["--focal", "500,510", "--center", "15,12.5"]
    assert run(folder / "a.png", "--out", tmp_path, *words) == 0
    assert json.loads((tmp_path / "a.json").read_text())["camera"] == {
        "focal": [500, 510],
        "center": [15, 12.5],
        "focal_from": "given",
        "center_from": "given",
    }


def test_a_webcam(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    assert run("--camera", "0", "--frames", "2", "--out", tmp_path) == 0
    first, second = sorted(tmp_path.glob("*.json"))
    assert json.loads(second.read_text())["image"]["frame"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["https://a.b/c.jpg"], "is a URL; download the file first"),
        (["missing.jpg"], "There is no file missing.jpg"),
        ([], "Give either photographs, videos and folders, or --camera"),
        (["--camera", "0", "a.png"], "Give either photographs"),
        (["a.png", "--focal", "wide"], "--focal must be F or FX,FY in pixels"),
        (["a.png", "--focal", "1,2,3"], "--focal must be F or FX,FY in pixels"),
        (["a.png", "--center", "3"], "--center must be X,Y in pixels"),
    ],
    ids=str,
)
def test_refusals(folder, tmp_path, words, message, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    assert run(*words, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()
