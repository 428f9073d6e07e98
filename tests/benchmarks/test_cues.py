"""The cue benchmark: FLOPs that are known, equal networks, an honest table."""

import argparse

import jax
import jax.numpy as jnp
import pytest

from tests.weights.tiny_sapiens import tiny
from twohand_jax.benchmarks import cues as benchmark
from twohand_jax.benchmarks import report
from twohand_jax.cli import benchmark as command
from twohand_jax.models import apply, sapiens
from twohand_jax.models.sapiens import KINDS, POSE, released
from twohand_jax.weights import sapiens as weights


def arguments(*words):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("kind", KINDS)
def test_flops_are_what_the_compiler_counts(kind):
    # One layer and one head: a compiler counts the body of a loop once.
    config = tiny(kind, layers=1, heads=1, width=256, mlp=512)
    network = weights.network(config)
    picture = jax.ShapeDtypeStruct((1, *config.image, 3), jnp.float32)
    lowered = jax.jit(network.apply).lower(apply.shapes(network), picture)
    counted = lowered.cost_analysis()["flops"]
    assert benchmark.flops(config)["network"] == pytest.approx(counted, rel=0.1)


def test_the_released_network_takes_teraflops():
    counted = benchmark.flops(released(POSE, "0.3b"))
    by_hand = (
        24 * (2 * 3072 * 12 * 1024**2 + 4 * 3072**2 * 1024) + 6 * 3072 * 256 * 1024
    )
    assert counted["backbone"] == by_hand
    deconvs = 2 * 16 * 768 * 3072 * (1024 + 4 * 768)
    convs = 2 * 16 * 3072 * 768 * (2 * 768 + 308)
    assert counted["network"] == by_hand + deconvs + convs


def test_programs_take_their_turns_and_the_table_is_whole(monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setattr(
        benchmark, "released", lambda kind, size, dtype: tiny(kind, dtype=dtype)
    )
    monkeypatch.setattr(benchmark, "ceiling", lambda dtype, size: 1e9)
    found = benchmark.run(arguments("--repetitions", "1", "--dtypes", "float32"))
    assert [row["program"] for row in found.rows] == ["backbone", "network"]
    for row in found.rows:
        assert set(row["milliseconds"]) == {"twohand_jax", "PyTorch"}
        assert row["flops"] > 0 and row["compile_seconds"] > 0
    lines = report.markdown(found).splitlines()
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 4
    assert "1 GFLOP/s" in found.title
    said = capsys.readouterr().err
    assert said.count("float32 backbone") == said.count("float32 network") == 1


def test_the_command_knows_it():
    assert "cues" in command.SUBJECTS
    defaults = arguments()
    assert (defaults.size, defaults.batch, defaults.peers) == ("0.3b", 1, "all")
    assert set(sapiens.SIZES) == {"0.3b", "0.6b", "1b", "2b"}
    with pytest.raises(SystemExit):
        arguments("--size", "5b")
