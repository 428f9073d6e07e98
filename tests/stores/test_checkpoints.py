"""Checkpoints in a store: whole or not there, on any devices, and the same bits."""

import signal
import threading
import time

import jax
import numpy as np
import pytest

from tests.stores.emulators import (
    content,
    filesystem,
    half_visible,
    killed_at,
    put,
)
from tests.train import toy
from twohand_jax import paths
from twohand_jax.errors import FailedError, InputError, UnreadableError
from twohand_jax.train import sharding, state, store_checkpoint
from twohand_jax.train.store_checkpoint import StoreCheckpoints

STEPS = 3


def leaves(tree):
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


@pytest.fixture
def run(bucket):
    """The toy, trained to a step in the bucket; then the disk is empty."""

    def train(steps, **settings):
        final = toy.train(paths.local(bucket), total_steps=steps, **settings)
        held = leaves(final)
        paths.flush()
        paths.forget()
        return held

    return train


def abstract():
    mesh = sharding.make_mesh()
    shapes = jax.eval_shape(
        lambda: state.create(toy.task().network, toy_optimizer(), jax.random.key(0))
    )
    places = sharding.state(mesh, shapes)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        shapes,
        places,
    )


def toy_optimizer():
    from twohand_jax.train import optim

    return optim.optimizer(toy.OPTIM)


CHILD = """
import sys
from tests.train import toy
from twohand_jax import locks, paths
with paths.session():
    place = paths.local(sys.argv[1])
    with locks.held(place, "twohand train"):
        toy.train(place, total_steps=6, save_every=1)
"""


def killed(url, end):
    """Names of checkpoints that a training leaves which dies as it sends a request."""
    assert killed_at(["-c", CHILD, url], end) == -signal.SIGKILL
    assert half_visible(url) == []
    return {name for name in content(url) if name.startswith("checkpoints")}


@pytest.mark.slow
def test_kill_9_in_uploads_and_the_run_goes_on_elsewhere_with_the_same_bits(
    run, bucket, scheme, tmp_path
):
    alone = leaves(toy.train(tmp_path, total_steps=2 * STEPS))
    part, end = "part-00000-of-00001.npz", "COMPLETE.json"
    # While a part goes up, and between it and the word that the step is complete.
    left = killed(bucket, f"checkpoints/2/{part}")
    assert f"checkpoints/1/{end}" in left and f"checkpoints/2/{end}" not in left
    if scheme == "s3":
        left = killed(bucket, f"checkpoints/4/{end}")
        assert {f"checkpoints/3/{end}", f"checkpoints/4/{part}"} <= left
    again = run(2 * STEPS, save_every=1)
    for name, value in alone.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    left = content(bucket)
    assert {name for name in left if name.startswith("checkpoints")} == {
        f"checkpoints/{step}/{file}"
        for step in (2 * STEPS - 1, 2 * STEPS)
        for file in (end, part)
    }
    lines = left["metrics.jsonl"].decode().splitlines()
    assert [f'"step": {n + 1},' in line for n, line in enumerate(lines)] == [True] * 6


@pytest.mark.parametrize("scheme", ["s3"])
@pytest.mark.parametrize("damage", ["cut", "missing", "other"])
def test_a_damaged_step_is_set_aside_and_the_one_before_is_read(
    run, bucket, damage, capsys
):
    run(2, save_every=1)
    part = f"{bucket}/checkpoints/2/part-00000-of-00001.npz"
    if damage == "cut":
        fs = filesystem(part)
        fs.pipe_file(part, fs.cat(part)[:900])
    elif damage == "missing":
        filesystem(part).rm_file(part)
    else:
        put(bucket, "checkpoints/2/COMPLETE.json", b'{"parts": {"../../x.npz": 1}}')
    checkpoints = StoreCheckpoints(paths.local(bucket))
    assert int(checkpoints.load(abstract()).step) == 1
    assert "Checkpoint 2 is damaged" in capsys.readouterr().err
    left = content(bucket)
    assert "checkpoints/2/DAMAGED.json" in left
    assert "checkpoints/2/COMPLETE.json" not in left
    assert StoreCheckpoints(paths.local(bucket)).latest() == 1


