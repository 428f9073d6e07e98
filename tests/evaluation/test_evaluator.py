"""Scores of records: they add up to the protocol's figures, and survive everything."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.evaluation import golden
from twohand_jax.errors import InputError
from twohand_jax.evaluation import evaluator, protocols, results
from twohand_jax.evaluation.evaluator import ScoredBatch
from twohand_jax.evaluation.results import Result
from twohand_jax.types import Batch, Mean


@pytest.fixture(scope="module")
def case():
    return golden.case()


def batches(case: golden.Case, size: int) -> list[Batch]:
    """The case as batches whose canvas is the estimate, for the method below."""
    found = []
    for start in range(0, golden.COUNT, size):
        prediction, targets, _, weight = golden.rows(case, start, golden.COUNT, size)
        record = start + np.arange(size)
        found.append(Batch(prediction, None, None, targets, weight, record))
    return found


def told(batch: Batch):
    return batch.canvas


def parts(case: golden.Case, name: str = "wrist", size: int = 3) -> list[ScoredBatch]:
    score = evaluator.scorer(protocols.get(name))
    methods = {"second": told, "first": told}
    return list(evaluator.scored(methods, score, batches(case, size), case.model))


@pytest.mark.parametrize("name", ["wrist", "mcp_scaled"])
@pytest.mark.slow
def test_scores_of_records_add_up_to_the_protocol(name, case):
    whole = evaluator.gather(parts(case, name))
    compare = jax.jit(protocols.get(name).compare)
    wanted = protocols.metric_values(
        compare(*golden.compared(case, 0, golden.COUNT, 8))
    )
    for row in evaluator.figures(whole).values():
        assert set(row) == set(wanted)
        for key, value in wanted.items():
            assert row[key] == pytest.approx(value, rel=1e-6, nan_ok=True), key


def test_gather_drops_padding_and_sorts_by_record(case):
    found = parts(case)
    whole = evaluator.gather(found[::-1])
    assert whole.record.tolist() == list(range(golden.COUNT))
    assert sum(len(part.record) for part in found) == 9
    straight = evaluator.gather(found)
    jax.tree.map(np.testing.assert_array_equal, whole, straight)


def test_details_are_of_the_hands_that_count(case):
    scores = evaluator.gather(parts(case)).scores["first"]
    targets = case.targets
    known = targets.joints_3d_valid & targets.joints_3d_valid[..., :1]
    known = np.asarray(known & targets.hand_valid[..., None])
    np.testing.assert_array_equal(np.isfinite(scores.joints_mm), known)
    assert (scores.joints_mm[..., 0][known[..., 0]] == 0).all()
    fitted = np.asarray(targets.mano_valid & targets.hand_valid)
    np.testing.assert_array_equal(np.isfinite(scores.vertices_mm), fitted)


def test_estimates_that_are_no_numbers_are_refused(case):
    vertices = case.prediction.geometry.vertices.at[4, 1].set(jnp.inf)
    geometry = case.prediction.geometry._replace(vertices=vertices)
    broken = case._replace(prediction=case.prediction._replace(geometry=geometry))
    with pytest.raises(InputError, match="row 'second', first in record 4"):
        parts(broken)


def test_the_file_of_a_result_holds_all_of_it(case, tmp_path):
    whole = evaluator.gather(parts(case))
    names = np.array([f"picture-{n}" for n in whole.record])
    result = Result(
        method="+ depth",
        protocol="wrist",
        dataset="mine",
        split="test",
        record=whole.record,
        image_id=names,
        subset=names,
        scores=whole.scores["first"],
    )
    path = tmp_path / "samples" / "depth.npz"
    results.save(path, result)
    again = results.load(path)
    jax.tree.map(np.testing.assert_array_equal, again.scores, result.scores)
    assert again.figures() == pytest.approx(result.figures(), nan_ok=True)
    assert (again.method, again.image_id[2]) == ("+ depth", "picture-2")
    assert len(again.take(np.arange(3))) == 3
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be read as results"):
        results.load(path)


def interrupted(case, directory, upto: int, identity: dict) -> list[ScoredBatch]:
    """Score some batches into a store, beginning where it ended."""
    kept = evaluator.Store(directory, identity, batches=2)
    for part in parts(case, size=2)[kept.done : upto]:
        kept.add(part)
    return kept


@pytest.mark.slow
def test_an_interrupted_evaluation_goes_on(case, tmp_path):
    assert interrupted(case, tmp_path, 3, {"model": "a"}).done == 0
    again = interrupted(case, tmp_path, 4, {"model": "a"})
    assert again.done == 2
    whole, straight = (
        evaluator.gather(found) for found in (again.close(), parts(case, size=2))
    )
    jax.tree.map(np.testing.assert_array_equal, whole, straight)
    again.clear()
    assert evaluator.Store(tmp_path, {"model": "a"}).done == 0


def test_a_store_of_another_evaluation_is_left_alone(case, tmp_path):
    interrupted(case, tmp_path, 2, {"model": "a", "split": "test"})
    with pytest.raises(InputError, match=r"another evaluation \(model differs\)"):
        evaluator.Store(tmp_path, {"model": "b", "split": "test"})
    (tmp_path / evaluator.RUN).write_text("{")
    with pytest.raises(InputError, match="another evaluation"):
        evaluator.Store(tmp_path, {"model": "a", "split": "test"})


def test_totals_are_summed_in_double_precision():
    ones = Mean(np.full(3, 1 + 2**-20, np.float32), np.ones(3, np.float32))
    scores = results.Scores({"MPJPE": ones}, *[np.zeros(3)] * 4)
    assert results.totals(scores)["MPJPE"].total == 3 * (1 + 2**-20)
