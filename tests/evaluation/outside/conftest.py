"""A batch of three pictures of two hands, and its comparison by protocol wrist."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from twohand_jax import mano
from twohand_jax.evaluation import protocols, truth


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def batch(model):
    one = scenes.batch(0, (3,), model)
    return one._replace(record=np.array([7, 8, 9]))


@pytest.fixture(scope="module")
def joints(batch):
    return np.asarray(batch.targets.joints_3d)


@pytest.fixture(scope="module")
def wrist(model):
    return jax.jit(functools.partial(_wrist, model))


def _wrist(model, prediction, targets):
    return protocols.get("wrist").compare(
        prediction, truth.posed_truth(targets, model), model, jnp.ones(3)
    )
