import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.collision.shapes import sphere
from twohand_jax import metrics
from twohand_jax.collision import measure
from twohand_jax.types import Mean


def hands(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, shape)


def f32(*arrays: np.ndarray) -> list[jax.Array]:
    return [
        jnp.asarray(a, jnp.float32 if a.dtype == np.float64 else a.dtype)
        for a in arrays
    ]


@pytest.fixture
def pair():
    """Joints of five samples, estimate and truth, and which of them are valid."""
    truth = hands(0, 5, 2, 21, 3) + [0.1, -0.2, 0.6]
    estimate = truth + hands(1, 5, 2, 21, 3) * 0.2
    valid = np.random.default_rng(2).random((5, 2, 21)) > 0.2
    return estimate, truth, valid


def twin_mpjpe(estimate, truth, valid, root, axes) -> list[float]:
    errors = []
    for e, t, v in zip(
        estimate.reshape(-1, 21, 3),
        truth.reshape(-1, 21, 3),
        valid.reshape(-1, 21),
        strict=True,
    ):
        if not v[root]:
            continue
        for joint in np.flatnonzero(v):
            gap = (e[joint] - e[root]) - (t[joint] - t[root])
            errors.append(1000 * np.sqrt(sum(gap[a] ** 2 for a in axes)))
    return errors


@pytest.mark.parametrize("root", [0, 9])
@pytest.mark.parametrize(("axes", "indices"), metrics.AXES.items())
def test_mpjpe(pair, root, axes, indices):
    expected = twin_mpjpe(*pair, root, indices)
    got = metrics.mpjpe(*f32(*pair), root=root, axes=axes)
    assert got.count == len(expected)
    np.testing.assert_allclose(got.value(), np.mean(expected), rtol=1e-5)


def test_mpjpe_per_joint_adds_up_to_the_whole(pair):
    each = metrics.mpjpe(*f32(*pair), keep=1)
    whole = metrics.mpjpe(*f32(*pair))
    assert each.total.shape == (21,)
    np.testing.assert_allclose(each.total.sum(), whole.total, rtol=1e-5)
    np.testing.assert_allclose(each.count.sum(), whole.count)


@pytest.mark.parametrize("axes", ["xyz", "xy", "z"])
def test_mpvpe_and_rrve(axes):
    truth, noise = hands(3, 4, 2, 50, 3), hands(4, 4, 2, 50, 3)
    estimate = truth + noise
    roots, true_roots = hands(5, 4, 2, 3), hands(6, 4, 2, 3)
    valid = np.array([[True, True], [True, False], [False, True], [True, True]])
    args = f32(estimate, truth, roots, true_roots, valid)
    gap = (estimate - roots[:, :, None]) - (truth - true_roots[:, :, None])
    gap = gap[..., list(metrics.AXES[axes])]
    expected = 1000 * np.linalg.norm(gap, axis=-1)[valid].mean()
    got = metrics.mpvpe(*args, axes=axes)
    np.testing.assert_allclose(got.value(), expected, rtol=1e-5)
    gap = (estimate - roots[:, :1, None]) - (truth - true_roots[:, :1, None])
    expected = 1000 * np.linalg.norm(gap, axis=-1)[[0, 3]].mean()
    np.testing.assert_allclose(metrics.rrve(*args).value(), expected, rtol=1e-5)


def test_mrrpe():
    estimate, truth = hands(7, 6, 3), hands(8, 6, 3)
    valid = np.array([1, 0, 1, 1, 0, 1], bool)
    expected = 1000 * np.linalg.norm(estimate - truth, axis=-1)[valid].mean()
    got = metrics.mrrpe(*f32(estimate, truth, valid))
    np.testing.assert_allclose(got.value(), expected, rtol=1e-5)


