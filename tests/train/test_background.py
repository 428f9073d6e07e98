"""Checkpoints written while the training goes on, and signals of preemption."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from tests.train import toy
from tests.train.restarts import last_state
from twohand_jax.errors import FailedError
from twohand_jax.train import loop, optim
from twohand_jax.train.checkpoint import Checkpoints
from twohand_jax.train.distributed import StopRequest

STEPS = 6


@pytest.mark.slow
def test_checkpoints_in_the_background_are_those_of_their_steps(tmp_path):
    for name, background in (("now", False), ("later", True)):
        settings = {"save_every": 1, "keep_checkpoints": STEPS}
        toy.train(
            tmp_path / name,
            total_steps=STEPS,
            background_saves=background,
            **settings,
        )
    for step in range(1, STEPS + 1):
        expected = last_state(tmp_path / "now", step)
        found = last_state(tmp_path / "later", step)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=f"{step} {name}")


class Slow:
    """An answer of Orbax that takes its time, or fails."""

    def __init__(self, done: threading.Event, error: Exception | None = None):
        self.done, self.error = done, error

    def result(self):
        self.done.wait(5)
        if self.error:
            raise self.error


def test_training_waits_for_a_save_only_when_the_next_is_due(tmp_path, monkeypatch):
    saved = Checkpoints(tmp_path, background=True)
    done, state = threading.Event(), _state()
    monkeypatch.setattr(
        saved._checkpointer, "save_async", lambda *_, **__: Slow(done), raising=True
    )
    start = time.monotonic()
    saved.save(state)
    assert time.monotonic() - start < 2
    threading.Timer(0.3, done.set).start()
    saved.save(state._replace(step=np.int32(2)))
    assert done.is_set()
    saved.close()


def test_a_save_that_failed_in_the_background_is_told_by_the_next(
    tmp_path, monkeypatch
):
    saved = Checkpoints(tmp_path, background=True)
    done = threading.Event()
    done.set()
    error = OSError("No space left on device")
    monkeypatch.setattr(
        saved._checkpointer, "save_async", lambda *_, **__: Slow(done, error)
    )
    saved.save(_state())
    with pytest.raises(FailedError, match="step 1 cannot be written .*No space left"):
        saved.save(_state()._replace(step=np.int32(2)))
    saved.close()


def _state():
    import jax

    from twohand_jax.train import state

    fresh = state.create(
        toy.task().network, optim.optimizer(toy.OPTIM), jax.random.key(0)
    )
    return fresh._replace(step=np.int32(1))


@pytest.fixture
def stop():
    request = StopRequest()
    yield request
    request.restore()


def test_slurm_s_signal_stops_and_saves_and_a_sigterm_after_it_does_not_interrupt(
    tmp_path, stop
):
    class Sends(toy.Prefetcher):
        count = 0

        def __iter__(self):
            for batch in super().__iter__():
                self.count += 1
                if self.count == 2:
                    os.kill(os.getpid(), signal.SIGUSR1)
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

    task = toy.task()

    def batches(step, sharding):
        made = task.batches(step, sharding)
        made.__class__ = Sends
        return made

    final = loop.train(
        task._replace(batches=batches),
        optimizer=optim.optimizer(toy.OPTIM),
        ema_decay=toy.OPTIM.ema_decay,
        loop=loop.LoopConfig(total_steps=50, batch_size=toy.BATCH, evaluate_every=0),
        workdir=tmp_path,
        config={},
        stop=stop,
    )
    assert int(final.step) == 2 and stop.signal == signal.SIGUSR1
    saved = Checkpoints(tmp_path)
    assert saved.latest() == 2
    saved.close()


@pytest.mark.parametrize("second", [signal.SIGUSR1, signal.SIGINT])
def test_the_same_signal_again_and_ctrl_c_interrupt(stop, second):
    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), second)
        time.sleep(0.1)
