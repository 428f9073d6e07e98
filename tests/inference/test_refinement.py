import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import twohand_jax as th
from tests.diffusion import fakes
from tests.inference import priors
from tests.programs import forward
from twohand_jax import mano
from twohand_jax.diffusion.ddim import DdimConfig
from twohand_jax.diffusion.gate import GateConfig, Status
from twohand_jax.diffusion.guidance import EnergyConfig, GuidanceConfig
from twohand_jax.diffusion.refine import RefineConfig
from twohand_jax.errors import InputError
from twohand_jax.inference import predict, refinement
from twohand_jax.inference.prior import Prior
from twohand_jax.inference.refinement import is_needed, refiner
from twohand_jax.types import LEFT, NO_CUES, RIGHT

# The test prior's weights are random: where it looks for a hand means nothing.
QUICK = RefineConfig(
    ddim=DdimConfig(steps=3),
    evidence=None,
    guidance=GuidanceConfig(across=0.3, others=0.01, settle=6, limit=0.1),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return priors.write_prior(tmp_path_factory.mktemp("prior"))


@pytest.fixture(scope="module")
def prior(folder):
    return Prior.load(folder)


def one(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], tree)


@pytest.mark.slow
def test_hands_in_each_other_are_separated_and_the_better_seen_one_stays(prior):
    prediction = fakes.estimate(fakes.clasped(2))
    config = RefineConfig(evidence=None)
    visible = np.array([[1.0, 2.0]] * 2)
    found = refinement.refine(prior, prediction, config=config, visible=visible)
    assert (found.status == Status.REFINED).all()
    assert (found.depth_after < found.depth_before).all()
    kept = np.asarray(prediction.geometry.vertices)[:, 1]
    np.testing.assert_array_equal(found.reference, 1)
    np.testing.assert_array_equal(found.prediction.geometry.vertices[:, 1], kept)


def test_a_leading_shape_is_kept_and_hands_apart_come_back_bit_for_bit(prior):
    params = fakes.hands(2, 3)
    params = params._replace(transl=params.transl.at[..., 1, 0].add(0.4))
    prediction = fakes.estimate(params)
    found = refinement.refine(prior, prediction)
    assert found.status.shape == (2, 3)
    assert (found.status != Status.REFINED).all()
    for given, back in zip(
        jax.tree.leaves(prediction), jax.tree.leaves(found.prediction), strict=True
    ):
        assert np.asarray(given).tobytes() == np.asarray(back).tobytes()


def test_the_prior_is_only_asked_about_overlapping_near_hands():
    near = one(fakes.estimate(fakes.clasped(1)))
    far = near._replace(
        geometry=near.geometry._replace(
            vertices=near.geometry.vertices + np.array([[[0.0]], [[0.5]]])
        )
    )
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    single = near._replace(score=np.array([1.0, 0.0], np.float32))
    assert is_needed(near, "auto") and not is_needed(near, "never")
    assert not is_needed(far, "auto") and is_needed(far, "always")
    assert not is_needed(near._replace(box=boxes), "auto")
    assert not is_needed(single, "auto") and not is_needed(single, "always")


def test_without_a_prior_of_this_hand_auto_does_without_and_always_refuses():
    other = dataclasses.replace(fakes.hand_model(), name="another-hand")
    assert refiner("never", None, other) is None
    assert refiner("auto", None, other) is None
    with pytest.raises(InputError, match="another-hand"):
        refiner("always", None, other)


def test_another_hand_model_is_refused_with_both_names(folder):
    other = dataclasses.replace(fakes.hand_model(), name="another-hand")
    with pytest.raises(InputError, match=r"open-hand-1.*another-hand"):
        refiner("auto", folder, other)


def test_programs_of_other_settings_have_other_keys(folder):
    model = fakes.hand_model()
    keys = {refiner(c, folder, model).key for c in ("auto", "always")}
    assert len(keys) == 2 and GateConfig().when == "auto"


@pytest.mark.slow
def test_a_trace_and_the_host_agree(prior):
    """The first and the last sample need it, the middle one does not."""
    params = fakes.clasped(3)
    params = params._replace(transl=params.transl.at[1, LEFT, 1].add(0.3))
    prediction = fakes.estimate(params)
    host = th.refine(prior, prediction, config=QUICK)
    np.testing.assert_array_equal(
        host.status, [Status.REFINED, Status.NOT_NEEDED, Status.REFINED]
    )
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(host))
    jitted = jax.jit(lambda r, p: th.refine(r, p, config=QUICK))(prior, prediction)
    mapped = jax.vmap(lambda p: th.refine(prior, p, config=QUICK))(prediction)
    for traced in (jitted, mapped):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), traced, host
        )


