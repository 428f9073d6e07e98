import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.diffusion import fakes
from tests.programs import forward
from twohand_jax.diffusion.ddim import DdimConfig
from twohand_jax.diffusion.gate import GateConfig, Status
from twohand_jax.diffusion.guidance import EnergyConfig, GuidanceConfig
from twohand_jax.diffusion.refine import (
    RefineConfig,
    gradient_descent,
    refine,
    refine_selected,
)
from twohand_jax.errors import InputError
from twohand_jax.types import LEFT, RIGHT

QUICK = RefineConfig(
    ddim=DdimConfig(steps=8),
    guidance=GuidanceConfig(limit=0.3),
    energy=EnergyConfig(collision=1e4),
    evidence=None,
)
KEY = jax.random.key(0)
_refine = jax.jit(refine, static_argnames="config")
_descend = jax.jit(gradient_descent, static_argnames="config")


def _same(first, second):
    """Bit for bit, NaN included."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def _sample(tree, number):
    return jax.tree.map(lambda leaf: leaf[number], tree)


def _set(prediction, number, hand, value):
    """The prediction with all of one sample's hand set to a value."""

    def put(leaf):
        return leaf.at[number, hand].set(value)

    return prediction._replace(
        mano=jax.tree.map(put, prediction.mano),
        geometry=jax.tree.map(put, prediction.geometry),
    )


@functools.cache
def _mixed():
    """Eight estimates: 0-2 to refine, the others not, each for its own reason."""
    params = fakes.clasped(8)
    apart = params.transl.at[3, LEFT, 1].add(0.3)
    prediction = fakes.estimate(params._replace(transl=apart))
    prediction = _set(prediction, 4, RIGHT, jnp.nan)
    prediction = _set(prediction, 5, LEFT, 1e30)
    prediction = prediction._replace(
        score=prediction.score.at[6, LEFT].set(0.0).at[2].set(jnp.array([0.8, 0.1])),
        box=prediction.box.at[7, LEFT].add(1000.0),
    )
    return prediction


EXPECTED = [Status.REFINED] * 3 + [
    Status.NOT_NEEDED,
    Status.NOT_FINITE,
    Status.TOO_LARGE,
    Status.HAND_MISSING,
    Status.NOT_NEEDED,
]


@functools.cache
def _result(method="refine"):
    given = (fakes.prior(), fakes.hand_model(), _mixed())
    if method == "descend":
        return _descend(*given, config=QUICK)
    return _refine(*given, KEY, config=QUICK)


@pytest.mark.parametrize("method", ["refine", "descend"])
@pytest.mark.slow
def test_a_batch_mixes_those_that_need_it_with_those_that_do_not(method):
    result = _result(method)
    np.testing.assert_array_equal(result.status, EXPECTED)
    for number in range(3, 8):
        assert _same(_sample(result.prediction, number), _sample(_mixed(), number))
    for number in range(3):
        assert not _same(_sample(result.prediction, number), _sample(_mixed(), number))


@pytest.mark.parametrize("method", ["refine", "descend"])
def test_penetration_shrinks(method):
    result = _result(method)
    before, after = result.depth_before[:3], result.depth_after[:3]
    assert np.all(np.asarray(before) > 2e-3)
    assert np.all(np.asarray(after) < 0.5 * np.asarray(before))
    np.testing.assert_array_equal(result.depth_before[3:], result.depth_after[3:])


def test_the_reference_hand_stays_bit_for_bit():
    result = _result()
    np.testing.assert_array_equal(result.reference[:3], [LEFT, LEFT, RIGHT])
    parts = ("mano", "geometry", "score", "box")
    for number in range(3):
        hand = int(result.reference[number])
        for part in parts:
            found = jax.tree.map(
                lambda leaf, n=number, h=hand: leaf[n, h],
                (getattr(result.prediction, part), getattr(_mixed(), part)),
            )
            assert _same(*found)


def test_parameters_geometry_and_relative_translation_agree():
    refined = _sample(_result().prediction, slice(0, 3))
    posed = forward(fakes.hand_model(), refined.mano)
    np.testing.assert_allclose(refined.geometry.vertices, posed.vertices, atol=1e-6)
    wrists = refined.geometry.joints[:, :, 0]
    np.testing.assert_array_equal(refined.rel_trans, wrists[:, LEFT] - wrists[:, RIGHT])


@pytest.mark.slow
def test_nothing_is_changed_without_guidance():
    """Inversion, sampling, and the way to the prior frame and back lose nothing."""
    config = dataclasses.replace(QUICK, energy=EnergyConfig(collision=0.0))
    result = _refine(fakes.prior(), fakes.hand_model(), _mixed(), KEY, config=config)
    found = result.prediction.geometry.vertices[:3]
    np.testing.assert_allclose(found, _mixed().geometry.vertices[:3], atol=5e-6)


