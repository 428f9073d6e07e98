import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from tests.mano import fake_mano
from twohand_jax import losses, mano
from twohand_jax.crops.augment import CropConfig, prepare
from twohand_jax.geometry import rotations
from twohand_jax.mano import loading
from twohand_jax.mano.joint_set import INTERWILD, KINDS
from twohand_jax.types import RIGHT, HandGeometry, Mean, Output

CROP = CropConfig(crop_size=64)
FROM_CROP = {"crop_view": True, "fingers_up": True}
WEIGHTS = losses.LossConfig()
TERMS = (
    "pose",
    "shape",
    "joint_3d",
    "mesh",
    "joint_25d",
    "mano_25d",
    "projection",
    "rel_trans",
)


@jax.jit
def compute(output, model, inputs, targets, weight):
    return losses.compute(
        output, model, inputs, targets, weight, config=WEIGHTS, crop=CROP
    )


gradient = jax.jit(jax.grad(lambda *args: compute(*args)[0]))


def true_output(model, targets) -> Output:
    """What a perfect network would say; the camera head is only roughly right."""
    pose = rotations.axis_angle_to_matrix(
        targets.mano.hand_pose + model.pose_mean[RIGHT]
    )
    orient = rotations.axis_angle_to_matrix(targets.mano.global_orient)
    depth = targets.joints_3d[..., 2] - targets.joints_3d[..., :1, 2]
    cells = jnp.concatenate(
        [
            losses.to_cells(targets.joints_2d, crop=CROP),
            losses.depth_to_cells(depth, crop=CROP)[..., None],
        ],
        axis=-1,
    )
    return Output(
        joints_25d=cells,
        global_orient_6d=rotations.matrix_to_rotation_6d(orient),
        hand_pose_6d=rotations.matrix_to_rotation_6d(pose),
        betas=targets.mano.betas,
        camera=jnp.broadcast_to(jnp.array([0.0, 0.0, 6.0]), (*depth.shape[:-1], 3)),
        rel_trans=targets.rel_trans,
    )


def wrong_output(model, targets) -> Output:
    rng = np.random.default_rng(0)
    true = true_output(model, targets)
    return jax.tree.map(
        lambda x: x + jnp.asarray(rng.normal(0, 0.1, x.shape), jnp.float32), true
    )


@pytest.fixture(scope="module")
def setup():
    model = mano.load()
    scene = scenes.batch(0, (3,), model)
    inputs, targets = jax.jit(lambda b: prepare(b, crop=CROP))(scene)
    inputs = inputs._replace(image=None, cues={})  # losses look at no picture
    return model, inputs, targets, scene.weight


def values(terms: dict[str, Mean]) -> dict[str, float]:
    return {name: float(term.value(empty=0.0)) for name, term in terms.items()}


@pytest.mark.slow
def test_the_truth_costs_nothing(setup):
    model, inputs, targets, weight = setup
    _, terms = compute(true_output(model, targets), model, inputs, targets, weight)
    assert set(terms) == set(TERMS)
    found = values(terms)
    for name in set(TERMS) - {"projection"}:
        assert found[name] < 2e-4, (name, found[name])
        assert terms[name].count > 0


@pytest.mark.parametrize(
    "seen", [{"crop_view": True}, {"fingers_up": True}, FROM_CROP], ids=str
)
@pytest.mark.slow
def test_the_truth_costs_nothing_as_the_crop_sees_it(setup, seen):
    model = setup[0]
    crop = CropConfig(crop_size=64, **seen)
    inputs, targets = jax.jit(lambda b: prepare(b, crop=crop))(
        scenes.batch(0, (3,), model)
    )
    output, weight = true_output(model, targets), setup[3]
    _, terms = jax.jit(lambda *a: losses.compute(*a, config=WEIGHTS, crop=crop))(
        output, model, inputs, targets, weight
    )
    found = values(terms)
    for name in set(TERMS) - {"projection"}:
        assert found[name] < 2e-4, (name, found[name])


