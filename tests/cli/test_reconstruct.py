"""``twohand reconstruct`` and ``twohand`` as a person uses them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twohand_jax.cli import main as cli
from twohand_jax.inference.images import read_image


@pytest.fixture
def hints_file(tmp_path: Path, keypoints: np.ndarray) -> Path:
    path = tmp_path / "keypoints.json"
    right, left = keypoints.tolist()
    path.write_text(json.dumps({"right": right, "left": left}))
    return path


def test_one_photo(tmp_path, photo, hints_file, checkpoint, capsys) -> None:
    out = tmp_path / "out"
    options = ["--checkpoint", str(checkpoint), "--keypoints", str(hints_file)]
    code = cli.main(
        ["reconstruct", str(photo), "--out", str(out), "--timing", *options]
    )
    assert code == 0
    names = {p.name for p in out.glob("[!.]*")}
    endings = (".json", "_right.obj", "_left.obj", ".glb", "_overlay.png")
    assert names == {f"photo{ending}" for ending in endings}
    told = capsys.readouterr().out
    assert all(str(out / name) in told for name in names)
    assert "right hand" in told and "total" in told and "network" in told
    content = json.loads((out / "photo.json").read_text())
    assert content["image"]["file"] == str(photo)
    (person,) = content["people"]
    assert person["right"] and person["left"] and person["refined"] is False
    picture = read_image(out / "photo_overlay.png")
    assert picture.shape[1] > 320 and picture.shape[0] > 240


def test_photo_without_hands_is_a_result(
    tmp_path,
    photo,
    checkpoint,
    capsys,
    monkeypatch,
) -> None:
    monkeypatch.setattr(
        "twohand_jax.cues.mediapipe.MediaPipeHands.__call__", lambda *_: []
    )
    out = tmp_path / "out"
    options = ["--out", str(out), "--checkpoint", str(checkpoint)]
    assert cli.main(["reconstruct", str(photo), *options]) == 0
    assert "no hands found" in capsys.readouterr().out
    content = json.loads((out / "photo.json").read_text())
    assert content["people"] == []
    names = {p.name for p in out.glob("[!.]*")}
    assert names == {"photo.json", "photo_overlay.png"}


def test_bad_pictures_do_not_stop_the_good_ones(
    tmp_path,
    image,
    hints_file,
    checkpoint,
    capsys,
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(image).save(folder / "b.png")
    (folder / "a.jpg").write_text("words")
    (folder / "c.jpg").touch()
    out = tmp_path / "out"
    options = ["--checkpoint", str(checkpoint), "--keypoints", str(hints_file)]
    code = cli.main(["reconstruct", str(folder), "--out", str(out), *options])
    assert code == 2
    assert (out / "b.json").exists() and not list(out.glob("a*"))
    told = capsys.readouterr().err
    assert "a.jpg is not an image" in told and "c.jpg is empty" in told


def test_version_and_help(capsys) -> None:
    for arguments in (["--version"], ["--help"], ["reconstruct", "--help"]):
        with pytest.raises(SystemExit) as exit_:
            cli.main(arguments)
        assert exit_.value.code == 0
    told = capsys.readouterr().out
    assert "twohand_jax 0" in told and "--keypoints FILE" in told


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from twohand_jax.cli import main; main.parser();"
        "print([m for m in ('jax', 'flax', 'tensorflow', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
