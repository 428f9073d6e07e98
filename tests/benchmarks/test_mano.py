"""The MANO benchmark: equal work, honest tables, readable figures."""

import json

import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.benchmarks import mano as benchmark
from twohand_jax.benchmarks import report
from twohand_jax.cli import main
from twohand_jax.mano.joints import PARENTS

ROWS = [
    benchmark.ManoRow(
        1,
        "forward",
        {"twohand_jax": report.Timing(0.5, 0.6), "smplx": report.Timing(2.0, 9.0)},
    )
]


@pytest.mark.parametrize("hands", [1, 4])
def test_ours_and_smplx_do_equal_work(hands):
    """Same arrays and parameters: the right hands agree vertex by vertex."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("smplx")
    from twohand_jax.benchmarks.peers import smplx_mano

    model, arrays = mano.load(), benchmark._parameters(hands, 0)
    out = benchmark._ours(model, arrays)["forward"]()
    ours = out[0][0] if hands == 1 else out.vertices[:, 0]
    names = ("global_orient", "hand_pose", "betas", "transl")
    theirs = smplx_mano.module(model)(
        **{n: torch.tensor(a) for n, a in zip(names, arrays, strict=True)}
    )
    chosen = slice(None) if hands == 1 else slice(0, None, 2)
    vertices = theirs.vertices.detach().numpy()[chosen]
    np.testing.assert_allclose(np.reshape(ours, vertices.shape), vertices, atol=1e-5)


def test_parents_are_smplx_parents():
    pytest.importorskip("torch")
    pytest.importorskip("smplx")
    from twohand_jax.benchmarks.peers import smplx_mano

    module = smplx_mano.module(mano.load())
    assert tuple(module.parents.tolist()) == PARENTS


@pytest.mark.slow
def test_rows_of_our_program_alone():
    rows = benchmark.measure(sizes=(1, 2), seconds=0.001, peers=())
    assert [(r.hands, r.task) for r in rows] == [
        (hands, task) for hands in (1, 2) for task in ("forward", "forward+backward")
    ]
    assert all(set(r.timings) == {"twohand_jax"} for r in rows)


def test_the_table_divides_minima(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure", lambda **_: ROWS)
    out = tmp_path / "figures.json"
    assert main.main(["benchmark", "mano", "--warm", "--out", str(out)]) == 0
    said = " ".join(capsys.readouterr().out.split())  # columns are aligned
    assert "| 1 | forward | 0.5 (0.6) | 2 (9) | 4.0 |" in said
    content = json.loads(out.read_text())
    assert content["rows"][0]["warm"]
    assert content["rows"][0]["milliseconds"]["smplx"]["minimum_ms"] == 2.0


def test_an_odd_number_of_hands_exits_with_two():
    with pytest.raises(SystemExit, match="2"):
        main.main(["benchmark", "mano", "--sizes", "3"])