@pytest.mark.slow
def test_the_truth_costs_nothing_relative_to_the_mean_pose(setup):
    """InterWild's rotations of fingers, which are added to the mean pose."""
    right = fake_mano.corrected_fields(RIGHT)
    model = fake_mano.model_of(right, loading.mirrored(right))
    crop = dataclasses.replace(CROP, flat_hand_mean=False, center="half")
    inputs, targets = jax.jit(lambda b: prepare(b, crop=crop))(
        scenes.batch(0, (3,), model)
    )
    run = jax.jit(
        lambda *a, crop: losses.compute(*a, config=WEIGHTS, crop=crop),
        static_argnames="crop",
    )
    output = true_output(model, targets)
    relative = rotations.axis_angle_to_matrix(targets.mano.hand_pose)
    output = output._replace(hand_pose_6d=rotations.matrix_to_rotation_6d(relative))
    _, terms = run(output, model, inputs, targets, setup[3], crop=crop)
    _, absolute = run(
        output,
        model,
        inputs,
        targets,
        setup[3],
        crop=dataclasses.replace(crop, flat_hand_mean=True),
    )
    for name in ("pose", "mesh"):
        assert values(terms)[name] < 2e-4, name
        assert values(absolute)[name] > 1e-3, name


def test_every_term_answers_to_its_own_error(setup):
    model, inputs, targets, weight = setup
    _, terms = compute(wrong_output(model, targets), model, inputs, targets, weight)
    for name, value in values(terms).items():
        assert value > 1e-3, name


def test_terms_are_plain_masked_means(setup):
    """A float64 twin of the terms that need no hand model."""
    model, inputs, targets, weight = setup
    rng = np.random.default_rng(1)
    targets = targets._replace(
        mano_valid=jnp.array([[True, False], [True, True], [False, False]]),
        rel_trans_valid=jnp.array([True, False, True]),
        joints_2d_valid=jnp.asarray(rng.random((3, 2, 21)) > 0.3),
        joints_3d_valid=jnp.asarray(rng.random((3, 2, 21)) > 0.3),
    )
    weight = jnp.array([1.0, 1.0, 0.0])
    output = wrong_output(model, targets)
    _, terms = compute(output, model, inputs, targets, weight)
    found = values(terms)
    sample = np.array([True, True, False])
    hands = np.asarray(targets.mano_valid) & sample[:, None]
    gap = np.abs(np.float64(output.betas) - np.float64(targets.mano.betas))
    assert np.isclose(found["shape"], gap[hands].mean(), rtol=1e-5)
    gap = np.abs(np.float64(output.rel_trans) - np.float64(targets.rel_trans))
    assert np.isclose(found["rel_trans"], gap[:1].mean(), rtol=1e-5)
    xy = np.float64(targets.joints_2d) * 8 / 64
    joints = np.float64(targets.joints_3d)
    z = ((joints[..., 2] - joints[..., :1, 2]) / 0.15 + 1) / 2 * 8
    target = np.concatenate([xy, z[..., None]], axis=-1)
    ok_2d = np.asarray(targets.joints_2d_valid) & sample[:, None, None]
    ok_3d = np.asarray(targets.joints_3d_valid) & sample[:, None, None]
    ok_3d = ok_3d & ok_3d[..., :1]
    flat = ((xy >= 0) & (xy < 8)).all(axis=-1)
    inside = flat & (((z >= 0) & (z < 8)) | ~ok_3d)
    mask = np.stack([ok_2d, ok_2d, ok_3d], axis=-1) & inside[..., None]
    gap = np.abs(np.float64(output.joints_25d) - target)
    assert np.isclose(found["joint_25d"], gap[mask].mean(), rtol=1e-4)


def test_total_is_the_weighted_sum(setup):
    model, inputs, targets, weight = setup
    total, terms = compute(wrong_output(model, targets), model, inputs, targets, weight)
    found = values(terms)
    expected = sum(getattr(WEIGHTS, name) * found[name] for name in TERMS)
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_a_mean_of_all_elements_counts_those_without_labels_as_zero(setup):
    """InterWild's means: errors without a label are 0 and divide all the same."""
    model, inputs, targets, weight = setup
    targets = targets._replace(
        mano_valid=jnp.array([[True, False], [True, True], [False, False]]),
        rel_trans_valid=jnp.array([True, False, True]),
    )
    config = losses.LossConfig(mean="all")
    given = wrong_output(model, targets), model, inputs, targets
    weight = jnp.array([1.0, 1.0, 0.0])
    alone = values(compute(*given, weight)[1])
    every = jax.jit(lambda *a: losses.compute(*a, config=config, crop=CROP))
    total, terms = every(*given, weight)
    found = values(terms)
    shares = {"shape": 3 / 4, "pose": 3 / 4, "mesh": 3 / 4, "rel_trans": 1 / 2}
    for name, share in shares.items():
        assert found[name] == pytest.approx(share * alone[name], rel=1e-5), name
    assert total == pytest.approx(
        sum(getattr(config, name) * found[name] for name in TERMS), rel=1e-5
    )


