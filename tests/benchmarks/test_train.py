"""The training benchmark: equal networks, FLOPs that are known, honest tables."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference import networks
from twohand_jax import experiments
from twohand_jax.benchmarks import report, steps
from twohand_jax.benchmarks import train as benchmark
from twohand_jax.benchmarks.report import Timing
from twohand_jax.cli import common, main
from twohand_jax.crops import cue_table
from twohand_jax.experiments import regressor
from twohand_jax.models import apply

CONFIGS = Path(__file__).parents[2] / "configs"


def config(name="tiny"):
    return common.load_config(str(CONFIGS / f"{name}.py"), []).to_dict()


def sizes(name="tiny"):
    return experiments.parse(config(name)).model


@pytest.mark.parametrize(
    ("name", "cues"),
    [
        ("tiny", ("keypoints", "segmentation", "depth")),
        ("tiny", ("keypoints",)),
        ("freihand", ()),
        pytest.param("paper", cue_table.DEFAULT, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_both_networks_have_the_same_weights(name, cues):
    torch = pytest.importorskip("torch")
    from twohand_jax.benchmarks.peers.torch_regressor import Regressor

    model = dataclasses.replace(sizes(name), cues=cues)
    shapes = apply.shapes(regressor.network(model)).params
    ours = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    with torch.device("meta"):
        theirs = sum(weight.numel() for weight in Regressor(model).parameters())
    assert ours == theirs


def test_both_networks_give_estimates_of_the_same_size():
    torch = pytest.importorskip("torch")
    from twohand_jax.benchmarks.peers.torch_regressor import Regressor

    model = sizes()
    inputs = steps.filled(steps.input_shapes(model, 2))
    network = regressor.network(model)
    output, _ = jax.eval_shape(network.apply, apply.shapes(network), inputs)
    side = model.crop_size
    with torch.no_grad():
        theirs = Regressor(model)([torch.rand(4, 3, side, side) for _ in range(4)])
    assert sum(leaf.size for leaf in output) == sum(part.numel() for part in theirs)


def test_a_pytorch_step_changes_every_kind_of_weight():
    torch = pytest.importorskip("torch")
    from twohand_jax.benchmarks.peers import torch_regressor

    torch.manual_seed(0)
    module = torch_regressor.Regressor(sizes())
    pictures = [torch.rand(2, 3, 64, 64) for _ in range(4)]
    step = torch_regressor.step_of(module, lambda: module(pictures))
    before = {name: weight.clone() for name, weight in module.named_parameters()}
    step()
    moved = {n for n, w in module.named_parameters() if not torch.equal(w, before[n])}
    for part in ("image.", "cues.", "fusion.", "heads.", "transnet."):
        assert any(name.startswith(part) for name in moved), part


def test_filled_arrays_have_the_shapes_and_keep_what_is_there():
    shape = jax.ShapeDtypeStruct
    tree = (shape((4, 5), jnp.float32), shape((3, 2, 3), jnp.float32), "kept")
    tree += (shape((6,), jnp.bool_), shape((50,), jnp.uint8))
    numbers, maps, kept, flags, bytes_ = steps.filled(tree)
    assert numbers.shape == (4, 5) and (np.asarray(numbers) > 0).all()
    np.testing.assert_array_equal(maps[2], np.eye(2, 3))
    assert kept == "kept" and flags.all()
    assert bytes_.dtype == jnp.uint8 and bytes_.max() > 100


@pytest.mark.slow
def test_weights_keep_estimates_finite():
    network = regressor.network(sizes())
    variables = steps.weights(apply.shapes(network))
    inputs = steps.filled(steps.input_shapes(sizes(), 1))
    output, _ = jax.jit(network.apply)(variables, inputs)
    assert all(np.isfinite(leaf).all() for leaf in output)


def test_flops_of_a_product_are_counted():
    matrix = jnp.ones((32, 32))
    program = steps.compile_program(jax.jit(jnp.dot), (), matrix, matrix)
    assert program.flops == pytest.approx(2 * 32**3, rel=0.01)
    assert program.memory_bytes is None or program.memory_bytes >= 3 * 4 * 32**2


def test_what_is_carried_goes_into_the_next_call():
    seen = []
    call = steps.carrying(lambda n, d: seen.append(n) or (n + d, "loss"), (1,), 2)
    call(), call()
    assert seen == [1, 3]


def test_the_ceiling_is_a_rate_of_the_machine():
    assert 1e6 < report.ceiling("float32", 64) < 1e16


def test_the_table_has_rates_shares_and_ratios():
    program = steps.CompiledProgram(lambda: None, 4e9, 2.5, 2**31)
    timings = {"twohand_jax": Timing(100.0, 200.0), "PyTorch": Timing(80.0, 90.0)}
    row = report.ProgramRow("forward", "float32", 2, program, 80e9, timings)
    assert report.program_table([row], what="", unit="item").lines[0] == [
        *["forward", "float32", "20 (10)", "100 (200)", "2", "40", "50%", "2.5"],
        *["2.00", "80 (90)", "0.80"],
    ]


@pytest.mark.slow
def test_the_command_measures_every_program(tmp_path):
    pytest.importorskip("torch")
    out, small = tmp_path / "figures.json", tmp_path / "small.py"
    made = networks.config(model__transnet=config()["model"]["transnet"])
    small.write_text(
        "from ml_collections import ConfigDict\n\n\n"
        f"def get_config():\n    return ConfigDict({made!r})\n"
    )
    flags = "--batch 1 --seconds 0.01 --dtypes float32 --threads 1".split()
    arguments = ["benchmark", "train", "--config", str(small), *flags]
    assert main.main([*arguments, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["program"] for row in rows] == [
        steps.FORWARD,
        steps.NETWORK_STEP,
        steps.TRAINING_STEP,
    ]
    assert [len(row["milliseconds"]) for row in rows] == [2, 2, 1]
    assert rows[1]["flops"] > 2 * rows[0]["flops"]
    assert all(row["compile_seconds"] > 0 for row in rows)


@pytest.mark.slow
def test_a_prior_has_its_training_step_alone():
    small = config("prior")
    small["model"] |= {"width": 16, "residual_blocks": 1}
    (row,) = benchmark.measure(small, batch=2, seconds=0.01, product=64)
    assert (row.task, row.dtype) == (steps.TRAINING_STEP, "float32")
    assert row.program.flops > 0


def test_a_missing_config_is_said(capsys):
    assert main.main(["benchmark", "train", "--config", "none.py"]) == 2
    assert "no config file none.py" in capsys.readouterr().err
