"""Whatever happens to a run, only the steps since its last checkpoint are lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.train import restarts, runs, toy
from twohand_jax import experiments
from twohand_jax.cli import main as cli
from twohand_jax.errors import FailedError, InputError, NonFiniteLossError
from twohand_jax.evaluation import monitors
from twohand_jax.train import checkpoint, estimate, loop

ROOT = Path(__file__).parents[2]
STEPS, KILLS = 60, 8


def run_with_kills(workdir: Path, kills: int) -> dict[str, np.ndarray]:
    workdir.mkdir()
    words = [str(workdir), "--steps", str(STEPS), "--kills", str(kills)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.restarts", *words],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # A child that reaches the end before it is killed makes the test weaker.
    assert int(done.stdout.split()[-1]) >= kills - 1
    return restarts.last_state(workdir, STEPS)


@pytest.mark.slow
def test_kills_in_one_run_change_no_bit(tmp_path):
    expected = run_with_kills(tmp_path / "undisturbed", 0)
    found = run_with_kills(tmp_path / "killed", KILLS)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    starts = (tmp_path / "killed" / "starts.jsonl").read_text().splitlines()
    assert len({json.loads(line)["first_step"] for line in starts}) > 2


def test_old_checkpoints_go_and_the_newest_stay(tmp_path):
    toy.train(tmp_path, total_steps=5, save_every=1, keep_checkpoints=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["4", "5"]
    assert not (tmp_path / "discarded").exists()
    restarts.read_all(tmp_path)


def test_what_a_kill_left_of_an_old_checkpoint_goes_at_the_next_start(tmp_path):
    (tmp_path / "discarded" / "3").mkdir(parents=True)
    checkpoint.Checkpoints(tmp_path).close()
    assert not (tmp_path / "discarded").exists()


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    toy.train(tmp_path, total_steps=2)
    code = (
        "import resource; from pathlib import Path; from tests.train import toy\n"
        "from twohand_jax.errors import FailedError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"try: toy.train(Path({str(tmp_path)!r}), total_steps=4)\n"
        "except FailedError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    sentence = done.stdout.strip()
    assert "\n" not in sentence, sentence
    assert sentence.startswith("The checkpoint of step 4 cannot be written to")
    assert "those before it are complete" in sentence
    restarts.read_all(tmp_path)
    last = toy.train(tmp_path, total_steps=4)
    assert int(last.step) == 4
    assert toy.losses(tmp_path)[-2:] != toy.losses(tmp_path)[:2]


def test_a_writer_that_fails_is_one_sentence(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    last = toy.train(tmp_path, total_steps=2)
    saved = checkpoint.Checkpoints(tmp_path)
    monkeypatch.setattr(saved._checkpointer, "save_async", full)
    with pytest.raises(FailedError, match="step 3 cannot be written .*No space left"):
        saved.save(last._replace(step=last.step + 1))
    assert saved.latest() == 2
    saved.close()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    last = toy.train(tmp_path, total_steps=2)
    saved = checkpoint.Checkpoints(tmp_path)

    def wanted(leaf: jax.Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)

    shapes = jax.tree.map(wanted, last)
    out = last.params["out"]
    wide = jax.ShapeDtypeStruct((toy.WIDTH, 9), out.dtype, sharding=out.sharding)
    wider = shapes._replace(params=shapes.params | {"out": wide})
    renamed = shapes._replace(params={"other": shapes.params["out"]})
    for other in (wider, renamed):
        with pytest.raises(InputError, match="does not fit this config's network"):
            saved.load(other)
    saved.close()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_with_everything_to_see_it_again(tmp_path):
    expected = "Step 5: .*loss/total.* not finite; .*toy record 64"
    with pytest.raises(NonFiniteLossError, match=expected):
        toy.train(tmp_path, poisoned=4, log_every=3)
    folder = tmp_path / "failure-00000005"
    with np.load(folder / "process-0.npz") as file:
        np.testing.assert_array_equal(file[".x"], toy.rows(4, 4).x)
    report = json.loads((folder / "process-0.json").read_text())
    assert report["step"] == 5 and len(report["records"]) == toy.BATCH
    # The newest checkpoint is of the step before, so the batch is met at once.
    saved = checkpoint.Checkpoints(tmp_path)
    assert saved.latest() == 4
    saved.close()
    with pytest.raises(NonFiniteLossError, match="Step 5: "):
        toy.train(tmp_path, poisoned=4)
    healed = toy.train(tmp_path)
    undisturbed = toy.train(tmp_path.with_name("undisturbed"))
    for got, wanted in zip(
        jax.tree.leaves(healed), jax.tree.leaves(undisturbed), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def words(workdir: Path, *more: str) -> list[str]:
    config = str(ROOT / "configs" / "tiny.py")
    return ["train", "--config", config, "--workdir", str(workdir), *more]


def test_no_resume_refuses_a_workdir_with_checkpoints(tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    assert cli.main(words(tmp_path, "--no-resume")) == 2
    message = capsys.readouterr().err
    assert message.startswith("twohand train: ") and "--no-resume" in message


def test_a_run_without_workdir_is_refused(capsys):
    config = str(ROOT / "configs" / "tiny.py")
    assert cli.main(["train", "--config", config]) == 2
    assert "--workdir" in capsys.readouterr().err


def test_a_non_finite_loss_is_exit_code_1_without_traceback(
    tmp_path, capsys, monkeypatch
):
    def fail(*_: object, **__: object) -> None:
        raise NonFiniteLossError("Step 5: loss/total not finite.")

    nothing = experiments.Run(*(None,) * 4)
    monkeypatch.setattr(experiments, "run", lambda experiment: nothing)
    monkeypatch.setattr(monitors, "watched", lambda task, experiment: task)
    monkeypatch.setattr(loop, "train", fail)
    assert cli.main(words(tmp_path)) == 1
    message = capsys.readouterr().err
    assert message.strip() == "twohand train: Step 5: loss/total not finite."


@pytest.mark.slow
def test_a_dry_run_tells_what_a_run_needs_and_writes_nothing(tmp_path, capsys):
    small = runs.arguments("tiny", tmp_path / "unused", tmp_path, train__batch_size=2)
    assert cli.main([*small, "--dry-run"]) == 0
    told = capsys.readouterr().out
    for word in ("Parameters:", "GFLOP per img", "GiB", "Mesh: 1 data x 1 fsdp"):
        assert word in told
    for chip in estimate.CHIPS:
        assert f"  {chip} " in told
    assert not (tmp_path / "unused").exists()
