"""Every protocol against its float64 twin, in batches of any size, on any devices."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.evaluation import golden, twins
from twohand_jax.evaluation import evaluator
from twohand_jax.evaluation.protocols import PROTOCOLS, numbers

DEVICES = Path(__file__).parent / "devices.py"


@pytest.fixture(scope="module")
def case():
    return golden.case()


@functools.cache
def compiled(name: str):
    return jax.jit(PROTOCOLS[name].compare)


def in_batches(name: str, case: golden.Case, size: int) -> dict[str, float]:
    def compute(variables, batch, model, cues):
        return compiled(name)(*batch)

    batches = [
        golden.rows(case, start, golden.COUNT, size)
        for start in range(0, golden.COUNT, size)
    ]
    cues = {"image": (False, False, False)}
    return evaluator.evaluate(compute, None, batches, None, cue_sets=cues)["image"]


def expected(name: str, case: golden.Case) -> dict[str, float]:
    samples = golden.samples(case)
    regressor = np.asarray(case.model.joint_regressor, float)
    if name in ("freihand", "ho3d"):
        return {
            key: value
            for key, value in twins.server(samples, name).items()
            if name == "ho3d" or not key.startswith("ST-")
        }
    if name.startswith("mcp"):
        return twins.mcp(samples, regressor, scaled=name == "mcp_scaled")
    return getattr(twins, name)(samples, regressor)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_agrees_with_the_published_definition_on_ragged_batches(name, case):
    want, found = expected(name, case), in_batches(name, case, 5)
    own = {"mcp", "mcp_scaled"} & {name}  # figures that IntagHand does not define
    extra = {"MRRPE", "PA-MPJPE", "PA-MPVPE"} if own else {"PA-MPVPE"}
    assert set(found) - set(want) <= extra
    for key, value in want.items():
        assert found[key] == pytest.approx(value, rel=2e-5), key


def test_batch_size_does_not_matter(case):
    fives, ones = in_batches("wrist", case, 5), in_batches("wrist", case, 1)
    for key, value in fives.items():
        assert ones[key] == pytest.approx(value, rel=2e-6), key


def test_the_columns_of_every_table_exist(case):
    for name, protocol in PROTOCOLS.items():
        shapes = jax.eval_shape(protocol.compare, *golden.rows(case, 0, 2, 2))
        made = {key.replace("PCK", "AUC") for key in shapes}
        assert set(protocol.columns) | set(protocol.essential) <= made, name


def test_four_devices_give_what_one_gives(case):
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.evaluation.devices"],
        env=os.environ | flags,
        cwd=DEVICES.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one = numbers(jax.device_get(compiled("wrist")(*golden.rows(case, 0, 7, 8))))
    four = dict(line.split() for line in done.stdout.splitlines())
    for key, value in one.items():
        assert float(four[key]) == pytest.approx(value, rel=1e-6), key
