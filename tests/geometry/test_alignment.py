"""Procrustes alignment against scipy and a float64 twin, with and without mirrors."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from twohand_jax.geometry import alignment

procrustes = jax.jit(alignment.procrustes, static_argnames="allow_reflection")


def cloud(*batch: int, seed: int = 0, count: int = 21) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.08 * rng.normal(size=(*batch, count, 3))).astype(np.float32)


def similarity(points: np.ndarray, seed: int, mirror: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    R = Rotation.random(random_state=seed).as_matrix()
    flip = np.diag([-1.0 if mirror else 1.0, 1, 1])
    moved = rng.uniform(0.5, 2) * points @ (R @ flip).T + rng.normal(size=3)
    return moved.astype(np.float32)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_a_similarity_is_undone_exactly(batch):
    target = cloud(*batch)
    source = similarity(target, 1)
    aligned = procrustes(source, target)
    assert aligned.shape == target.shape
    np.testing.assert_allclose(aligned, target, atol=2e-6)


def test_noise_is_aligned_as_by_a_float64_optimiser():
    target, source = cloud(seed=2), similarity(cloud(seed=2) + 0.3 * cloud(seed=3), 4)
    ours = np.asarray(procrustes(source, target), np.float64)

    def cost(p):
        R = Rotation.from_rotvec(p[:3]).as_matrix()
        return ((np.exp(p[3]) * source @ R.T + p[4:] - target) ** 2).sum() * 1e4

    starts = [
        np.r_[Rotation.random(random_state=s).as_rotvec(), np.zeros(4)]
        for s in range(6)
    ]
    best = min(minimize(cost, s, method="BFGS").fun for s in starts)
    np.testing.assert_allclose(((ours - target) ** 2).sum() * 1e4, best, rtol=1e-3)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_the_rotation_is_that_of_the_motion(batch):
    source = cloud(*batch, count=6)
    turn = Rotation.random(random_state=3)
    target = (source @ turn.as_matrix().T + [0.1, 0.2, 0.6]).astype(np.float32)
    R = np.asarray(jax.jit(alignment.rotation_onto)(source, target))
    assert R.shape == (*batch, 3, 3)
    expected = np.broadcast_to(turn.as_matrix(), R.shape)
    np.testing.assert_allclose(R, expected, atol=2e-5)


def test_the_rotation_of_noisy_points_is_scipys_and_none_reflects():
    source, target = cloud(seed=2, count=6), cloud(seed=3, count=6)
    R = np.asarray(alignment.rotation_onto(source, target))
    centred = (points - points.mean(axis=0) for points in (target, source))
    expected, _ = Rotation.align_vectors(*centred)
    np.testing.assert_allclose(R, expected.as_matrix(), atol=1e-4)
    mirrored = np.asarray(alignment.rotation_onto(source, source * [-1.0, 1, 1]))
    assert np.linalg.det(mirrored) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
def test_reflections_are_allowed_only_on_request(mirror, variant):
    procrustes = variant(alignment.procrustes, static_argnames="allow_reflection")
    target = cloud(seed=5)
    source = similarity(target, 6, mirror=mirror)
    error = {
        allow: np.abs(procrustes(source, target, allow_reflection=allow) - target).max()
        for allow in (False, True)
    }
    assert error[True] < 2e-6
    assert error[False] > 0.01 if mirror else error[False] < 2e-6


def test_with_reflections_it_is_scipys():
    target, source = cloud(seed=7), cloud(seed=8)
    aligned = np.asarray(procrustes(source, target, allow_reflection=True))
    _, _, disparity = scipy_procrustes(target, source)
    spread = ((target - target.mean(0)) ** 2).sum()
    np.testing.assert_allclose(
        ((aligned - target) ** 2).sum() / spread, disparity, rtol=1e-4
    )


def test_invalid_points_are_moved_but_do_not_count():
    target = cloud(seed=9)
    source = similarity(target, 10)
    valid = np.arange(21) % 3 > 0
    spoiled = np.where(valid[:, None], source, 7.0).astype(np.float32)
    aligned = procrustes(spoiled, target, valid)
    np.testing.assert_allclose(aligned[valid], target[valid], atol=2e-6)
    assert np.abs(aligned[~valid] - target[~valid]).min() > 0.1


def test_degenerate_clouds_stay_finite():
    target = cloud(seed=11)
    for source in (np.zeros_like(target), target * np.array([1, 0, 0], np.float32)):
        assert np.isfinite(procrustes(source, target)).all()
    assert np.isfinite(procrustes(target, target, np.zeros(21, bool))).all()
    assert np.isfinite(procrustes(target, target, np.arange(21) < 2)).all()


def test_planar_points_are_not_mirrored():
    target = cloud(seed=12) * np.array([1, 1, 0], np.float32)
    source = similarity(target, 13)
    np.testing.assert_allclose(procrustes(source, target), target, atol=2e-6)
