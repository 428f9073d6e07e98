"""Bad input: one clear sentence, exit code 2, nothing half-written."""

import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twohand_jax.cli import main as cli


@pytest.fixture
def fails(tmp_path: Path, capsys, checkpoint):
    """Run ``twohand reconstruct`` and check that it refuses cleanly."""

    def run(*arguments: object, model: Path = checkpoint) -> str:
        out = tmp_path / "out"
        options = ["--out", str(out), "--checkpoint", str(model)]
        code = cli.main(["reconstruct", *options, *map(str, arguments)])
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert code == 2
        assert message.startswith("twohand reconstruct: ")
        assert "Traceback" not in message
        left = [p for p in out.rglob("*")] if out.is_dir() else []
        assert left == [], "something was half-written"
        return message

    return run


def test_not_an_image(fails, tmp_path) -> None:
    (tmp_path / "a.jpg").write_text("words")
    assert "is not an image" in fails(tmp_path / "a.jpg")


def test_missing_file(fails, tmp_path) -> None:
    assert "There is no file" in fails(tmp_path / "a.jpg")


def test_empty_image(fails, tmp_path) -> None:
    (tmp_path / "a.jpg").touch()
    assert "is empty" in fails(tmp_path / "a.jpg")


def test_huge_image(fails, tmp_path) -> None:
    Image.new("1", (11_000, 11_000)).save(tmp_path / "a.png")
    assert "100 million pixels" in fails(tmp_path / "a.png")


def test_truncated_jpeg(fails, tmp_path, image) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue()[:3000])
    assert "damaged or incomplete" in fails(tmp_path / "a.jpg")


def test_folder_without_images(fails, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no images" in fails(tmp_path / "empty")


class _Hostile:
    def __reduce__(self):
        return print, ("this code ran",)


def test_hostile_pickle(fails, tmp_path, photo, capsys) -> None:
    folder = tmp_path / "mano"
    folder.mkdir()
    for side in ("RIGHT", "LEFT"):
        (folder / f"MANO_{side}.pkl").write_bytes(pickle.dumps(_Hostile()))
    assert "print" in fails(photo, "--mano", folder)


def test_one_side_of_mano(fails, tmp_path, photo) -> None:
    from tests.mano import fake_mano

    folder = tmp_path / "mano"
    folder.mkdir()
    fields = fake_mano.random_fields(0)
    fake_mano.write_plain(folder, fields, fields)
    (folder / "MANO_RIGHT.pkl").unlink()
    message = fails(photo, "--mano", folder)
    assert "MANO_RIGHT.pkl is missing" in message


def test_wrong_shapes_in_a_hand_model(fails, tmp_path, photo) -> None:
    np.savez(tmp_path / "hand.npz", v_template=np.zeros((5, 3)))
    message = fails(photo, "--mano", tmp_path / "hand.npz")
    assert "v_template" in message and "(778, 3)" in message


def test_no_hand_model(fails, tmp_path, photo) -> None:
    assert "No hand model" in fails(photo, "--mano", tmp_path / "nowhere")


def test_checkpoint_of_another_config(
    fails,
    tmp_path,
    photo,
    checkpoint,
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((checkpoint / "config.json").read_text())
    config["model"]["head_channels"] *= 2
    (other / "config.json").write_text(json.dumps(config))
    (other / "weights.npz").write_bytes((checkpoint / "weights.npz").read_bytes())
    assert "network expects" in fails(photo, model=other)


def test_no_checkpoint(fails, tmp_path, photo) -> None:
    assert "not a model directory" in fails(photo, model=tmp_path / "nowhere")


def test_unwritable_output(tmp_path, photo, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    out = str(tmp_path / "file" / "out")
    assert cli.main(["reconstruct", str(photo), "--out", out]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.slow
def test_bad_boxes_and_keypoints_files(fails, tmp_path, photo) -> None:
    path = tmp_path / "hints.json"
    path.write_text("{")
    assert "not readable as JSON" in fails(photo, "--boxes", path)
    path.write_text(json.dumps({"right": [0, 0, 0, 5]}))
    assert "is empty" in fails(photo, "--boxes", path)
    path.write_text(json.dumps({"left": [[1, 2]] * 3}))
    assert "21 rows" in fails(photo, "--keypoints", path)
    assert "no file" in fails(photo, "--keypoints", tmp_path / "none.json")


@pytest.mark.slow
def test_options_of_later_versions(fails, photo) -> None:
    assert "not a model directory" in fails(
        photo, "--refine", "always", "--prior", "no"
    )
    assert "sapiens" in fails(photo, "--cues", "sapiens")
    assert "positive" in fails(photo, "--focal", "-1")


@pytest.mark.slow
def test_interruption_exits_130(monkeypatch, photo, capsys) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("twohand_jax.inference.photos.outcomes", interrupt)
    assert cli.main(["reconstruct", str(photo), "--out", "unused"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_another_hand_model_than_the_networks(checkpoint, tmp_path, photo, capsys):
    from tests.mano import fake_mano

    folder = tmp_path / "mano"
    folder.mkdir()
    fake_mano.write_plain(folder, *(fake_mano.random_fields(seed) for seed in (0, 1)))
    words = ["--mano", str(folder), "--out", str(tmp_path / "out")]
    assert cli.main(["reconstruct", str(photo), *words]) == 2
    assert cli.main(["export", "--checkpoint", str(checkpoint), *words]) == 2
    told = capsys.readouterr().err
    assert told.count("trained on the hand model 'open-hand-1', but") == 2
    shutil.copytree(checkpoint, tmp_path / "other")
    content = json.loads((checkpoint / "config.json").read_text())
    content["data"]["hand"] = "mano"
    (tmp_path / "other" / "config.json").write_text(json.dumps(content))
    words = ["--checkpoint", str(tmp_path / "other"), *words[2:]]
    assert cli.main(["reconstruct", str(photo), *words]) == 2
    assert "hand model 'mano', but the one at hand is" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
