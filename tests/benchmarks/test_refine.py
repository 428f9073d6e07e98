"""The refinement benchmark: both sides compute the same hands."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.benchmarks import examples
from twohand_jax.benchmarks import refine as benchmark
from twohand_jax.benchmarks.report import Timing
from twohand_jax.cli import main
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.gate import Status
from twohand_jax.types import LEFT, RIGHT

STEPS = 4


@pytest.fixture(scope="module")
def prior():
    return examples.random_prior(mano.load())


@pytest.mark.slow
def test_ours_and_pytorch_find_the_same_hands(prior):
    pytest.importorskip("torch")
    pytest.importorskip("smplx")
    config, given = (
        benchmark.configuration(STEPS),
        examples.touching_pair(prior.model, 2),
    )
    refined = benchmark.compiled(prior, given, config)()
    problem = benchmark.to_problem(prior, given, config)
    theirs = benchmark.theirs(prior, problem, 2, config, threads=1)()

    @jax.jit
    def other(prediction):
        reference = jnp.full(2, LEFT)
        frame = representation.pair_frame(prior.model, given.mano, reference)
        vertices = prediction.geometry.vertices[:, RIGHT]
        return representation.to_prior(vertices, reference, frame)

    assert (refined.status == Status.REFINED).all()
    assert (refined.reference == LEFT).all()
    moved = np.abs(other(refined.prediction) - other(given)).max()
    assert moved > 2e-3  # there was something to agree about
    np.testing.assert_allclose(other(refined.prediction), theirs, atol=1e-4)


@pytest.mark.slow
def test_the_denoisers_agree(prior):
    torch = pytest.importorskip("torch")
    from twohand_jax.benchmarks.peers.torch_refine import Denoiser

    rng = np.random.default_rng(0)
    x, condition = rng.normal(size=(2, 1, 64)).astype(np.float32)
    module = Denoiser(prior.sizes, prior.variables)
    denoise = jax.jit(prior.denoise)
    for t in (0, 60, 128):
        with torch.no_grad():
            theirs = module(torch.tensor(x), t, torch.tensor(condition)).numpy()
        ours = denoise(prior.variables, x, jnp.asarray(t), condition)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_pytorch_gets_the_first_pairs(prior):
    pytest.importorskip("torch")
    pytest.importorskip("smplx")
    config, given = benchmark.configuration(1), examples.touching_pair(prior.model, 3)
    problem = benchmark.to_problem(prior, given, config)
    assert benchmark.theirs(prior, problem, 2, config, 1)().shape == (2, 778, 3)


def test_the_configuration_has_guided_steps_only():
    config = benchmark.configuration(42)
    assert config.ddim.steps == 42 and config.guidance.settle == 0
    assert config.evidence is None and config.gate.when == "always"


def test_the_table_divides_times_a_pair(tmp_path, monkeypatch, capsys):
    row = benchmark.RefineRow(
        64,
        3.25,
        {"twohand_jax": Timing(5.0, 10.0), "PyTorch": Timing(100.0, 200.0)},
        {"nearest": Timing(0.1, 0.1), "contacts": Timing(0.2, 0.2)},
    )
    monkeypatch.setattr(benchmark, "measure", lambda *_, **__: [row])
    out = tmp_path / "figures.json"
    arguments = ["benchmark", "refine", "--steps", "50", "--out", str(out)]
    assert main.main(arguments) == 0
    expected = "| 64 | 3.2 | 320 | 200 (100) | 10 (5) | 20.0 | 50% | 100% |"
    assert expected in " ".join(capsys.readouterr().out.split())  # aligned columns
    (written,) = json.loads(out.read_text())["rows"]
    assert written["milliseconds_a_pair"]["PyTorch"]["minimum_ms"] == 100.0


@pytest.mark.slow
def test_rows_of_our_program_alone(prior):
    (row,) = benchmark.measure(
        prior,
        batches=(1,),
        config=benchmark.configuration(1),
        seconds=0.01,
        peer=False,
    )
    assert set(row.timings) == {"twohand_jax"}
    assert row.compile_seconds > 0 and set(row.parts) == {"nearest", "contacts"}
    assert benchmark._cells(row, 1)[4:6] == ["-", "-"]
