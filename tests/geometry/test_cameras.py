"""Cameras: projection and its inverse, virtual crop cameras, the picture's camera."""

import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.geometry import affine, cameras
from twohand_jax.types import Camera

CAMERA = Camera(focal=jnp.array([600.0, 620.0]), center=jnp.array([319.5, 240.0]))


def points(*batch: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    place = rng.uniform(-0.2, 0.2, (*batch, 3)) + np.array([0.0, 0.0, 0.8])
    return place.astype(np.float32)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_project_and_backproject_are_inverse(batch):
    place = points(*batch, 21)
    camera = Camera(*(jnp.broadcast_to(x, (*batch, 2)) for x in CAMERA))
    pixels = cameras.project(place, camera)
    assert pixels.shape == (*batch, 21, 2)
    again = cameras.backproject(pixels, place[..., 2], camera)
    np.testing.assert_allclose(again, place, atol=1e-6)


def test_projection_is_the_pinhole_equation():
    pixel = cameras.project(jnp.array([[0.1, -0.2, 0.5]]), CAMERA)[0]
    np.testing.assert_allclose(pixel, [600 * 0.2 + 319.5, 240 - 620 * 0.4], rtol=1e-6)
    center = cameras.project(jnp.array([[0.0, 0.0, 2.0]]), CAMERA)[0]
    np.testing.assert_array_equal(center, CAMERA.center)


def test_points_behind_the_camera_stay_finite():
    assert np.isfinite(cameras.project(jnp.array([[0.1, 0.1, -1.0]]), CAMERA)).all()


def test_virtual_camera_scales_with_the_crop():
    """The same point lies at the same share of a crop of any size."""
    place = points(5)
    small, large = (
        cameras.project(place, cameras.virtual(size, focal=5000.0))
        for size in (128, 256)
    )
    np.testing.assert_allclose(large, 2 * small, rtol=1e-5)
    full = cameras.virtual(256, focal=5000.0)
    np.testing.assert_array_equal(full.focal, [5000, 5000])
    np.testing.assert_array_equal(full.center, [128, 128])


def test_default_camera():
    camera = cameras.default(480, 640)
    np.testing.assert_allclose(camera.focal, [800, 800])
    np.testing.assert_allclose(camera.center, [319.5, 239.5])


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.slow
def test_crop_to_image_keeps_pixel_and_size(batch, mirror):
    box = np.broadcast_to(np.array([300.0, 100, 420, 220], np.float32), (*batch, 4))
    T = affine.crop(jnp.asarray(box), size=128, angle=0.7, mirror=mirror)
    crop_camera = cameras.virtual(128, focal=5000.0)
    place = points(*batch, seed=1) * np.array([0.1, 0.1, 14], np.float32)
    moved = cameras.crop_to_image(place, T, crop_camera, CAMERA)
    assert moved.shape == (*batch, 3)
    in_crop = cameras.project(place[..., None, :], crop_camera)
    in_image = cameras.project(moved[..., None, :], CAMERA)
    np.testing.assert_allclose(affine.apply(T, in_image), in_crop, atol=0.02)
    in_crop_px = crop_camera.focal[0] / place[..., 2]
    in_image_px = CAMERA.focal[0] / moved[..., 2] * 128 / 120
    np.testing.assert_allclose(in_image_px, in_crop_px, rtol=1e-4)


def test_transform_is_a_rigid_motion():
    R = jnp.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = cameras.transform(jnp.array([[1.0, 2, 3]]), R, jnp.array([10.0, 0, 0]))
    np.testing.assert_allclose(moved, [[8, 1, 3]])


def test_host_arrays_stay_host_arrays_and_agree():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(2, 21, 3)) * 0.1 + [0.0, 0.0, 0.6]
    points[1, 4, 2] = -0.2
    camera = Camera(np.array([500.0, 520.0]), np.array([128.0, 120.0]))
    pixels = cameras.project(points, camera)
    assert isinstance(pixels, np.ndarray) and pixels.dtype == np.float64
    np.testing.assert_allclose(
        pixels, cameras.project(jnp.asarray(points), camera), rtol=1e-4
    )
    points[1, 4, 2] = cameras.NEAREST_M
    again = cameras.backproject(pixels, points[..., 2], camera)
    assert isinstance(again, np.ndarray)
    np.testing.assert_allclose(again, points, atol=1e-12)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_an_object_stands_where_it_is_seen(batch):
    """Exactly; and pixels that are off by little move it by little."""
    place = points(*batch, 21)
    origin = place[..., :1, :]
    camera = Camera(*(jnp.broadcast_to(x, (*batch, 2)) for x in CAMERA))
    pixels = np.asarray(cameras.project(place, camera))
    found = cameras.place(place - origin, pixels, camera)
    np.testing.assert_allclose(found, origin[..., 0, :], atol=1e-4)
    noisy = pixels + np.random.default_rng(1).normal(0.0, 2.0, pixels.shape)
    near = cameras.place(place - origin, noisy, camera)
    np.testing.assert_allclose(near, found, atol=0.03)


def test_an_object_of_no_size_stands_at_the_least_depth():
    pixels = jnp.broadcast_to(CAMERA.center, (21, 2))
    found = cameras.place(jnp.zeros((21, 3)), pixels, CAMERA, nearest=0.1)
    np.testing.assert_allclose(found, [0.0, 0.0, 0.1], atol=1e-6)
