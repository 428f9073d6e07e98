"""From a dataset in a bucket to meshes in a bucket, by commands on empty machines."""

import json
import os

import fsspec
import jax
import pytest

from tests.stores.emulators import content
from tests.train import runs
from twohand_jax import assets, paths
from twohand_jax.cli import main as cli
from twohand_jax.pipelines import datasets
from twohand_jax.train import store_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("scheme", ["s3"])]
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


def test_build_cues_inspect_train_evaluate_reconstruct(
    bucket, faults, tmp_path, monkeypatch, capsys, quick_to_compile
):
    monkeypatch.chdir(tmp_path)
    datasets.write_miniature("freihand", tmp_path / "source", count=4, seed=0)
    fs = fsspec.filesystem("s3")
    fs.put(str(tmp_path / "source"), f"{bucket}/", recursive=True)
    plain, data, run = f"{bucket}/plain", f"{bucket}/data", f"{bucket}/run"

    build = ["data", "build", "freihand", "--source", f"{bucket}/source"]
    faults.refuse = 3
    few = ["--workers", 0, "--shard-size", 2]
    assert twohand(*build, "--out", plain, *few) == 0
    written = content(plain)
    assert twohand(*build, "--out", plain, *few) == 0  # all is there
    assert {k: v for k, v in content(plain).items() if "tfrecord" in k} == {
        k: v for k, v in written.items() if "tfrecord" in k
    }
    assert twohand("data", "cues", plain, "--out", data, "--cues", "labels") == 0
    page = f"{bucket}/page.html"
    assert twohand("data", "inspect", data, "--check", "--out", page) == 0
    assert content(bucket)["page.html"].startswith(b"<!")

    train = runs.arguments("tiny", run, data, **QUICK, train__total_steps=3)
    train += ["--set", "train.save_every=1", "--set", "train.log_every=1"]
    finish = store_checkpoint.StoreCheckpoints._finish

    def killed(self, folder, step, count):
        if step == 2:
            raise KeyboardInterrupt
        finish(self, folder, step, count)

    with monkeypatch.context() as patch:
        patch.setattr(store_checkpoint.StoreCheckpoints, "_finish", killed)
        assert twohand(*train) == 130
    assert "checkpoints/1/COMPLETE.json" in content(run)
    assert "checkpoints/2/COMPLETE.json" not in content(run)
    faults.refuse = 2
    assert twohand(*train) == 0
    left = content(run)
    assert {"model/config.json", "model/weights.npz", "starts.jsonl"} <= set(left)
    starts = [json.loads(line) for line in left["starts.jsonl"].splitlines()]
    assert [one["first_step"] for one in starts][-1] == 1
    assert ".lease" not in left and not any(".partial-" in name for name in left)

    scored = ["--model", f"{run}/model", "--dataset", data, "--protocol", "freihand"]
    out = f"{bucket}/results"
    assert twohand("evaluate", *scored, "--out", out, "--no-plots", "--worst", 0) == 0
    assert any(name.startswith("samples/") for name in content(out))

    fs.put(str(assets.DEMO), f"{bucket}/demo.jpg")
    meshes = ["--checkpoint", f"{run}/model", "--out", f"{bucket}/meshes"]
    photo = [f"{bucket}/demo.jpg", "--refine", "never", "--fit", "off"]
    assert twohand("reconstruct", *photo, *meshes) == 0
    assert {"demo.json", "demo.glb"} <= set(content(f"{bucket}/meshes"))
    assert list(tmp_path.iterdir()) == [tmp_path / "source"]
    assert "twohand-mirror" not in capsys.readouterr().out
    assert paths.MIRROR not in os.environ