def twin_align(source, target, reflection: bool) -> np.ndarray:
    """Orthogonal Procrustes with scale, by the determinant of the polar factor."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    signs = np.ones(3)
    if not reflection and np.linalg.det(u @ vt) < 0:
        signs[2] = -1
    R = (u * signs) @ vt
    return (s * signs).sum() / (a**2).sum() * a @ R + target.mean(0)


@pytest.mark.parametrize("reflection", [False, True])
def test_pa_mpjpe(pair, reflection):
    estimate, truth, valid = pair
    estimate = estimate * [1.0, 1.0, -1.0] if reflection else estimate
    errors = []
    for e, t, v in zip(
        estimate.reshape(-1, 21, 3),
        truth.reshape(-1, 21, 3),
        valid.reshape(-1, 21),
        strict=True,
    ):
        aligned = twin_align(e[v], t[v], reflection)
        errors.extend(1000 * np.linalg.norm(aligned - t[v], axis=-1))
    got = metrics.pa_mpjpe(*f32(estimate, truth, valid), allow_reflection=reflection)
    np.testing.assert_allclose(got.value(), np.mean(errors), rtol=1e-4)


def test_pa_errors_do_not_feel_similarities(pair, variant):
    pa_mpjpe = variant(metrics.pa_mpjpe)
    estimate, truth, valid = f32(*pair)
    c, s = np.cos(1.1), np.sin(1.1)
    R = jnp.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    moved = 1.7 * estimate @ R.T + jnp.array([0.1, 0.3, -0.2])
    np.testing.assert_allclose(
        pa_mpjpe(moved, truth, valid).total,
        pa_mpjpe(estimate, truth, valid).total,
        rtol=1e-3,
    )
    vertices = jnp.broadcast_to(valid[..., 0], (5, 2))
    assert metrics.pa_mpvpe(moved, estimate, vertices).value() < 1e-2


@pytest.mark.parametrize("threshold", [5.0, 15.0])
def test_f_score(threshold):
    estimate = hands(9, 3, 60, 3)
    truth = estimate + hands(10, 3, 60, 3) * 0.2
    valid = np.array([True, False, True])
    scores = []
    for e, t in zip(estimate[valid], truth[valid], strict=True):
        gaps = 1000 * np.linalg.norm(e[:, None] - t[None], axis=-1)
        precision = (gaps.min(1) < threshold).mean()
        recall = (gaps.min(0) < threshold).mean()
        scores.append(2 * precision * recall / (precision + recall))
    got = metrics.f_score(*f32(estimate, truth, valid), threshold_mm=threshold)
    np.testing.assert_allclose(got.value(), np.mean(scores), rtol=1e-5)


def test_f_score_of_strangers_is_zero():
    apart = f32(hands(9, 1, 30, 3), hands(9, 1, 30, 3) + 9, np.array([True]))
    assert metrics.f_score(*apart, threshold_mm=5.0).value() == 0


def test_auc(pair):
    estimate, truth, valid = pair
    errors = 1000 * np.linalg.norm(estimate - truth, axis=-1)
    grid = np.linspace(0, 50, 100)
    share = [(errors[valid] <= limit).mean() for limit in grid]
    expected = np.trapezoid(share, grid) / 50
    curve = metrics.pck(*f32(np.where(valid, errors, np.nan), valid))
    np.testing.assert_array_equal(curve.count, np.full(100, valid.sum()))
    np.testing.assert_allclose(metrics.auc(curve), expected, rtol=1e-4)


def test_acceleration_error():
    truth = np.cumsum(hands(11, 8, 2, 21, 3), axis=0)
    estimate = truth + 0.1 * hands(12, 8, 2, 21, 3)
    valid = np.random.default_rng(13).random((8, 2, 21)) > 0.1
    errors = []
    for frame in range(1, 7):
        gap = (
            np.diff(estimate, 2, axis=0)[frame - 1]
            - np.diff(truth, 2, axis=0)[frame - 1]
        )
        known = valid[frame - 1] & valid[frame] & valid[frame + 1]
        errors.extend(1000 * np.linalg.norm(gap, axis=-1)[known])
    got = metrics.acceleration_error(*f32(estimate, truth, valid))
    assert got.count == len(errors)
    np.testing.assert_allclose(got.value(), np.mean(errors), rtol=1e-4)


def test_invalid_values_are_not_looked_at(pair):
    estimate, truth, valid = pair
    spoiled = np.where(valid[..., None], estimate, np.nan)
    for metric in (metrics.mpjpe, metrics.pa_mpjpe):
        np.testing.assert_allclose(
            metric(*f32(spoiled, truth, valid)).total,
            metric(*f32(estimate, truth, valid)).total,
            rtol=1e-6,
        )


def test_means_add_up_over_ragged_batches(pair):
    estimate, truth, valid = f32(*pair)
    whole = metrics.mpjpe(estimate, truth, valid)
    parts = [
        metrics.mpjpe(estimate[part], truth[part], valid[part])
        for part in (slice(0, 3), slice(3, 5))
    ]
    total = parts[0] + parts[1]
    assert isinstance(total, Mean)
    np.testing.assert_allclose(total.total, whole.total, rtol=1e-6)
    np.testing.assert_allclose(total.count, whole.count)


@pytest.mark.slow
def test_any_leading_batch(pair):
    estimate, truth, valid = f32(*pair)
    expected = metrics.mpjpe(estimate[:4], truth[:4], valid[:4])
    shaped = [a[:4].reshape(2, 1, 2, *a.shape[1:]) for a in (estimate, truth, valid)]
    got = metrics.mpjpe(*shaped)
    np.testing.assert_allclose(got.total, expected.total, rtol=1e-6)
    single = metrics.pa_mpjpe(estimate[0], truth[0], valid[0])
    assert single.total.shape == ()


def test_nothing_counted_is_nan_and_not_zero(pair):
    estimate, truth, valid = f32(*pair)
    got = metrics.mpjpe(estimate, truth, jnp.zeros_like(valid))
    assert got.count == 0 and np.isnan(got.value())


def test_the_value_of_host_sums_stays_in_double_precision():
    means = Mean(np.array([1.0, 0.0]), np.array([3, 0]))
    value = means.value()
    assert isinstance(value, np.ndarray) and value.dtype == np.float64
    np.testing.assert_array_equal(value, [1 / 3, np.nan])
    np.testing.assert_array_equal(means.value(empty=0.0), [1 / 3, 0.0])


def test_the_value_of_an_empty_mean_has_gradient_zero():
    def compute(x: jax.Array) -> jax.Array:
        return Mean(x, jnp.array([2.0, 0.0])).value(empty=0.0).sum()

    slope = jax.jit(jax.grad(compute))(jnp.array([4.0, 0.0]))
    np.testing.assert_array_equal(slope, [0.5, 0.0])


def test_mean_of_means_weighs_every_joint_alike_and_skips_those_never_seen(pair):
    estimate, truth, valid = pair
    valid = valid & (np.arange(21) != 4)
    gaps = 1000 * np.linalg.norm(estimate - truth, axis=-1)
    each = [gaps[:, h, j][valid[:, h, j]] for h in range(2) for j in range(21)]
    expected = np.mean([np.mean(errors) for errors in each if len(errors)])
    got = metrics.mpjpe(*f32(estimate, truth, valid), root=None, keep=2)
    assert got.total.shape == (2, 21)
    np.testing.assert_allclose(metrics.mean_of_means(got), expected, rtol=1e-5)
    empty = Mean(jnp.zeros(3), jnp.zeros(3))
    assert np.isnan(metrics.mean_of_means(empty))


def test_scaled_to_bone_gives_the_bone_its_true_length(pair):
    estimate, truth, _ = f32(*pair)
    bones = estimate[..., 9, :], truth[..., 9, :]
    scaled = metrics.scaled_to_bone(estimate, *bones)
    np.testing.assert_allclose(
        jnp.linalg.norm(scaled[..., 9, :], axis=-1),
        jnp.linalg.norm(truth[..., 9, :], axis=-1),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        scaled / jnp.linalg.norm(scaled, axis=(-2, -1), keepdims=True),
        estimate / jnp.linalg.norm(estimate, axis=(-2, -1), keepdims=True),
        atol=1e-6,
    )
    still = metrics.scaled_to_bone(estimate, 0 * bones[0], bones[1])
    np.testing.assert_array_equal(still, estimate)


def test_box_iou():
    boxes = jnp.array([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1]])
    others = jnp.array([[1.0, 0, 3, 2], [0, 0, 2, 2], [5, 5, 6, 6]])
    got = metrics.box_iou(boxes, others, jnp.array([True, True, False]))
    np.testing.assert_allclose(got.value(), (1 / 3 + 1) / 2, rtol=1e-6)


def test_contact_agrees_with_the_exact_figures():
    ball, faces = sphere(8, 0.03, (0.0, 0.0, 0.6))
    vertices = np.stack([[ball, ball + [x, 0.0, 0.0]] for x in (0.05, 0.061, 0.2, 0.0)])
    faces = np.stack([faces] * 2).astype(np.int32)
    vertices[:, 1] += [0.0, 0.003, 0.002]
    valid = np.array([True, True, True, False])
    exact = measure(vertices[:3, 0], vertices[:3, 1], faces[0], faces[1], volume=False)
    assert (exact.contact_ratio > 0).tolist() == [True, True, False]
    assert exact.max_depth_mm[0] > 5
    vertices[3] = np.nan
    found = metrics.contact(*f32(vertices, faces, valid))
    for name, values in (
        ("depth", exact.max_depth_mm),
        ("contact", exact.contact_ratio),
    ):
        assert found[name].count == 3
        np.testing.assert_allclose(
            found[name].value(), values.mean(), rtol=1e-4, atol=1e-6
        )
