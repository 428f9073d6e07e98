"""``twohand reconstruct`` and ``twohand`` as a person uses them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from tests.inference.conftest import detections
from twohand_jax.cli import main as cli
from twohand_jax.inference.images import read_image
from twohand_jax.inference.result_file import load_result


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


@pytest.mark.slow
def test_everybody_is_reconstructed_and_one_person_on_request(
    tmp_path, photo, keypoints, checkpoint, capsys, monkeypatch
) -> None:
    """Two people; then one, which takes the other's files away."""
    small = [keypoints * [0.3, 0.3, 1] + [x, 20, 0] for x in (0, 200)]
    hands = [*detections(small[0]), detections(small[1])[0]]
    monkeypatch.setattr(
        "twohand_jax.cues.mediapipe.MediaPipeHands.__call__", lambda *_: hands
    )
    out = tmp_path / "out"
    options = ["--out", str(out), "--checkpoint", str(checkpoint), "--fit", "off"]
    command = ["reconstruct", str(photo), "--cues", "mediapipe", *options]
    assert cli.main(command) == 0
    told = capsys.readouterr().out
    assert "2 people" in told and "person 2: right hand" in told
    first = {f"photo{e}" for e in (".json", "_right.obj", "_left.obj", ".glb")}
    first |= {"photo_overlay.png"}
    names = {p.name for p in out.glob("[!.]*")}
    assert names == first | {"photo_right_2.obj"}
    result = load_result(out / "photo.json")
    assert (result.prediction.score > 0).tolist() == [[True, True], [True, False]]
    scene = trimesh.load(out / "photo.glb")
    assert set(scene.geometry) == {"right_hand", "left_hand", "right_2_hand"}
    assert cli.main([*command, "--people", "one"]) == 0
    assert "right hand" in capsys.readouterr().out
    assert {p.name for p in out.glob("[!.]*")} == first
    assert len(load_result(out / "photo.json").persons.number) == 1


def test_no_hands_at_most_is_refused(tmp_path, photo, capsys) -> None:
    options = ["--out", str(tmp_path / "out"), "--max-hands", "0"]
    assert cli.main(["reconstruct", str(photo), *options]) == 2
    assert "max_hands must be 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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
