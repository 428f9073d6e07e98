"""The comparison of ways to refine: what is disturbed, and what the table says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from tests.inference.priors import write_prior
from twohand_jax.diffusion.ddim import DdimConfig
from twohand_jax.diffusion.gate import GateConfig
from twohand_jax.diffusion.refine import RefineConfig
from twohand_jax.evaluation.prior import disturbances, refinement
from twohand_jax.evaluation.prior.pairs import Pairs
from twohand_jax.inference.prior import Prior
from twohand_jax.train import dry_run
from twohand_jax.types import LEFT, RIGHT

MODEL = fakes.hand_model()
COUNT = 3
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def pairs():
    """True pairs in each other's way, as their own estimates."""
    prediction = fakes.estimate(fakes.clasped(COUNT))
    geometry = prediction.geometry
    empty = dry_run.abstract_records(COUNT, canvas=8).targets
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), empty)
    targets = zeros._replace(
        mano=prediction.mano,
        hand_valid=np.ones((COUNT, 2), bool),
        interacting=np.ones(COUNT, bool),
        mano_valid=np.ones((COUNT, 2), bool),
        joints_3d=np.asarray(geometry.joints),
        joints_2d_valid=np.ones((COUNT, 2, 21), bool),
        joints_3d_valid=np.ones((COUNT, 2, 21), bool),
        rel_trans=np.asarray(prediction.rel_trans),
        rel_trans_valid=np.ones(COUNT, bool),
    )
    keypoints = np.ones((COUNT, 2, 21, 3), np.float32)
    return Pairs(prediction, targets, keypoints, np.ones((COUNT, 2), np.float32))


def test_noise_moves_the_left_hand_alone_and_by_its_size(pairs):
    small, large = (
        disturbances.disturbed(pairs, MODEL, KEY, size=size) for size in (0.5, 1.0)
    )
    truth = pairs.prediction.mano
    for made in (small, large):
        np.testing.assert_array_equal(
            made.prediction.mano.transl[:, RIGHT], truth.transl[:, RIGHT]
        )
    moved = [m.prediction.mano.hand_pose - truth.hand_pose for m in (small, large)]
    np.testing.assert_allclose(2 * moved[0], moved[1], atol=1e-6)
    assert 0.05 < float(jnp.std(moved[1][:, LEFT])) < 0.2
    assert (large.visible[:, RIGHT] > large.visible[:, LEFT]).all()


def test_hidden_fingers_are_in_the_mean_pose_and_their_keypoints_without_score(pairs):
    """All or none: the base of a finger is seen with the palm."""
    all_hidden = disturbances.hidden_fingers(pairs, MODEL, KEY, share=1.0)
    left = np.asarray(all_hidden.prediction.mano.hand_pose)[:, LEFT]
    np.testing.assert_array_equal(left, 0.0)
    score = all_hidden.keypoints[:, LEFT, :, 2]
    assert np.flatnonzero(score[0]).tolist() == [0, 1, 5, 9, 13, 17]
    some = disturbances.hidden_fingers(pairs, MODEL, KEY)
    moved = np.asarray(
        some.prediction.geometry.joints - pairs.prediction.geometry.joints
    )
    wrong = np.linalg.norm(moved[:, LEFT], axis=-1) > 1e-4
    assert wrong.any() and not (wrong & (some.keypoints[:, LEFT, :, 2] > 0)).any()


def test_the_change_is_that_of_the_mean_and_its_interval_holds_it():
    before = np.array([10.0, 20.0, 30.0, 40.0])
    change, low, high = refinement.relative_change(before, 0.9 * before)
    np.testing.assert_allclose((change, low, high), -10.0)
    after = before + np.array([-5.0, 5.0, -5.0, 1.0])
    change, low, high = refinement.relative_change(before, after)
    np.testing.assert_allclose(change, -4.0)
    assert low < change < high


@pytest.mark.slow
def test_every_way_has_a_row(pairs, tmp_path):
    prior = Prior.load(write_prior(tmp_path))
    config = RefineConfig(
        ddim=DdimConfig(steps=2, horizon=40), gate=GateConfig(when="always")
    )
    compared = refinement.ways(prior, config)
    disturbed = disturbances.disturbed(pairs, MODEL, KEY)
    rows = refinement.table(
        {name: compared[name] for name in ("descent", "prior")}, MODEL, disturbed
    )
    assert list(rows) == ["estimate", "descent", "prior"]
    assert all(row["pairs"] == COUNT for row in rows.values())
    assert rows["estimate"]["MPJPE"] > 1.0 and "change %" not in rows["estimate"]
    for name in ("descent", "prior"):
        assert rows[name]["from %"] <= rows[name]["change %"] <= rows[name]["to %"]
        assert rows[name]["volume"] <= rows["estimate"]["volume"]
    assert set(rows["prior"]) <= set(refinement.COLUMNS)
    mine = refinement.joint_errors(disturbed.prediction, pairs.targets, MODEL)
    np.testing.assert_allclose(mine.mean(), rows["estimate"]["MPJPE"], rtol=1e-3)
    assert set(compared) == {"descent", "random prior", "prior", "paper"}
    fresh = compared["random prior"].parts
    assert fresh.statistics == compared["prior"].parts.statistics or np.array_equal(
        fresh.statistics.scale, compared["prior"].parts.statistics.scale
    )
