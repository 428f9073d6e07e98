"""Affine maps: crops, group laws, and warping against OpenCV."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.geometry import affine

BATCHES = [(), (3,), (2, 1, 4)]
BOX = np.array([40.0, 20.0, 120.0, 100.0], np.float32)
warp = jax.jit(affine.warp, static_argnames=("size", "nearest"))
crop = jax.jit(affine.crop, static_argnames="size")
apply, invert, compose = (
    jax.jit(f) for f in (affine.apply, affine.invert, affine.compose)
)


def maps(*batch: int, seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 50, (*batch, 2))
    box = np.concatenate([corner, corner + rng.uniform(20, 60, (*batch, 1))], axis=-1)
    return crop(
        jnp.asarray(box, jnp.float32),
        size=32,
        angle=jnp.asarray(rng.uniform(-3, 3, batch), jnp.float32),
        mirror=jnp.asarray(rng.random(batch) < 0.5),
    )


@pytest.mark.parametrize("size", [8, 128, 256])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.3, -2.0])
def test_crop_centre_and_corners(size, mirror, angle):
    """The centre lands on the middle, the box's corners half a pixel outside."""
    T = crop(jnp.asarray(BOX), size=size, angle=angle, mirror=mirror)
    middle = (size - 1) / 2
    x0, y0, x1, y1 = BOX
    points = np.array([[80.0, 60.0], [x0, y0], [x1, y0], [x0, y1]])
    signs = np.array([[0.0, 0.0], [-1, -1], [1, -1], [-1, 1]])
    c, s = np.cos(angle), np.sin(angle)
    turned = signs @ np.array([[c, -s], [s, c]]).T * size / 2
    turned[:, 0] *= -1 if mirror else 1
    mapped = apply(T, jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(mapped, turned + middle, atol=1e-3)


def test_mirror_is_size_minus_one_minus_x():
    points = jnp.asarray(np.random.default_rng(1).uniform(0, 99, (9, 2)), jnp.float32)
    plain = apply(crop(jnp.asarray(BOX), size=64, angle=0.4), points)
    mirrored = apply(crop(jnp.asarray(BOX), size=64, angle=0.4, mirror=True), points)
    np.testing.assert_allclose(mirrored[:, 0], 63 - plain[:, 0], atol=1e-4)
    np.testing.assert_allclose(mirrored[:, 1], plain[:, 1], atol=1e-4)


def test_an_empty_box_gives_finite_numbers():
    assert np.isfinite(crop(jnp.zeros(4), size=32)).all()


@pytest.mark.parametrize("batch", BATCHES)
def test_group_laws(batch):
    T, S, U = (maps(*batch, seed=s) for s in (2, 3, 4))
    identity = np.broadcast_to(np.eye(2, 3), (*batch, 2, 3))
    np.testing.assert_allclose(compose(T, invert(T)), identity, atol=1e-4)
    np.testing.assert_allclose(compose(invert(T), T), identity, atol=1e-4)
    left = compose(compose(T, S), U)
    right = compose(T, compose(S, U))
    np.testing.assert_allclose(left, right, atol=1e-3, rtol=1e-4)
    points = jnp.asarray(
        np.random.default_rng(5).uniform(0, 99, (*batch, 7, 2)), jnp.float32
    )
    twice = apply(T, apply(S, points))
    once = apply(compose(T, S), points)
    np.testing.assert_allclose(once, twice, atol=1e-3, rtol=1e-4)
    back = apply(invert(T), apply(T, points))
    np.testing.assert_allclose(back, points, atol=1e-3)


def picture(*batch: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(6)
    small = rng.random((*batch, 12, 10, channels)).astype(np.float32)
    return small.repeat(8, axis=-3).repeat(8, axis=-2)


@pytest.mark.parametrize("angle", [0.0, 0.5])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("nearest", [False, True])
def test_warp_agrees_with_opencv(angle, mirror, nearest):
    """Also where the crop reaches outside the picture, which is zero there."""
    image = picture()
    box = jnp.array([-20.0, 30.0, 70.0, 120.0])
    T = crop(box, size=48, angle=angle, mirror=mirror)
    expected = cv2.warpAffine(
        image,
        np.asarray(T),
        (48, 48),
        flags=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
    )
    ours = np.asarray(warp(image, invert(T), size=48, nearest=nearest))
    # OpenCV rounds sample positions to 1/32 pixel; ties of nearest may differ.
    different = np.abs(ours - expected).max(-1) > 0.05
    assert different.mean() < 0.02
    assert (ours[:, :, 0] == 0).mean() > 0.1


def test_the_identity_warp_is_exact():
    image = picture()[:48, :48]
    for nearest in (False, True):
        same = warp(image, jnp.eye(2, 3), size=48, nearest=nearest)
        np.testing.assert_array_equal(same, image)


@pytest.mark.parametrize("batch", BATCHES)
def test_warp_takes_any_batch_and_broadcasts_one_map(batch):
    image = picture(*batch, channels=1)
    T = invert(maps(*batch, seed=7))
    out = warp(image, T, size=16)
    assert out.shape == (*batch, 16, 16, 1)
    last = tuple(n - 1 for n in batch)
    one = warp(image[last], T[last], size=16)
    np.testing.assert_allclose(out[last], one, atol=1e-6)
    assert warp(image, jnp.eye(2, 3), size=4).shape == (*batch, 4, 4, 1)


def test_warp_differentiates_in_image_and_map():
    image = jnp.asarray(picture()[:40, :40])
    T = invert(crop(jnp.array([5.0, 5.0, 31.0, 31.0]), size=9, angle=0.3))
    gradient = jax.jit(
        jax.grad(
            lambda image, T: jnp.sum(affine.warp(image, T, size=9) ** 2), argnums=(0, 1)
        )
    )(image, T)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradient)
