"""Runs that get longer, and runs that begin with the weights of others."""

import json

import jax
import numpy as np
import pytest

from tests.train import runs, toy
from twohand_jax import assets
from twohand_jax.cli import main as cli
from twohand_jax.data import decode
from twohand_jax.errors import InputError
from twohand_jax.experiments import base
from twohand_jax.models.apply import Variables
from twohand_jax.pipelines.fixtures.scenes import scenes
from twohand_jax.pipelines.own import fixture
from twohand_jax.weights import native

QUIET = {"train__evaluate_every": 0, "train__best_metric": ""}
PICTURES = 50


def weights(directory):
    with np.load(directory / "weights.npz") as archive:
        return dict(archive)


@pytest.mark.slow
def test_a_run_that_gets_longer_on_moved_data_ends_as_one_as_long_from_the_start(
    tmp_path,
):
    data = runs.pose_set(tmp_path / "poses")
    settings = QUIET | {"optim__schedule": "constant", "train__save_every": 2}

    def train(name, data, steps):
        words = runs.arguments(
            "prior", tmp_path / name, data, **settings, train__total_steps=steps
        )
        assert cli.main(words) == 0
        return weights(tmp_path / name / "model")

    expected = train("at_once", data, 4)
    train("later", data, 2)
    moved = data.rename(tmp_path / "elsewhere")
    found = train("later", moved, 4)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_weights_that_fit_are_taken_and_the_others_stay(tmp_path, capsys):
    given = toy.init(jax.random.key(1))
    native.save(tmp_path, given, {"experiment": "regressor"})
    fresh = toy.init(jax.random.key(2))
    wider = fresh.params | {"out": np.zeros((toy.WIDTH, 5), np.float32)}
    adopt = base.start_from(str(tmp_path))
    assert adopt is not None
    found = adopt(Variables(wider, fresh.batch_stats))
    np.testing.assert_array_equal(found.params["dense"], given.params["dense"])
    assert not found.params["out"].any()
    assert "Starting from 3 of 4 arrays" in capsys.readouterr().out
    assert base.start_from(None) is base.start_from("") is None


def test_a_model_of_which_nothing_fits_is_refused(tmp_path):
    native.save(tmp_path, toy.init(jax.random.key(1)), {"experiment": "regressor"})
    adopt = base.start_from(str(tmp_path))
    assert adopt is not None
    with pytest.raises(InputError, match="no weight that fits"):
        adopt(Variables({"x": np.zeros(3)}, {}))
    with pytest.raises(InputError, match="not a model directory"):
        native.load_fitting(tmp_path / "none", toy.init(jax.random.key(1)))


@pytest.fixture
def quick_to_compile():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def own_pictures(folder):
    """Fifty pictures with labels, all but ten of them to train on."""
    (folder / "images").mkdir(parents=True)
    pictures = []
    for number, scene in enumerate(scenes(PICTURES, seed=0)):
        name = f"images/{number:04d}.jpg"
        (folder / name).write_bytes(decode.encode_jpeg(scene.image))
        split = "test" if number % 5 == 0 else "train"
        pictures.append({"image": name, **fixture.entry(scene, 0), "split": split})
    content = {"hand_model": "open-hand-1", "pictures": pictures}
    (folder / "labels.json").write_text(json.dumps(content))


@pytest.mark.slow
def test_the_shipped_regressor_is_fine_tuned_on_own_pictures(
    tmp_path, quick_to_compile, capsys
):
    """As docs/training.md says, but shorter and with one cue, as the time counts."""
    own_pictures(tmp_path / "mine")
    labels, data = tmp_path / "mine" / "labels.json", tmp_path / "data"
    build = ["data", "build", "own", "--labels", str(labels), "--out", str(data)]
    assert cli.main([*build, "--workers", "0"]) == 0
    words = ["train", "--config", "open", "--workdir", str(tmp_path / "run")]
    for setting in (
        *(f"data.train={str(data)!r}", f"data.test={str(data)!r}"),
        *("init.model='shipped'", "train.evaluate_every=0", "train.batch_size=2"),
        *("train.total_steps=1", "optim.warmup_steps=0", "optim.ema_decay=0.0"),
        *("model.transnet=None", "model.cues=('keypoints',)"),
        "augment.cue_dropout={'keypoints': 0.4}",
    ):
        words += ["--set", setting]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "Starting from" in told
    shipped, tuned = weights(assets.REGRESSOR), weights(tmp_path / "run" / "model")
    both = {
        name
        for name in shipped.keys() & tuned.keys()
        if shipped[name].shape == tuned[name].shape
    }
    backbone = [name for name in tuned if name.startswith("params/image/stages")]
    assert backbone and not shipped.keys() & set(backbone)
    changed = {
        name
        for name in both
        if name.startswith("params/")
        and not np.array_equal(tuned[name], shipped[name].astype(np.float32))
    }
    assert changed
    distance = max(np.abs(tuned[n] - shipped[n]).max() for n in changed)
    assert distance < 0.1  # a small step from where it was, not from random weights
    from twohand_jax.weights import mediapipe

    stages = native._flat({"params": {"image": mediapipe.read().params["image"]}})
    for name in backbone:
        np.testing.assert_array_equal(tuned[name], stages[name], err_msg=name)
