"""Other joint orders, sides and axes are recognised, and bad models are not accused."""

import numpy as np
import pytest

from tests.data import scenes
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.evaluation.outside import joint_orders
from twohand_jax.evaluation.outside.joint_orders import ORDERS

SEEDS = range(4)


@pytest.fixture(scope="module")
def labels():
    """Joints of 16 pictures of two hands."""
    model = mano.load()
    parts = [scenes.targets(seed, (4,), model).joints_3d for seed in SEEDS]
    return np.concatenate([np.asarray(part) for part in parts])


@pytest.fixture(scope="module")
def judge(labels):
    """Refuse hands in another order than the labels'."""
    hands = labels.reshape(-1, 21, 3)
    valid = np.ones(hands.shape[:-1], bool)
    return lambda found: joint_orders.check_order("x.npz", found, hands, valid)


def noisy(points, size_m, seed=0):
    rng = np.random.default_rng(seed)
    return points + rng.normal(0, size_m, points.shape).astype(points.dtype)


def stored(hands, name):
    """Canonical joints as a file in another order would hold them."""
    return hands[:, np.argsort(ORDERS[name])]


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("noise_m", [0.0, 0.01])
def test_each_order_is_named_and_its_remedy_works(labels, judge, name, noise_m):
    hands = noisy(labels, noise_m).reshape(-1, 21, 3)
    wrong = stored(hands, name)
    with pytest.raises(InputError) as raised:
        judge(wrong)
    message = str(raised.value)
    assert name in message
    remedy = message[message.index("joints[") :].split(", so")[0]
    order = [int(part) for part in remedy.split("[")[-1].strip("]").split(",")]
    np.testing.assert_array_equal(wrong[:, order], hands)


def test_orders_are_permutations():
    for order in ORDERS.values():
        assert sorted(order) == list(range(21))


@pytest.mark.parametrize("noise_m", [0.0, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_canonical_hands_pass_however_noisy(labels, judge, noise_m, seed):
    hands = noisy(labels, noise_m, seed).reshape(-1, 21, 3)
    judge(hands)
    joint_orders.check_readings(
        "x.npz", hands.reshape(labels.shape), labels, np.ones(labels.shape[:-1], bool)
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_hands_at_all_pass(judge, seed):
    scattered = np.random.default_rng(seed).normal(0, 0.05, (32, 21, 3))
    judge(scattered)
    judge(np.zeros((32, 21, 3)))
    judge(np.broadcast_to(scattered[:1], (32, 21, 3)))


def test_a_mean_hand_for_every_picture_passes(labels, judge):
    mean = np.broadcast_to(labels.mean(axis=(0, 1)), labels.shape)
    judge(mean.reshape(-1, 21, 3))
    valid = np.ones(labels.shape[:-1], bool)
    joint_orders.check_readings("x.npz", mean, labels, valid)


def another_skeleton(labels):
    """Fingers a third longer, from a smaller palm, tips inside the finger."""
    true = labels.reshape(-1, 21, 3)
    hands = true.copy()
    for finger in range(5):
        for joint, factor in zip((1, 2, 3, 4), (0.8, 1.3, 1.3, 0.7), strict=True):
            end = 4 * finger + joint
            start = end - 1 if joint > 1 else 0
            hands[:, end] = hands[:, start] + factor * (true[:, end] - true[:, start])
    return hands


@pytest.mark.parametrize("name", ORDERS)
def test_another_skeleton_is_no_other_order(labels, judge, name):
    hands = noisy(another_skeleton(labels), 0.01)
    judge(hands)
    with pytest.raises(InputError) as raised:
        judge(stored(hands, name))
    assert name in str(raised.value)


@pytest.mark.parametrize("seed", range(5))
def test_orders_that_nobody_uses_are_not_guessed(labels, judge, seed):
    order = np.random.default_rng(seed).permutation(21)
    judge(labels.reshape(-1, 21, 3)[:, order])


def test_few_hands_are_not_judged(labels):
    hands = labels[:1].reshape(-1, 21, 3)
    valid = np.ones((2, 21), bool)
    wrong = stored(hands, next(iter(ORDERS)))
    joint_orders.check_order("x.npz", wrong, hands, valid)


@pytest.mark.parametrize("noise_m", [0.0, 0.01])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, ::-1], r"the left hand first.* joints\[:, ::-1\]"),
        (lambda x: x * [1, -1, -1], r"as in OpenGL.* joints \* \[1, -1, -1\]"),
    ],
)
def test_sides_and_axes_are_recognised(labels, noise_m, change, message):
    wrong = change(noisy(labels, noise_m))
    valid = np.ones(labels.shape[:-1], bool)
    with pytest.raises(InputError, match=message):
        joint_orders.check_readings("x.npz", wrong, labels, valid)
    none = np.zeros_like(valid)
    joint_orders.check_readings("x.npz", wrong, labels, none)


def test_joints_without_labels_are_not_looked_at(labels):
    hands = labels.reshape(-1, 21, 3)
    valid = np.ones(hands.shape[:-1], bool)
    valid[:, [4, 8]] = False
    valid[0] = False
    spoiled = np.where(valid[..., None], hands, np.nan)
    assert np.isnan(joint_orders.proportions(spoiled, valid)).sum() == 2
    joint_orders.check_order("x.npz", hands, spoiled, valid)
    name = "InterHand2.6M's (each finger from tip to base, wrist last)"
    with pytest.raises(InputError, match="InterHand2.6M"):
        joint_orders.check_order("x.npz", stored(hands, name), spoiled, valid)