@pytest.mark.slow
def test_regressed_joints_are_those_of_the_surface(setup):
    """Of a hand with pose correctives; labels as MANO's regressor makes them."""
    _, inputs, targets, weight = setup
    hands = [fake_mano.corrected_fields(side) for side in (0, 1)]
    model = fake_mano.model_of(*hands)
    right = dataclasses.replace(
        model, joint_regressor=jnp.asarray(model.joint_regressor)[jnp.array([0, 0])]
    )
    R = rotations.axis_angle_to_matrix(
        jnp.concatenate(
            [
                targets.mano.global_orient[..., None, :],
                targets.mano.hand_pose + model.pose_mean[RIGHT],
            ],
            axis=-2,
        )
    )
    geometry = HandGeometry(
        *mano.forward_side(
            *(model, RIGHT, R[..., 0, :, :], R[..., 1:, :, :]),
            *(targets.mano.betas, targets.mano.transl),
        )
    )
    labelled = targets._replace(joints_3d=INTERWILD.of(right, geometry))
    output = true_output(model, labelled)
    found = {
        kind: values(
            losses.compute(
                *(output, model, inputs, labelled, weight),
                config=losses.LossConfig(joints=kind),
                crop=CROP,
            )[1]
        )["joint_3d"]
        for kind in KINDS
    }
    assert found["regressed"] < 1e-6 < 1e-3 < found["kinematic"]


def test_a_joint_outside_of_the_heat_map_in_any_axis_counts_in_none(setup):
    model, inputs, targets, weight = setup
    output = wrong_output(model, targets)
    before = compute(output, model, inputs, targets, weight)[1]["joint_25d"].count
    far = targets._replace(joints_3d=targets.joints_3d.at[0, 0, 5, 2].add(0.5))
    after = compute(output, model, inputs, far, weight)[1]["joint_25d"].count
    assert before - after == 3


def test_what_is_not_valid_is_not_looked_at(setup):
    model, inputs, targets, weight = setup
    output = wrong_output(model, targets)
    hands = jnp.array([[True, False], [True, True], [False, True]])
    masked = targets._replace(
        mano_valid=hands,
        joints_3d_valid=jnp.broadcast_to(hands[..., None], (3, 2, 21)),
        joints_2d_valid=jnp.broadcast_to(hands[..., None], (3, 2, 21)),
        rel_trans_valid=jnp.array([False, True, False]),
    )

    def spoil(x, keep):
        return jnp.where(
            keep.reshape(*keep.shape, *(1,) * (x.ndim - keep.ndim)), x, jnp.nan
        )

    spoiled = masked._replace(
        joints_2d=spoil(masked.joints_2d, hands),
        joints_3d=spoil(masked.joints_3d, hands),
        mano=jax.tree.map(lambda x: spoil(x, hands), masked.mano),
        rel_trans=spoil(masked.rel_trans, masked.rel_trans_valid),
    )
    expected = compute(output, model, inputs, masked, weight)[0]
    got = compute(output, model, inputs, spoiled, weight)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    slopes = gradient(output, model, inputs, spoiled, weight)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_padding_changes_nothing(setup):
    model, inputs, targets, weight = setup
    output = wrong_output(model, targets)
    expected = compute(output, model, inputs, targets, weight)[0]
    output, inputs, targets = jax.tree.map(
        lambda x: jnp.concatenate([x, x[:1]]), (output, inputs, targets)
    )
    got = compute(output, model, inputs, targets, jnp.append(weight, 0.0))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_batch_without_labels_costs_nothing_and_has_finite_gradients(setup):
    model, inputs, targets, weight = setup
    output = wrong_output(model, targets)
    nothing = jnp.zeros_like(weight)
    assert compute(output, model, inputs, targets, nothing)[0] == 0
    slopes = gradient(output, model, inputs, targets, nothing)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slopes))


def test_bfloat16_estimates_are_judged_in_float32(setup):
    model, inputs, targets, weight = setup
    output = jax.tree.map(lambda x: x.astype(jnp.bfloat16), true_output(model, targets))
    total, _ = compute(output, model, inputs, targets, weight)
    assert total.dtype == jnp.float32 and np.isfinite(total)


def test_mean_of_nothing_is_zero():
    assert Mean(jnp.zeros(()), jnp.zeros(())).value(empty=0.0) == 0


