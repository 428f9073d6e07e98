"""What a power cut leaves of a run, model or set is said, or the one before used."""

import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.train import runs, toy
from twohand_jax.data import poses, shards
from twohand_jax.errors import InputError
from twohand_jax.evaluation.evaluator import Store
from twohand_jax.models.apply import Variables
from twohand_jax.train import checkpoint
from twohand_jax.weights import native


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of four steps with checkpoints of 2 and 4."""
    folder = tmp_path_factory.mktemp("trained")
    toy.train(folder, total_steps=4)
    return folder


def empty_folder(workdir: Path) -> None:
    (workdir / "checkpoints" / "999").mkdir()


def no_manifest(workdir: Path) -> None:
    (workdir / "checkpoints" / "4" / "state" / "manifest.ocdbt").write_bytes(b"")


def cut_weights(workdir: Path) -> None:
    folder = workdir / "checkpoints" / "4" / "state" / "d"
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


@pytest.mark.parametrize("damage", [empty_folder, no_manifest, cut_weights])
@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(
    trained, tmp_path, capfd, damage
):
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    damage(workdir)
    healed = toy.train(workdir, total_steps=6)
    told = capfd.readouterr().err
    step = 999 if damage is empty_folder else 4
    before = 4 if damage is empty_folder else 2
    assert f"Checkpoint {step} is damaged (" in told
    assert f"going on from step {before}" in told and "Traceback" not in told
    assert [p.name for p in (workdir / "damaged").iterdir()] == [str(step)]
    assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == ["4", "6"]
    undisturbed = toy.train(tmp_path / "undisturbed", total_steps=6)
    for got, wanted in zip(
        jax.tree.leaves(healed), jax.tree.leaves(undisturbed), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_a_run_without_a_whole_checkpoint_is_refused(trained, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    for step in (2, 4):
        shutil.rmtree(workdir / "checkpoints" / str(step) / "state")
    with pytest.raises(InputError, match=r"Checkpoint 4 .* damaged.* no other"):
        toy.train(workdir, total_steps=6)
    assert not (workdir / "damaged").exists()


@pytest.mark.parametrize("text", ["", '{"toy": ', "[1]", "[" * 100_000])
def test_a_damaged_config_or_score_is_said(trained, tmp_path, capfd, text):
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config.json .* delete that file and run"):
        toy.train(tmp_path / "run", total_steps=6)
    path = tmp_path / "best" / "score.json"
    path.parent.mkdir()
    path.write_text(text)
    best = checkpoint.Best(tmp_path, "error", {})
    assert f"{path} is damaged" in capfd.readouterr().err
    weights = Variables({"w": np.ones(3)}, {})
    assert best.offer(1, {"error": 5.0}, weights) == 5.0
    assert json.loads(path.read_text())["value"] == 5.0


DAMAGED_WEIGHTS = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "npy": lambda path: np.save(path.open("wb"), np.ones(3)),
    "texts": lambda path: np.savez(path, **{"params/w": np.array(["a"] * 3)}),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGED_WEIGHTS.values(), ids=DAMAGED_WEIGHTS)
def test_damaged_weights_are_one_sentence(tmp_path, damage):
    native.save(tmp_path, Variables({"w": np.ones(3)}, {}), {"experiment": "toy"})
    shapes = Variables({"w": jax.ShapeDtypeStruct((3,), np.float32)}, {})
    assert native.load(tmp_path, shapes).params["w"].tolist() == [1, 1, 1]
    damage(tmp_path / "weights.npz")
    with pytest.raises(InputError, match=r"weights\.npz") as error:
        native.load(tmp_path, shapes)
    assert "\n" not in str(error.value)


SPLIT = {"name": "train", "shardLengths": ["3"]}
WRONG_INFO = [
    "",
    "[]",
    "3",
    "{}",
    {"name": 7, "splits": [SPLIT]},
    {"name": "a", "splits": {"train": 3}},
    {"name": "a", "splits": [["train"]]},
    {"name": "a", "splits": [SPLIT | {"shardLengths": 3}]},
    {"name": "a", "splits": [SPLIT | {"shardLengths": ["x"]}]},
    {"name": "a", "splits": [SPLIT | {"shardLengths": ["-3"]}]},
    {"name": "a", "splits": [SPLIT | {"shardLengths": [str(1 << 62)]}]},
    {"name": "a", "splits": [SPLIT | {"shardLengths": None}]},
]


@pytest.mark.parametrize("content", WRONG_INFO)
def test_a_description_of_another_form_is_one_sentence(tmp_path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / shards.INFO).write_text(text)
    for read in (shards.open_split, poses.load):
        with pytest.raises(InputError, match=shards.INFO) as error:
            read(tmp_path, "train")
        assert "\n" not in str(error.value)


WRONG_POSES = [
    "",
    "[]",
    {"model": "a", "splits": 3, "settings": {}},
    {"model": "a", "splits": {"train": 3}, "settings": {}},
    {"model": "a", "splits": {"train": ["x"]}, "settings": {}},
    {"model": "a", "splits": {"train": [-1]}, "settings": {}},
    {"model": "a", "splits": {"train": [1]}},
    {"model": "a", "splits": {"train": [1]}, "settings": 5},
]


@pytest.mark.parametrize("content", WRONG_POSES)
def test_a_pose_set_of_another_form_is_one_sentence(tmp_path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / poses.INFO).write_text(text)
    with pytest.raises(InputError, match="poses.json") as error:
        poses.load(tmp_path, "train")
    assert "\n" not in str(error.value)


def test_damaged_poses_and_scores_are_made_again(tmp_path):
    folder = runs.pose_set(tmp_path / "poses")
    path = poses.shard_path(folder, "train", 0)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="train-00000.npz .*build it again"):
        poses.load(folder, "train")
    part = tmp_path / "run" / "parts" / "process-0-of-1" / "000000.npz"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"")
    assert Store(tmp_path / "run", {"model": "a"}).done == 0