@pytest.mark.slow
def test_refined_vertices_have_a_gradient_in_the_estimate(prior):
    """Of a smooth energy of one's own, as finite differences say."""
    params, model = fakes.clasped(3), prior.model
    params = params._replace(transl=params.transl.at[1, LEFT, 1].add(0.3))
    visible = np.array([[1.0, 2.0]] * 3)

    @jax.jit
    def depths(transl):
        hands = th.prediction_from_params(model, params._replace(transl=transl))
        refined = th.refine(
            prior, hands, config=TOUCH, energy=palms_meet, visible=visible
        )
        return refined.prediction.geometry.vertices[:, RIGHT, :, 1].mean(-1)

    slope = jax.jit(jax.grad(lambda t: jnp.sum(depths(t))))(params.transl)
    assert np.isfinite(slope).all()
    assert (np.abs(slope[::2]).max((1, 2)) > 1e-2).all()
    step = np.zeros(params.transl.shape, np.float32)
    step[:, RIGHT, 1] = 2e-3
    ahead, behind = depths(params.transl + step), depths(params.transl - step)
    np.testing.assert_allclose(
        slope[:, RIGHT, 1], (ahead - behind) / 4e-3, rtol=0.05, atol=0.02
    )


def palms_meet(model, pair):
    """Squared distance of the middle-finger bases, of any pair."""
    bases = pair.joints[..., 9, :]
    return 50.0 * jnp.sum((bases[..., RIGHT, :] - bases[..., LEFT, :]) ** 2, axis=-1)


TOUCH = dataclasses.replace(
    QUICK,
    energy=EnergyConfig(collision=0.0),
    gate=GateConfig(when="always"),
    guidance=GuidanceConfig(last=1.0, settle=6),
)


@pytest.mark.slow
def test_an_energy_of_ones_own_takes_the_built_in_ones_place_or_joins_it(prior):
    prediction = fakes.estimate(fakes.clasped(2, gap=0.2))
    apart = _base_gap(prediction)
    alone = th.refine(prior, prediction, config=TOUCH, energy=palms_meet)
    assert (alone.status == Status.REFINED).all()
    assert (_base_gap(alone.prediction) < 0.5 * apart).all()
    guarded = dataclasses.replace(TOUCH, energy=QUICK.energy)
    both = th.refine(prior, prediction, config=guarded, energy=palms_meet)
    unlike = both.prediction.geometry.vertices - alone.prediction.geometry.vertices
    assert np.abs(unlike).max() > 1e-4 or (both.status == Status.FAILED).any()
    with pytest.raises(InputError, match="The energy is 3.0"):
        th.refine(prior, prediction, energy=3.0)


@pytest.mark.slow
def test_the_energy_sees_the_reference_as_a_left_hand_at_the_origin(prior):
    """As in sampling, whichever hand is the reference."""
    seen = []

    def look(model, pair):
        jax.debug.callback(lambda joints: seen.append(np.asarray(joints)), pair.joints)
        return jnp.zeros(pair.joints.shape[:-3])

    visible = np.array([[1.0, 2.0], [2.0, 1.0]])
    config = dataclasses.replace(TOUCH, ddim=DdimConfig(steps=1, horizon=1))
    prediction = fakes.estimate(fakes.clasped(2))
    th.refine(prior, prediction, config=config, energy=look, visible=visible)
    jax.effects_barrier()
    np.testing.assert_allclose(seen[0][:, LEFT, 9], 0.0, atol=1e-5)
    gap = np.linalg.norm(seen[0][:, RIGHT, 9], axis=-1)
    np.testing.assert_allclose(gap, _base_gap(prediction), atol=1e-3)


def _base_gap(prediction):
    bases = np.asarray(prediction.geometry.joints)[..., 9, :]
    return np.linalg.norm(bases[..., RIGHT, :] - bases[..., LEFT, :], axis=-1)


@pytest.mark.slow
def test_no_argument_need_be_traced_inside_a_trace(prior):
    """The weight of an energy is, or a constant estimate stands inside of a jit."""
    prediction = fakes.estimate(fakes.clasped(1, gap=0.2))

    def gap(weight):
        def energy(model, pair):
            return weight * palms_meet(model, pair)

        found = th.refine(prior, prediction, config=TOUCH, energy=energy)
        return jnp.sum(found.prediction.geometry.joints)

    assert jax.eval_shape(jax.grad(gap), 0.3).shape == ()
    found = jax.eval_shape(lambda: th.refine(prior, prediction, config=TOUCH))
    assert found.status.shape == (1,)


