import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from tests.programs import rest_wrist
from twohand_jax import mano
from twohand_jax.diffusion import gate, visibility
from twohand_jax.diffusion.visibility import (
    drawn_area,
    labelled_area,
    visible_area,
)
from twohand_jax.types import LEFT, RIGHT

area = jax.jit(visible_area)


def _in_front(hand, *, batch=()):
    """Flat hands one behind the other, ``hand`` 8 cm nearer to the camera."""
    params = mano.zeros(*batch)
    params = params._replace(
        transl=params.transl.at[..., 2].add(0.5).at[..., hand, 2].add(-0.08)
    )
    wrist = rest_wrist(fakes.hand_model(), params.betas)
    sideways = jnp.array([[0.02, 0.0, 0.0], [-0.02, 0.0, 0.0]])
    return fakes.estimate(params._replace(transl=params.transl - wrist + sideways))


@pytest.mark.parametrize("hand", [RIGHT, LEFT])
@pytest.mark.slow
def test_the_hand_in_front_is_the_reference(hand):
    """Against the scores, which say the other one."""
    prediction = _in_front(hand)
    score = jnp.where(jnp.arange(2) == hand, 0.5, 0.9)
    found = area(fakes.hand_model(), prediction)
    assert found[hand] > 1.3 * found[1 - hand] > 0
    assert gate.choose_reference(score, visible=found) == hand
    assert gate.choose_reference(score) == 1 - hand


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_any_leading_batch(batch):
    found = area(fakes.hand_model(), _in_front(LEFT, batch=batch))
    assert found.shape == (*batch, 2)
    wanted = area(fakes.hand_model(), _in_front(LEFT))
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=6)


def test_hands_beside_each_other_show_what_each_shows_alone():
    prediction = _in_front(RIGHT)
    vertices = prediction.geometry.vertices.at[LEFT, :, 0].add(0.12)
    vertices = vertices.at[LEFT, :, 2].add(-0.08)
    apart = prediction._replace(
        geometry=prediction.geometry._replace(vertices=vertices)
    )
    found = area(fakes.hand_model(), apart)
    np.testing.assert_allclose(found[RIGHT], found[LEFT], rtol=0.25)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -1.0])
def test_a_hand_that_no_camera_sees_has_no_area(bad):
    prediction = _in_front(LEFT)
    vertices = prediction.geometry.vertices.at[LEFT, 5, 2].set(bad)
    broken = prediction._replace(
        geometry=prediction.geometry._replace(vertices=vertices)
    )
    found = area(fakes.hand_model(), broken)
    assert found[LEFT] == 0 and found[RIGHT] > 0


@pytest.mark.slow
def test_a_segmentation_counts_where_there_is_one():
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[:, :3], labels[:2, 6:, :4] = 1, 2
    present = np.array([True, False, True])
    for segmentation in (labels, jnp.asarray(labels)):
        found = labelled_area(segmentation, present)
        assert isinstance(found, np.ndarray) == isinstance(segmentation, np.ndarray)
        np.testing.assert_array_equal(found, [[24, 8], [0, 0], [24, 0]])
    prediction, model = _in_front(LEFT, batch=(3,)), fakes.hand_model()
    merged = visible_area(model, prediction, labelled_area(labels, present))
    np.testing.assert_array_equal(merged[::2], [[24, 8], [24, 0]])
    np.testing.assert_array_equal(merged[1], drawn_area(model, prediction)[1])


@pytest.mark.slow
def test_no_gradient_comes_of_an_area():
    prediction = _in_front(LEFT)

    def total(depth):
        vertices = prediction.geometry.vertices.at[..., 2].add(depth)
        moved = prediction._replace(
            geometry=prediction.geometry._replace(vertices=vertices)
        )
        return jnp.sum(visibility.drawn_area(fakes.hand_model(), moved))

    assert jax.grad(total)(0.01) == 0.0
