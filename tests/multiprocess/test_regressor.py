"""The network's own step: augmentation, batch norm and losses over several devices."""

import numpy as np
import pytest

from tests.multiprocess import launch
from tests.multiprocess.regressor import FAR

SCRIPT = ["-m", "tests.multiprocess.regressor"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("regressor") / "found.npz"
    launch.succeed([launch.start([*SCRIPT, str(path)], devices=4)])
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.slow
def test_losses_are_those_of_one_device(found):
    assert np.isfinite(found["1/losses"]).all()
    assert np.ptp(found["1/losses"]) > 0
    np.testing.assert_allclose(found["2x2/losses"], found["1/losses"], rtol=1e-5)


@pytest.mark.slow
def test_batch_norm_statistics_are_those_of_the_global_batch(found):
    np.testing.assert_allclose(
        found["2x2/batch_stats"], found["1/batch_stats"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["1", "2x2"])
def test_batch_norm_far_from_zero_is_that_of_the_global_batch(found, mesh):
    x = FAR.astype(float)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    rest = (x - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(found[f"{mesh}/normalised"], rest, atol=1e-3)
    running = 0.9 + 0.1 * var * (128 / 127)
    np.testing.assert_allclose(found[f"{mesh}/far_var"], running, rtol=1e-6)


@pytest.mark.slow
def test_arrays_are_split_over_fsdp_alone(found):
    assert not found["1/split"].any()
    # The others are vectors of less than 64 numbers.
    assert found["2x2/split"].mean() > 0.25
