"""Errors of found hands, their share, and another method on the same hands."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.evaluation.outside.cases import IDS, predicted
from twohand_jax.evaluation import protocols, run, truth
from twohand_jax.evaluation.outside import prediction_file
from twohand_jax.evaluation.results import Scores
from twohand_jax.types import Camera, Mean, Prediction


@pytest.mark.slow
def test_errors_are_of_found_hands_and_the_picture_keeps_its_split(
    batch, joints, wrist
):
    seen = np.array([[True, False], [True, True], [True, True]])
    moved = joints.copy()
    moved[1, :, 1:] += 0.01
    estimate = prediction_file.method(predicted(moved, found=seen), IDS)(batch)
    limited = run.withdraw(batch.targets, jnp.asarray(estimate.score) > 0)
    numbers = protocols.metric_values(wrist(estimate, limited))
    means = np.sqrt(3e-4) * 1000 * 20 / 21 * np.array([1 / 3, 1 / 2])
    assert numbers["MPJPE"] == pytest.approx(means.mean(), rel=1e-3)
    assert numbers["MPJPE/interacting"] == numbers["MPJPE"]
    assert np.isnan(numbers["MPJPE/single"])


def test_the_share_of_found_hands_stands_beside_the_errors(batch, joints, model):
    def score(prediction, truth, model, weight):
        targets = truth.targets
        count = np.asarray(targets.joints_3d_valid).sum(axis=(1, 2))
        between = np.asarray(targets.rel_trans_valid)
        metrics = {"joints": Mean(count, weight), "pairs": Mean(between, weight)}
        return Scores(metrics, None, None, None, None)

    seen = np.array([[True, False], [False, False], [True, True]])
    one = predicted(joints, found=seen)
    targets = batch.targets._replace(hand_valid=np.ones((3, 2), bool))
    weight = np.array([1.0, 1.0, 0.0], np.float32)
    estimate = prediction_file.method(one, IDS)(batch)
    metrics = run.score_found(score)(
        estimate, truth.batch_truth(targets, model), model, weight
    ).metrics
    assert metrics["joints"].total.tolist() == [21, 0, 42]
    assert metrics["pairs"].total.tolist() == [False, False, True]
    assert metrics[run.FOUND].total.tolist() == [100, 0, 0]
    assert metrics[run.FOUND].count.tolist() == [2, 2, 0]


def test_another_method_on_the_same_hands(batch, joints):
    seen = np.array([[True, False], [True, True], [False, False]])
    one = predicted(joints, found=seen)
    hands = prediction_file.found_hands(one, IDS | {10: "elsewhere"})
    assert {record: list(row) for record, row in hands.items()} == {
        7: [True, False],
        8: [True, True],
        9: [False, False],
        10: [False, False],
    }

    def ours(batch):
        return Prediction(
            None, None, None, Camera(None, None), None, jnp.array([[1.0, 1], [1, 0]])
        )

    del hands[10]
    few = batch._replace(record=np.array([7, 10]))
    assert run.limited(ours, hands)(few).score.tolist() == [[1, 0], [0, 0]]
