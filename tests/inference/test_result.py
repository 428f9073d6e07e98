"""The files of a picture: which there are, and all or nothing."""

from pathlib import Path

import jax
import numpy as np
import pytest

from tests.programs import forward
from twohand_jax import mano
from twohand_jax.errors import FailedError, InputError
from twohand_jax.inference import predict, result, result_file
from twohand_jax.inference.output_folder import OutputFolder
from twohand_jax.inference.photos import penetration
from twohand_jax.types import Camera, Prediction


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
    people = jax.tree.map(lambda leaf: np.asarray(leaf)[None], prediction)
    info = result_file.PictureInfo("a.jpg", 20, 30)
    content = result_file.to_json(people, info, model=model.name)
    picture = np.zeros((20, 30, 3), np.uint8)
    output = OutputFolder(folder)
    names = [f"a{ending}" for ending in result.endings(1)]
    with output.writing("a", names, {}, kind="test") as beside:
        result.write(beside, "a", content, [prediction], model, picture)
    return output.written("a", kind="test")


def seen(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*")}


def test_files_of_both_hands(tmp_path, model, prediction) -> None:
    files = write(tmp_path, model, prediction)
    names = ["a.json", "a_right.obj", "a_left.obj", "a.glb", "a_overlay.png"]
    assert [path.name for path in files] == names
    assert set(seen(tmp_path)) == set(names)


def test_stale_files_of_a_hand_that_is_gone_are_removed(
    tmp_path, model, prediction
) -> None:
    write(tmp_path, model, prediction)
    write(tmp_path, model, prediction._replace(score=np.zeros(2)))
    assert set(seen(tmp_path)) == {"a.json", "a_overlay.png"}


def test_a_failure_half_way_leaves_the_old_result(
    tmp_path, model, prediction, monkeypatch
) -> None:
    write(tmp_path, model, prediction)
    before = seen(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("twohand_jax.viz.skinned_glb.glb", fail)
    with pytest.raises(FailedError, match="No space left"):
        write(tmp_path, model, prediction._replace(box=prediction.box + 1))
    assert seen(tmp_path) == before


def test_unwritable_folder(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        OutputFolder(tmp_path / "file" / "out").prepare()


def test_penetration_of_hands_apart_and_through_each_other(model, prediction) -> None:
    apart = penetration(prediction, model)
    assert apart == {"max_depth_mm": 0.0, "volume_cm3": 0.0}
    vertices = np.array(prediction.geometry.vertices)
    vertices[1] += vertices[0].mean(0) - vertices[1].mean(0)
    through = prediction.geometry._replace(vertices=vertices)
    found = penetration(prediction._replace(geometry=through), model)
    assert 3 < found["max_depth_mm"] < 60
