"""Drawn keypoints: coverage, visibility, batches, symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.crops import keypoints as keypoint_cue

SIZE = 48
_skeleton = jax.jit(
    keypoint_cue.skeleton, static_argnames=("size", "thickness", "min_score")
)


def _keypoints(*batch):
    rng = np.random.default_rng(0)
    points = rng.uniform(4, SIZE - 5, (*batch, 21, 2))
    return jnp.asarray(
        np.concatenate([points, np.ones((*batch, 21, 1))], -1), jnp.float32
    )


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_any_leading_batch(batch):
    keypoints = _keypoints(*batch)
    image = _skeleton(keypoints, size=SIZE)
    assert image.shape == (*batch, SIZE, SIZE, 3)
    assert image.dtype == jnp.float32
    first = _skeleton(keypoints.reshape(-1, 21, 3)[0], size=SIZE)
    np.testing.assert_allclose(image.reshape(-1, SIZE, SIZE, 3)[0], first, atol=1e-5)
    assert 0 <= image.min() and image.max() <= 1


def test_vmap_equals_batch():
    keypoints = _keypoints(3)
    mapped = jax.vmap(lambda k: _skeleton(k, size=SIZE))(keypoints)
    np.testing.assert_allclose(mapped, _skeleton(keypoints, size=SIZE), atol=1e-6)


def _one_bone(start, end, thickness):
    """A picture of the last bone of the index finger alone."""
    keypoints = np.zeros((21, 3), np.float32)
    keypoints[7], keypoints[8] = (*start, 1), (*end, 1)
    return _skeleton(jnp.asarray(keypoints), size=SIZE, thickness=thickness)


def test_a_level_bone_has_its_colour_and_area():
    image = np.asarray(_one_bone((10, 20), (30, 20), 4.0))
    np.testing.assert_allclose(image[20, 20], keypoint_cue.FINGER_COLORS[1], atol=1e-6)
    # Length 20 × width 4, round caps of radius 2, and one dot hidden inside it.
    assert image[..., 0].sum() == pytest.approx(20 * 4 + np.pi * 4, rel=0.05)
    assert image[25].max() == 0 and image[:, 35].max() == 0


def test_coverage_matches_supersampled_truth():
    start, end = np.array([12.3, 9.7]), np.array([33.1, 38.4])
    image = np.asarray(_one_bone(start, end, 4.0))[..., 0]
    fine = (np.arange(SIZE * 8) + 0.5) / 8 - 0.5
    x, y = np.meshgrid(fine, fine)
    along = (end - start) / np.sum((end - start) ** 2)
    share = np.clip((x - start[0]) * along[0] + (y - start[1]) * along[1], 0, 1)
    gap = np.hypot(
        *(
            np.stack([x, y])
            - start[:, None, None]
            - share * (end - start)[:, None, None]
        )
    )
    truth = (gap <= 2).reshape(SIZE, 8, SIZE, 8).mean(axis=(1, 3))
    assert np.abs(image - truth).max() < 0.25
    assert np.abs(image - truth).mean() < 0.005


def test_invisible_joints_are_not_drawn():
    keypoints = _keypoints()
    hidden = keypoints.at[5:9, 2].set(0.0)
    moved = hidden.at[5:9, :2].set(jnp.nan)
    np.testing.assert_array_equal(
        _skeleton(hidden, size=SIZE), _skeleton(moved, size=SIZE)
    )
    assert not _skeleton(keypoints.at[:, 2].set(0.0), size=SIZE).any()
    assert not _skeleton(keypoints, size=SIZE, min_score=1.0).any()


def test_coinciding_joints_give_a_dot():
    image = _one_bone((20, 20), (20, 20), 6.0)
    assert np.isfinite(image).all()
    assert float(image[..., 0].sum()) == pytest.approx(np.pi * 9, rel=0.05)


def test_mirrored_keypoints_give_the_mirrored_picture():
    keypoints = _keypoints()
    mirrored = keypoints.at[:, 0].set(SIZE - 1 - keypoints[:, 0])
    image = _skeleton(keypoints, size=SIZE)
    np.testing.assert_allclose(
        _skeleton(mirrored, size=SIZE), image[:, ::-1], atol=1e-3
    )


def test_overlapping_hands_show_two_wrists_only():
    own, other = _keypoints(2)
    own = own.at[0, :2].set(jnp.array([12.0, 12.0]))
    other = other.at[0, :2].set(jnp.array([36.0, 36.0]))
    gated = keypoint_cue.keypoint_image(own, other, jnp.asarray(True), size=SIZE)
    np.testing.assert_allclose(gated[12, 12], keypoint_cue.OWN_WRIST_COLOR)
    np.testing.assert_allclose(gated[36, 36], keypoint_cue.OTHER_WRIST_COLOR)
    assert not gated[24, 24].any()
    alone = keypoint_cue.keypoint_image(own, other, jnp.asarray(False), size=SIZE)
    np.testing.assert_allclose(alone, _skeleton(own, size=SIZE), atol=1e-4)


def test_a_missing_other_wrist_is_not_drawn():
    own = jnp.array([12.0, 12.0, 1.0])
    image = keypoint_cue.wrists(own, jnp.zeros(3), size=SIZE)
    assert not image[0, 0].any()
    assert float(image[..., 0].sum()) == pytest.approx(np.pi * 64, rel=0.05)