GEOMETRY = {"pose", "shape", "joint_3d", "mesh", "mano_25d", "rel_trans"}
# What a data set lacks: the flags it clears, and the terms that then count nothing.
LACKING = {
    "MANO": (("mano_valid",), {"pose", "shape", "mesh", "mano_25d"}),
    "3D": (("mano_valid", "joints_3d_valid", "rel_trans_valid"), GEOMETRY),
    "2D": (("joints_2d_valid",), {"projection"}),
}


@pytest.mark.parametrize("kind", LACKING)
def test_terms_of_labels_that_a_data_set_lacks_count_nothing(setup, kind):
    model, inputs, targets, weight = setup
    flags, silent = LACKING[kind]
    cleared = {name: jnp.zeros_like(getattr(targets, name)) for name in flags}
    output = wrong_output(model, targets)
    full = compute(output, model, inputs, targets, weight)[1]
    total, terms = compute(output, model, inputs, targets._replace(**cleared), weight)
    for name in silent:
        assert terms[name].total == 0 and terms[name].count == 0, name
    # Heat maps still count where they have labels left; others are as they were.
    for name in set(TERMS) - silent - {"joint_25d"}:
        np.testing.assert_allclose(terms[name], full[name], rtol=1e-6, err_msg=name)
    assert 0 < terms["joint_25d"].count
    expected = sum(getattr(WEIGHTS, name) * v for name, v in values(terms).items())
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_without_the_other_hand_each_term_is_that_of_the_hand_there(setup):
    model, inputs, targets, weight = setup
    output = wrong_output(model, targets)

    def right_only(flags):
        return flags.at[:, 1].set(False)

    single = targets._replace(
        hand_valid=right_only(targets.hand_valid),
        mano_valid=right_only(targets.mano_valid),
        joints_2d_valid=right_only(targets.joints_2d_valid),
        joints_3d_valid=right_only(targets.joints_3d_valid),
        rel_trans_valid=jnp.zeros_like(targets.rel_trans_valid),
    )
    _, terms = compute(output, model, inputs, single, weight)
    assert terms["rel_trans"].count == 0
    # Whatever the estimate of the hand that is not there: nothing changes.
    hands = output._replace(rel_trans=jnp.zeros((3, 2)))
    other = jax.tree.map(lambda x: x.at[:, 1].add(1.0), hands)
    other = other._replace(rel_trans=output.rel_trans)
    _, again = compute(other, model, inputs, single, weight)
    for name in TERMS:
        np.testing.assert_allclose(again[name], terms[name], rtol=1e-6, err_msg=name)


def test_doubtful_labels_weigh_less_and_below_the_threshold_nothing():
    estimate = jnp.arange(8.0).reshape(2, 2, 2)
    target, valid = jnp.zeros((2, 2, 2)), jnp.ones((2, 2), bool)
    sure = jnp.array([[1.0, 0.5], [0.25, 0.0]])
    found = losses.masked_l1(
        estimate, target, valid, jnp.array([True, True]), confidence=sure
    )
    want = (0 + 1) + 0.5 * (2 + 3) + 0.25 * (4 + 5)
    assert float(found.total) == want and float(found.count) == 8
    plain = losses.masked_l1(estimate, target, valid, jnp.array([True, True]))
    ones = losses.masked_l1(
        estimate, target, valid, jnp.array([True, True]), confidence=jnp.ones((2, 2))
    )
    assert float(plain.total) == float(ones.total) == 28.0


@pytest.mark.slow
def test_hands_below_the_threshold_are_as_unlabelled(setup):
    model, inputs, targets, weight = setup
    output = wrong_output(model, targets)
    doubt = jnp.zeros((3, 2)).at[0, 1].set(0.7)

    def cost(targets, least):
        config = dataclasses.replace(WEIGHTS, min_confidence=least)
        total, _ = jax.jit(
            lambda *given: losses.compute(*given, config=config, crop=CROP)
        )(output, model, inputs, targets, weight)
        return float(total)

    doubted = targets._replace(doubt=doubt)
    without = losses.trusted(targets, doubt == 0)
    assert not without.mano_valid[0, 1] and not without.rel_trans_valid[0]
    plain = cost(targets, 0.5)
    assert np.isclose(cost(doubted, 0.5), cost(without, 0.0), rtol=1e-6)
    assert cost(doubted, 0.2) < plain  # it weighs 0.3
    assert cost(targets._replace(doubt=jnp.zeros((3, 2))), 1.0) == plain
