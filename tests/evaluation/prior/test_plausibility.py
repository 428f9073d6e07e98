import numpy as np
import pytest
import scipy.linalg

from twohand_jax.errors import InputError
from twohand_jax.evaluation.prior import plausibility
from twohand_jax.evaluation.prior.plausibility import PlausibilityConfig

RNG = np.random.default_rng(5)


def with_moments(count, mean, covariance):
    """Rows whose sample mean and covariance are exactly these."""
    raw = RNG.normal(size=(count, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def random_covariance(size):
    a = RNG.normal(size=(size, size))
    return a @ a.T + 0.1 * np.eye(size)


def test_frechet_distance_of_gaussians_on_the_axes_is_the_textbook_one():
    a = with_moments(50, np.array([1.0, 2.0]), np.diag([4.0, 1.0]))
    b = with_moments(70, np.array([0.0, 0.0]), np.diag([1.0, 9.0]))
    expected = 5.0 + (2.0 - 1.0) ** 2 + (1.0 - 3.0) ** 2
    assert plausibility.frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_agrees_with_the_matrix_square_root():
    S, T = random_covariance(6), random_covariance(6)
    m, n = RNG.normal(size=(2, 6))
    a, b = with_moments(40, m, S), with_moments(90, n, T)
    root = np.real(scipy.linalg.sqrtm(S @ T))
    expected = np.sum((m - n) ** 2) + np.trace(S + T - 2 * root)
    assert plausibility.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert plausibility.frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_flat_sets():
    """Singular covariances: one-dimensional sets in three dimensions."""
    line = np.linspace(-1, 1, 9)[:, None] * np.array([1.0, 0.0, 0.0])
    assert plausibility.frechet_distance(line, line) == pytest.approx(0.0, abs=1e-9)
    moved = line + np.array([0.0, 3.0, 0.0])
    assert plausibility.frechet_distance(line, moved) == pytest.approx(9.0)


def test_kernel_distance_agrees_with_its_double_sum():
    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(5, 3)) + 0.5

    def kernel(x, y):
        return (np.dot(x, y) / 3 + 1.0) ** 3

    def over(rows, others, skip):
        values = [
            kernel(x, y)
            for i, x in enumerate(rows)
            for j, y in enumerate(others)
            if not (skip and i == j)
        ]
        return np.mean(values)

    expected = over(a, a, True) + over(b, b, True) - 2 * over(a, b, False)
    assert plausibility.kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased():
    pairs = RNG.normal(size=(400, 2, 30, 2))
    found = np.array([plausibility.kernel_distance(a, b) for a, b in pairs])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found))
    assert (found < 0).any()


def test_identical_sets():
    a = RNG.normal(size=(60, 4))
    found = plausibility.compare(a, a)
    assert found.frechet == pytest.approx(0.0, abs=1e-9)
    assert found.precision == found.recall == 1.0


def test_disjoint_sets():
    a = RNG.normal(size=(60, 4))
    found = plausibility.compare(a, a + 100.0)
    assert found.precision == found.recall == 0.0
    assert found.frechet == pytest.approx(4e4)


def test_precision_and_recall_tell_a_narrow_model_from_a_wild_one():
    data = RNG.normal(size=(400, 3))
    narrow, wild = 0.3 * RNG.normal(size=(400, 3)), 6.0 * RNG.normal(size=(400, 3))
    precision, recall = plausibility.precision_and_recall(narrow, data)
    assert precision > 0.95 and recall < 0.5
    precision, recall = plausibility.precision_and_recall(wild, data)
    assert precision < 0.3


def test_precision_and_recall_on_a_line_by_hand():
    data = np.array([[0.0], [1.0], [10.0]])  # radii 1, 1, 9 for k = 1
    samples = np.array([[1.5], [30.0]])  # radii 28.5, 28.5
    found = plausibility.precision_and_recall(samples, data, neighbours=1)
    assert found == (0.5, 1.0)


def test_diversity_is_the_mean_distance_of_pairs():
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert plausibility.diversity(corners) == pytest.approx(4.0)


def test_figures_do_not_depend_on_where_the_features_are():
    a, b = RNG.normal(size=(50, 3)), 2.0 * RNG.normal(size=(50, 3))
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    here, there = plausibility.compare(a, b), plausibility.compare(a @ turn, b @ turn)
    np.testing.assert_allclose(here, there, rtol=1e-8)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((3, 2)), "more than 3 rows"),
        (np.zeros(9), "expected \\(n, d\\)"),
        (np.full((9, 2), np.nan), "not finite"),
        (np.zeros((9, 5)), "one pair encoder"),
    ],
)
def test_bad_features_are_refused(samples, message):
    with pytest.raises(InputError, match=message):
        plausibility.compare(samples, RNG.normal(size=(9, 2)))


def test_only_the_first_rows_make_the_manifold():
    data = RNG.normal(size=(50, 2))
    far = np.concatenate([data[:20], data[20:] + 50.0])
    config = PlausibilityConfig(manifold_size=20)
    assert plausibility.compare(far, data, config=config).precision == 1.0
    assert plausibility.compare(far, data).precision < 1.0