@pytest.mark.slow
def test_a_sample_alone_and_in_a_batch():
    alone = _refine(
        fakes.prior(), fakes.hand_model(), _sample(_mixed(), 1), KEY, config=QUICK
    )
    assert alone.status.shape == ()
    np.testing.assert_allclose(
        alone.prediction.geometry.vertices,
        _result().prediction.geometry.vertices[1],
        atol=2e-4,
    )


@pytest.mark.slow
def test_leading_batch_axes_are_kept():
    prediction = jax.tree.map(lambda x: x.reshape(2, 1, 4, *x.shape[1:]), _mixed())
    result = jax.eval_shape(
        functools.partial(refine, config=QUICK),
        fakes.prior(),
        fakes.hand_model(),
        prediction,
        KEY,
    )
    assert result.status.shape == result.reference.shape == (2, 1, 4)
    for found, wanted in zip(
        jax.tree.leaves(result.prediction), jax.tree.leaves(prediction), strict=True
    ):
        assert found.shape == wanted.shape


def _constant(value, x, t, condition):
    return jnp.full_like(x, value)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [jnp.nan, jnp.inf, 0.0])
def test_a_prior_that_fails_changes_nothing(answer):
    """It gives no hands, or (for 0) hands deeper in each other than before."""
    shallow = fakes.estimate(fakes.clasped(2, gap=0.04))
    config = dataclasses.replace(
        QUICK, energy=EnergyConfig(collision=0.0), residual=0.0
    )
    prior = fakes.prior(Partial(_constant, jnp.float32(answer)))
    result = _refine(prior, fakes.hand_model(), shallow, KEY, config=config)
    np.testing.assert_array_equal(result.status, [Status.FAILED] * 2)
    assert _same(result.prediction, shallow)
    np.testing.assert_array_equal(result.depth_after, result.depth_before)


@pytest.mark.slow
def test_exactly_coincident_hands_come_back_finite():
    """Every vertex on its twin: no direction is better than another."""
    pair = fakes.estimate(fakes.clasped(2))
    vertices = pair.geometry.vertices
    vertices = vertices.at[:, LEFT].set(vertices[:, RIGHT])
    joints = pair.geometry.joints.at[:, LEFT].set(pair.geometry.joints[:, RIGHT])
    params = jax.tree.map(lambda x: x.at[:, LEFT].set(x[:, RIGHT]), pair.mano)
    same = pair._replace(
        mano=params, geometry=pair.geometry._replace(vertices=vertices, joints=joints)
    )
    config = dataclasses.replace(QUICK, gate=GateConfig(when="always"))
    for prediction in (same, fakes.estimate(params)):
        result = _refine(
            fakes.prior(), fakes.hand_model(), prediction, KEY, config=config
        )
        assert set(np.asarray(result.status).tolist()) <= {
            Status.REFINED,
            Status.FAILED,
        }
        leaves = jax.tree.leaves(result)
        assert all(np.all(np.isfinite(leaf)) for leaf in leaves)


@pytest.mark.slow
def test_seen_keypoints_and_areas_choose_the_hand_that_stays():
    visible = jnp.ones((8, 2)).at[0, RIGHT].set(2.0)
    keypoints = jnp.zeros((8, 2, 21, 3)).at[1, RIGHT, :, 2].set(0.5)
    keypoints = keypoints.at[1, LEFT, 3, 0].set(jnp.nan)
    result = _refine(
        fakes.prior(),
        fakes.hand_model(),
        _mixed(),
        KEY,
        config=QUICK,
        keypoints=keypoints,
        visible=visible,
    )
    np.testing.assert_array_equal(result.reference[:3], [RIGHT, RIGHT, RIGHT])
    assert np.all(np.asarray(result.status[:3]) == Status.REFINED)


def test_a_prior_of_another_hand_model_is_refused():
    prior = dataclasses.replace(fakes.prior(), hand_model="mano")
    for method in (refine, refine_selected):
        with pytest.raises(InputError, match="'mano'.*'open-hand-1'"):
            method(prior, fakes.hand_model(), _mixed(), KEY, config=QUICK)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_shares_lie_between_0_and_1(share):
    with pytest.raises(InputError, match=f"residual is {share}"):
        RefineConfig(residual=share)


@pytest.mark.slow
def test_selective_refinement_is_the_same():
    """Three samples in chunks of two: one full chunk and one padded to one."""
    result = refine_selected(
        fakes.prior(), fakes.hand_model(), _mixed(), KEY, config=QUICK, chunk=2
    )
    np.testing.assert_array_equal(result.status, EXPECTED)
    for number in range(3, 8):
        assert _same(_sample(result.prediction, number), _sample(_mixed(), number))
    np.testing.assert_allclose(
        result.prediction.geometry.vertices[:3],
        _result().prediction.geometry.vertices[:3],
        atol=2e-4,
    )
    np.testing.assert_allclose(result.depth_after, _result().depth_after, atol=2e-4)
    np.testing.assert_array_equal(result.reference, _result().reference)


def test_empty_chunks_are_refused():
    with pytest.raises(InputError, match="Chunks of 0"):
        refine_selected(
            fakes.prior(), fakes.hand_model(), _mixed(), KEY, config=QUICK, chunk=0
        )
