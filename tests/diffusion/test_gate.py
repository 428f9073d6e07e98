import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from twohand_jax import collision
from twohand_jax.diffusion import gate
from twohand_jax.diffusion.gate import GateConfig, Status
from twohand_jax.errors import InputError
from twohand_jax.types import LEFT, RIGHT


@jax.jit
def _depth(prediction):
    return gate.penetration_depth(
        fakes.hand_model(), prediction, criteria=collision.DEFAULT
    )


def _status(prediction, **settings):
    depth = _depth(prediction)
    return Status(int(gate.status(prediction, depth, config=GateConfig(**settings))))


def _estimate(gap=0.035):
    pair = fakes.clasped(1, gap=gap)
    return fakes.estimate(type(pair)(*(leaf[0] for leaf in pair)))


@pytest.mark.slow
def test_touching_hands_are_refined_and_others_are_not():
    assert _status(_estimate()) == Status.REFINED
    assert _status(_estimate(gap=0.2)) == Status.NOT_NEEDED
    assert _status(_estimate(gap=0.2), when="always") == Status.REFINED
    assert _status(_estimate(), min_depth=0.05) == Status.NOT_NEEDED


def test_hands_with_hidden_fingers_are_refined():
    """Keypoints without a score beside others that have one; not a hand with none."""
    apart = _estimate(gap=0.2)
    depth = _depth(apart)

    def found(count, **settings):
        points = jnp.ones((2, 21, 3)).at[LEFT, :count, 2].set(0.0)
        config = GateConfig(**settings)
        return int(gate.status(apart, depth, config=config, keypoints=points))

    assert [found(n) for n in (0, 2, 3, 20)] == [1, 1, 0, 0]
    assert found(21) == Status.NOT_NEEDED
    assert found(3, hidden=0.5) == Status.NOT_NEEDED


def test_hands_whose_boxes_are_apart_are_left_alone():
    prediction = _estimate()
    box = prediction.box.at[LEFT].add(500.0)
    assert _status(prediction._replace(box=box)) == Status.NOT_NEEDED


def test_a_missing_hand():
    prediction = _estimate()
    missing = prediction._replace(score=prediction.score.at[LEFT].set(0.0))
    assert _status(missing) == Status.HAND_MISSING
    # What stands in the place of a missing hand means nothing, so that comes first.
    empty = missing._replace(
        geometry=missing.geometry._replace(
            vertices=missing.geometry.vertices.at[LEFT].set(jnp.nan)
        )
    )
    assert _status(empty) == Status.HAND_MISSING


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("field", ["global_orient", "hand_pose", "betas", "transl"])
def test_numbers_that_are_not_finite(field, bad):
    prediction = _estimate()
    leaf = getattr(prediction.mano, field)
    params = prediction.mano._replace(**{field: leaf.at[RIGHT, ..., 0].set(bad)})
    assert _status(prediction._replace(mano=params)) == Status.NOT_FINITE


@pytest.mark.parametrize("field", ["global_orient", "hand_pose", "betas", "transl"])
def test_numbers_no_hand_can_have(field):
    prediction = _estimate()
    leaf = getattr(prediction.mano, field)
    params = prediction.mano._replace(**{field: leaf.at[LEFT, ..., 0].set(1e8)})
    assert _status(prediction._replace(mano=params)) == Status.TOO_LARGE


def test_hands_too_far_apart_for_the_prior():
    prediction = _estimate(gap=2.0)
    assert _status(prediction, when="always") == Status.TOO_FAR


def test_every_status_has_a_sentence():
    assert set(gate.SENTENCES) == set(Status)
    assert all(text.endswith(".") for text in gate.SENTENCES.values())


def test_depth_of_broken_meshes_is_zero():
    prediction = _estimate()
    for bad in (jnp.nan, jnp.inf, 1e30):
        vertices = jnp.full_like(prediction.geometry.vertices, bad)
        broken = prediction._replace(
            geometry=prediction.geometry._replace(vertices=vertices)
        )
        assert float(_depth(broken)) == 0.0


def test_amount_grows_as_the_hands_come_closer():
    estimates = [_estimate(gap) for gap in (0.06, 0.045, 0.04, 0.035)]
    amount = jax.jit(gate.penetration_amount)
    amounts = [float(amount(fakes.hand_model(), e)) for e in estimates]
    assert amounts[0] == 0.0
    assert amounts == sorted(amounts) and amounts[1] < amounts[2]


def test_the_hand_seen_better_stays():
    score = jnp.array([[0.9, 0.5], [0.5, 0.9], [0.5, 0.5]])
    np.testing.assert_array_equal(gate.choose_reference(score), [RIGHT, LEFT, RIGHT])
    keypoints = jnp.zeros((3, 2, 21, 3)).at[:, LEFT, :, 2].set(0.7)
    keypoints = keypoints.at[1, :, :, 2].set(0.4)
    found = gate.choose_reference(score, keypoints=keypoints)
    np.testing.assert_array_equal(found, [LEFT, LEFT, LEFT])
    visible = jnp.array([[90.0, 80.0], [5.0, 5.0], [5.0, 6.0]])
    found = gate.choose_reference(score, keypoints=keypoints, visible=visible)
    np.testing.assert_array_equal(found, [RIGHT, LEFT, LEFT])


@pytest.mark.parametrize(
    "settings",
    [{"when": "never"}, {"min_depth": -1.0}, {"max_distance": 0.0}, {"hidden": 0.0}],
)
def test_impossible_gates_are_refused(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        GateConfig(**settings)