@pytest.mark.slow
def test_samples_of_the_prior_are_refined_as_they_are(prior):
    walk = th.diffusion.SampleConfig(ddim=DdimConfig(steps=2))
    drawn = prior.sample(jax.random.key(0), 2, config=walk)
    always = dataclasses.replace(QUICK, gate=GateConfig(when="always"))
    found = th.refine(prior, drawn, config=always)
    assert found.status.shape == (2,)
    hands = th.prediction_from_params(prior.model, drawn)
    again = th.refine(prior, hands, config=always)
    np.testing.assert_array_equal(found.status, again.status)
    with pytest.raises(InputError, match="prediction_from_params"):
        th.refine(prior, drawn.transl)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_a_prediction_of_parameters(batch):
    params = fakes.hands(*batch)
    make = jax.jit(th.prediction_from_params)
    found = make(fakes.hand_model(), params)
    posed = forward(fakes.hand_model(), params)
    np.testing.assert_allclose(found.geometry.vertices, posed.vertices, atol=1e-6)
    wrists = posed.joints[..., 0, :]
    np.testing.assert_allclose(
        found.rel_trans, wrists[..., LEFT, :] - wrists[..., RIGHT, :], atol=1e-6
    )
    focal, center = 512 * 2**0.5, 255.5
    pixels = posed.joints[..., :2] / posed.joints[..., 2:] * focal + center
    low, high = pixels.min(-2), pixels.max(-2)
    np.testing.assert_allclose(
        found.box[..., 2:] - found.box[..., :2], 1.2 * (high - low), rtol=1e-4
    )
    np.testing.assert_allclose(
        found.box[..., 2:] + found.box[..., :2], low + high, rtol=1e-4
    )
    assert found.score.shape == (*batch, 2) and (found.score == 1).all()
    assert found.camera.focal.shape == (*batch, 2)


def test_hands_behind_the_camera_have_the_whole_picture_as_box():
    found = th.prediction_from_params(fakes.hand_model(), mano.zeros())
    np.testing.assert_array_equal(found.box, [[0, 0, 511, 511]] * 2)
    camera, box = th.Camera(np.ones(2), np.ones(2)), np.ones((2, 4))
    given = th.prediction_from_params(
        fakes.hand_model(), mano.zeros(), camera, box=box, score=np.zeros(2)
    )
    assert given.box is box and (given.score == 0).all()


@pytest.mark.slow
def test_the_refiner_asks_the_segmentation_which_hand_is_seen(folder):
    asked = refiner("always", folder, fakes.hand_model())
    prediction = one(fakes.estimate(fakes.clasped(1)))
    labels = np.zeros((6, 8), np.uint8)
    labels[0], labels[1:3] = 1, 2
    points = np.zeros((2, 21, 3), np.float32)
    cues = NO_CUES.put("segmentation", labels)
    assert asked.arguments(prediction, points, cues)[-1].tolist() == [8, 16]
    absent = NO_CUES.put("segmentation", labels * 0, False)
    for unknown in (NO_CUES, absent):
        assert not asked.arguments(prediction, points, unknown)[-1].any()


@pytest.mark.parametrize(
    ("shift", "status", "kept"),
    [
        (0.09, Status.REFINED, True),
        (0.12, Status.REFINED, False),
        (0.12, Status.NOT_NEEDED, True),
    ],
    ids=["near", "off", "unchanged"],
)
def test_a_hand_that_leaves_its_2d_joints_stays_as_it_was(shift, status, kept):
    """Both hands 200 pixels long; the left one moves by a part of that."""
    rng = np.random.default_rng(0)
    joints = np.concatenate(
        [rng.uniform(-0.1, 0.1, (2, 21, 2)), np.ones((2, 21, 1))], 2
    )
    joints[:, :2, :2] = [[-0.1, -0.1], [0.1, 0.1]]
    camera = predict.EMPTY.camera._replace(focal=np.full(2, 1000.0, np.float32))
    geometry = predict.EMPTY.geometry._replace(joints=joints)
    before = predict.EMPTY._replace(camera=camera, geometry=geometry)
    keypoints = np.concatenate([1000 * joints[..., :2], np.ones((2, 21, 1))], axis=2)
    moved = joints + np.array([[[0, 0, 0]], [[0.2 * shift, 0, 0]]])
    after = before._replace(geometry=geometry._replace(joints=moved))
    refined = predict.NOT_REFINED._replace(
        prediction=after, status=np.int32(status), depth_before=0.02
    )
    found = refinement.kept_on_joints(refined, before, keypoints)
    if kept:
        assert found is refined
        return
    assert found.status == Status.LEFT_JOINTS
    assert found.prediction is before
    assert found.depth_after == refined.depth_before
    unseen = keypoints * [[[1, 1, 1]], [[1, 1, 0]]]
    assert refinement.kept_on_joints(refined, before, unseen) is refined
