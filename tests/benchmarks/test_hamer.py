"""HaMeR's benchmark on a tiny network: the counted work, and a row for each batch."""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tests.weights.tiny_hamer import tiny
from twohand_jax.benchmarks import hamer
from twohand_jax.benchmarks.report import OURS, PEER
from twohand_jax.cli import benchmark as command
from twohand_jax.models import apply


@pytest.mark.parametrize("changes", [{}, {"mean_token": True, "iterations": 2}])
def test_flops_are_what_the_compiler_counts(changes):
    # One layer and one head: a compiler counts the body of a loop once.
    config = tiny(**changes)
    vit = dataclasses.replace(config.vit, layers=1, heads=1, width=128, mlp=256)
    decoder = dataclasses.replace(config.decoder, width=256, mlp=512)
    config = dataclasses.replace(config, vit=vit, decoder=decoder)
    network = hamer.values_network(config)
    crop = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    lowered = jax.jit(network.apply).lower(apply.shapes(network), crop)
    counted = lowered.cost_analysis()["flops"]
    assert hamer.flops(config) == pytest.approx(counted, rel=0.1)


def test_the_released_networks_work_is_counted_whole():
    block = 2 * 192 * 12 * 1280**2 + 4 * 192**2 * 1280
    backbone = 32 * block + 6 * 192 * 256 * 1280
    layer = 2 * 1024 * (4 * 512 + 2 * 1024) + 4 * 192 * 512 * (1280 + 1)
    want = backbone + 6 * layer + 2 * 1024 * 109
    assert hamer.flops(hamer.RELEASED) == want


@pytest.mark.slow
def test_each_batch_has_a_row_beside_pytorch(capsys):
    pytest.importorskip("torch")
    config = tiny(dtype="float32")
    rows = hamer.measure(config, batches=[1, 2], repetitions=1, threads=1, product=64)
    assert [row.batch for row in rows] == [1, 2]
    for row in rows:
        assert set(row.timings) == {OURS, PEER}
        assert row.program.flops == row.batch * hamer.flops(config)
    assert capsys.readouterr().err.count("float32 network") == 2


def test_the_command_knows_it():
    assert "hamer" in command.SUBJECTS
    parser = argparse.ArgumentParser()
    hamer.add_arguments(parser)
    assert parser.parse_args([]).batches == [1, 4]
