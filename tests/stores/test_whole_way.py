"""From a dataset in a bucket to meshes in a bucket, by commands on empty machines."""

import contextlib
import json
import os
import shutil
import signal

import jax
import pytest

from tests.stores.emulators import content, filesystem, half_visible, killed_at
from tests.train import runs
from twohand_jax import assets, paths
from twohand_jax.cli import main as cli
from twohand_jax.pipelines import datasets
from twohand_jax.train import store_checkpoint

pytestmark = pytest.mark.slow
QUICK = {"train__batch_size": 2, "train__evaluate_every": 0, "train__best_metric": ""}


@pytest.fixture
def quick_to_compile():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def twohand(*words: object) -> int:
    """A command on a machine whose disk is empty."""
    paths.forget()
    return cli.main([str(word) for word in words])


@contextlib.contextmanager
def cut(faults, name, times=1):
    """Answers to requests for this name break off; and some did."""
    faults.cut, faults.cut_in = times, name
    yield
    assert faults.cut == 0


def build_again(build, plain, source, alone):
    """All is there and stays; it is what an undisturbed build has, without a store."""
    written = shards_of(content(plain))
    assert twohand(*build) == 0
    assert shards_of(content(plain)) == written
    local = {build[build.index("--source") + 1]: source, plain: alone}
    assert twohand(*(local.get(word, word) for word in build)) == 0
    assert {name: (alone / name).read_bytes() for name in written} == written
    shutil.rmtree(alone)


def shards_of(found):
    return {name: value for name, value in found.items() if "tfrecord-" in name}


def interrupt(train, run, monkeypatch):
    """Train until the second step's parts are there, but not that it is complete."""
    finish = store_checkpoint.StoreCheckpoints._finish

    def interrupted(self, folder, step, count):
        if step == 2:
            raise KeyboardInterrupt
        finish(self, folder, step, count)

    with monkeypatch.context() as patch:
        patch.setattr(store_checkpoint.StoreCheckpoints, "_finish", interrupted)
        assert twohand(*train) == 130
    assert "checkpoints/1/COMPLETE.json" in content(run)
    assert "checkpoints/2/COMPLETE.json" not in content(run)


def test_build_cues_inspect_train_evaluate_reconstruct(
    bucket, scheme, faults, tmp_path, monkeypatch, capsys, quick_to_compile
):
    """With GCS each command runs once; ``test_checkpoints`` kills trainings there."""
    monkeypatch.chdir(tmp_path)
    datasets.write_miniature("freihand", tmp_path / "source", count=4, seed=0)
    fs = filesystem(bucket)
    fs.put(str(tmp_path / "source"), f"{bucket}/source", recursive=True)
    plain, data, run = f"{bucket}/plain", f"{bucket}/data", f"{bucket}/run"

    build = ["data", "build", "freihand", "--source", f"{bucket}/source"]
    build += ["--out", plain, "--workers", "0", "--shard-size", "2"]
    if scheme == "s3":
        words = ["-m", "twohand_jax.cli.main", *build]
        shard = "freihand-train.tfrecord-00003-of-00008"
        assert killed_at(words, shard) == -signal.SIGKILL
        assert "dataset_info.json" not in content(plain)
    faults.refuse = 3
    assert twohand(*build) == 0
    if scheme == "s3":
        build_again(build, plain, tmp_path / "source", tmp_path / "alone")
    cues = ["data", "cues", plain, "--out", data, "--cues", "labels"]
    with cut(faults, "tfrecord"):
        assert twohand(*cues) == 0
    if scheme == "s3":
        inspect = ["data", "inspect", data, "--check", "--out", f"{bucket}/page.html"]
        assert twohand(*inspect) == 0
        assert content(bucket)["page.html"].startswith(b"<!")

    train = runs.arguments("tiny", run, data, **QUICK, train__total_steps=3)
    train += ["--set", "train.save_every=1", "--set", "train.log_every=1"]
    if scheme == "s3":
        interrupt(train, run, monkeypatch)
        faults.cut, faults.cut_in = 1, "checkpoints/1/part"
    faults.refuse = 2
    assert twohand(*train) == 0
    left = content(run)
    assert faults.cut == 0 and half_visible(run) == []
    assert "damaged" not in capsys.readouterr().err
    assert {"model/config.json", "model/weights.npz", "starts.jsonl"} <= set(left)
    starts = [json.loads(line) for line in left["starts.jsonl"].splitlines()]
    assert [one["first_step"] for one in starts][-1] == (1 if scheme == "s3" else 0)
    assert ".lease" not in left and not any(".partial-" in name for name in left)

    scored = ["--model", f"{run}/model", "--dataset", data, "--protocol", "freihand"]
    out = f"{bucket}/results"
    evaluate = ["evaluate", *scored, "--out", out, "--no-plots", "--worst", 0]
    with cut(faults, "tfrecord"):
        assert twohand(*evaluate) == 0
    assert any(name.startswith("samples/") for name in content(out))

    fs.put(str(assets.DEMO), f"{bucket}/demo.jpg")
    meshes = ["--checkpoint", f"{run}/model", "--out", f"{bucket}/meshes"]
    photo = [f"{bucket}/demo.jpg", "--refine", "never", "--fit", "off"]
    with cut(faults, "model/weights.npz", 2):
        assert twohand("reconstruct", *photo, *meshes) == 0
    assert {"demo.json", "demo.glb"} <= set(content(f"{bucket}/meshes"))
    assert list(tmp_path.iterdir()) == [tmp_path / "source"]
    assert "twohand-mirror" not in capsys.readouterr().out
    assert paths.MIRROR not in os.environ