@pytest.mark.parametrize("scheme", ["s3"])
def test_a_step_that_cannot_be_read_now_is_not_a_damaged_one(
    run, bucket, faults, monkeypatch
):
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    run(2, save_every=1)
    checkpoints = StoreCheckpoints(paths.local(bucket))
    faults.cut, faults.cut_in = 10**6, "part-"
    with pytest.raises(UnreadableError, match="checkpoints/2/part-.* cannot be read"):
        checkpoints.load(abstract())
    faults.clear()
    assert {"checkpoints/2/COMPLETE.json"} == {
        n for n in content(bucket) if "/2/C" in n
    }
    faults.cut, faults.cut_in = 2, "part-"
    assert int(checkpoints.load(abstract()).step) == 2
    assert faults.cut == 0


@pytest.mark.parametrize("scheme", ["s3"])
def test_another_network_is_refused_in_a_sentence(run, bucket):
    run(1)
    wrong = abstract()
    dense = wrong.params["dense"]
    wrong.params["dense"] = jax.ShapeDtypeStruct(
        (dense.shape[0] + 1, dense.shape[1]), dense.dtype, sharding=dense.sharding
    )
    with pytest.raises(InputError, match="does not fit this config's network"):
        StoreCheckpoints(paths.local(bucket)).load(wrong)


@pytest.mark.parametrize("scheme", ["s3"])
def test_types_that_numpy_lacks_come_back(bucket):
    tree = abstract()
    narrow = jax.tree.map(lambda leaf: jax.numpy.ones(leaf.shape, leaf.dtype), tree)
    half = jax.numpy.arange(6, dtype=jax.numpy.bfloat16).reshape(2, 3)
    held = narrow._replace(batch_stats={"half": half}, step=jax.numpy.int32(4))
    shape = jax.ShapeDtypeStruct((2, 3), half.dtype, sharding=tree.step.sharding)
    wanted = tree._replace(batch_stats={"half": shape})
    StoreCheckpoints(paths.local(bucket)).save(held)
    paths.forget()
    found = StoreCheckpoints(paths.local(bucket)).load(wanted)
    assert found.batch_stats["half"].dtype == half.dtype
    np.testing.assert_array_equal(found.batch_stats["half"], half)


@pytest.mark.parametrize("scheme", ["s3"])
def test_uploads_go_on_while_the_training_does(bucket, faults):
    checkpoints = StoreCheckpoints(paths.local(bucket), background=True)
    tree = abstract()
    made = jax.tree.map(lambda leaf: jax.numpy.ones(leaf.shape, leaf.dtype), tree)
    faults.delay_s = 0.2
    start = time.monotonic()
    checkpoints.save(made)
    waited = time.monotonic() - start
    jax.tree.map(lambda leaf: leaf.delete(), made)  # as a donated one is
    checkpoints.settle()
    assert waited < 0.5 * (time.monotonic() - start)
    faults.delay_s = 0.0
    found = checkpoints.load(abstract())
    assert (np.asarray(found.params["dense"]) == 1).all()
    checkpoints.close()


@pytest.mark.parametrize("scheme", ["s3"])
def test_a_step_is_not_complete_before_all_processes_have_written_their_parts(
    bucket, monkeypatch
):
    place = paths.local(bucket)
    monkeypatch.setattr(store_checkpoint, "PATIENCE_S", 0.3)
    monkeypatch.setattr(store_checkpoint, "POLL_S", 0.05)
    checkpoints = StoreCheckpoints(place)
    put(bucket, "checkpoints/5/part-00000-of-00002.npz", b"x")
    with pytest.raises(FailedError, match="holds 1 of the 2 parts"):
        checkpoints._finish(place / "checkpoints" / "5", 5, 2)
    assert StoreCheckpoints(place).latest() is None
    assert content(bucket) == {}  # the next start clears it
    put(bucket, "checkpoints/5/part-00000-of-00002.npz", b"x")
    timer = threading.Timer(
        0.1, put, [bucket, "checkpoints/5/part-00001-of-00002.npz", b"y"]
    )
    timer.start()
    checkpoints._finish(place / "checkpoints" / "5", 5, 2)
    timer.join()
    assert "checkpoints/5/COMPLETE.json" in content(bucket)
