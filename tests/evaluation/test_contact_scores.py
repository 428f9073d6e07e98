"""Contact of estimated hands, a record at a time, against measuring all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from tests.programs import forward, posed_truth
from twohand_jax import mano
from twohand_jax.collision import penetration
from twohand_jax.evaluation import contact_scores
from twohand_jax.evaluation.results import Scores
from twohand_jax.mano.topology import close_wrist
from twohand_jax.types import LEFT, RIGHT, Mean, Prediction

COUNT = 4


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def hands(model):
    """Pairs of hands: in each other, touching, near, far; the last two records."""
    targets = scenes.targets(0, (COUNT,), model)
    geometry = forward(model, targets.mano)
    middle = geometry.vertices.mean(axis=2, keepdims=True)
    offset = jnp.array([0.0, 0.03, 0.12, 0.6])[:, None, None]
    offset = offset * jnp.array([1.0, 0, 0])
    vertices = geometry.vertices - middle
    return targets, vertices.at[:, LEFT].add(offset)


def empty(prediction, truth, model, weight) -> Scores:
    return Scores({"MPJPE": Mean(weight, weight)}, *[jnp.zeros(COUNT)] * 4)


def measured(model, targets, vertices, weight) -> dict[str, Mean]:
    prediction = Prediction(
        mano=targets.mano,
        geometry=forward(model, targets.mano)._replace(vertices=vertices),
        rel_trans=targets.rel_trans,
        camera=targets.camera,
        box=targets.box,
        score=jnp.ones((COUNT, 2)),
    )
    score = contact_scores.with_contact(empty)
    return score(prediction, posed_truth(targets, model), model, weight).metrics


def test_every_pair_is_measured_as_by_itself(model, hands):
    targets, vertices = hands
    both = targets._replace(hand_valid=jnp.ones((COUNT, 2), bool))
    found = measured(model, both, vertices, jnp.ones(COUNT))
    faces = [close_wrist(np.asarray(side)) for side in model.faces]
    right, left = (np.asarray(vertices[:, side]) for side in (RIGHT, LEFT))
    wanted = penetration.measure(right, left, *faces)
    assert wanted.volume_cm3[0] > 1 and wanted.volume_cm3[3] == 0
    volume, share = found["volume cm³"], found["penetrating %"]
    assert volume.total == pytest.approx(wanted.volume_cm3, rel=1e-4)
    assert found["depth"].total == pytest.approx(wanted.max_depth_mm, rel=1e-4)
    touching = 100 * wanted.contact_ratio
    assert found["contact %"].total == pytest.approx(touching, rel=1e-4)
    assert share.total.tolist() == (100 * (wanted.volume_cm3 > 1e-3)).tolist()
    assert "MPJPE" in found and (share.count == 1).all()


def test_pictures_of_one_hand_and_padding_do_not_count(model, hands):
    targets, vertices = hands
    valid = jnp.ones((COUNT, 2), bool).at[0, LEFT].set(False)
    weight = jnp.ones(COUNT).at[1].set(0.0)
    found = measured(model, targets._replace(hand_valid=valid), vertices, weight)
    for mean in (found["volume cm³"], found["contact %"]):
        assert jax.device_get(mean.count).tolist() == [0, 0, 1, 1]
        assert not mean.total[:2].any()
