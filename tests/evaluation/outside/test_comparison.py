"""Which rows stand beside another system, and what tells its predictions apart."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from tests.evaluation.outside.cases import IDS, predicted
from twohand_jax.evaluation import run
from twohand_jax.evaluation.outside import comparison
from twohand_jax.evaluation.outside.prediction_file import SplitLabels
from twohand_jax.types import Batch, Camera, Prediction, Targets

NOTHING = (None,) * 20


@pytest.fixture
def joints():
    return np.random.default_rng(0).normal(size=(3, 2, 21, 3)).astype(np.float32)


@pytest.fixture
def labels(joints):
    valid = np.ones((3, 2, 21), bool)
    return SplitLabels(np.array(list(IDS)), tuple(IDS.values()), joints, valid)


def ours(batch):
    del batch
    return Prediction(*NOTHING[:5], score=jnp.ones((3, 2)))


def test_ours_are_compared_on_the_hands_that_the_other_found(joints, labels):
    found = np.array([[True, True], [True, False], [False, False]])
    other = predicted(joints, found=found)
    subject = run.Subject(
        methods={"image": ours}, identity={"model": "m"}, experiment=None, hand=None
    )
    both = comparison.beside(subject, other, labels, name="theirs")
    assert list(both.methods) == ["theirs", "image, hands of theirs"]
    camera = Camera(None, None)
    targets = Targets(*NOTHING[: len(Targets._fields)])._replace(camera=camera)
    batch = Batch(*NOTHING[:3], targets, np.ones(3), np.array([8, 7, 9]))
    for method in both.methods.values():
        np.testing.assert_array_equal(method(batch).score, found[[1, 0, 2]])
    assert both.identity["model"] == "m"
    assert both.identity["other"] == comparison.digest(other)


def test_other_predictions_have_another_digest(joints):
    one = predicted(joints)
    others = [
        predicted(joints + 1),
        predicted(joints, found=np.zeros((3, 2), bool)),
        predicted(joints, rel_trans=joints[:, 0, 0]),
        dataclasses.replace(one, image_id=np.array(["x", "y", "z"])),
    ]
    digests = {comparison.digest(other) for other in (one, *others)}
    assert len(digests) == 5
    assert comparison.digest(predicted(joints.copy())) in digests
