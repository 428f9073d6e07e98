import math

import cv2
import numpy as np
import pytest

from twohand_jax.pipelines.reinterhand import fisheye
from twohand_jax.pipelines.reinterhand.fixture import through_lens
from twohand_jax.types import Camera

LENSES = [(0.0, 0.0, 0.0, 0.0), (-0.1, 0.02, -0.005, 0.001), (0.05, 0.02, -0.01, 0.002)]
SIZE = (320, 240)
CAMERA = Camera(focal=np.array([170.0, 170.0]), center=np.array([151.0, 124.5]))


def _rays(limit: float, count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    radius = np.tan(rng.uniform(0.0, limit, (count, 1)))
    turn = rng.uniform(0, 2 * math.pi, count)
    return radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1)


@pytest.mark.parametrize("lens", LENSES)
def test_the_lens_is_opencvs(lens):
    rays = _rays(1.2)
    eye = np.eye(3)
    theirs = cv2.fisheye.distortPoints(rays[:, None], eye, np.array(lens))[:, 0]
    np.testing.assert_allclose(fisheye.distort(rays, np.array(lens)), theirs, atol=1e-9)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_undistort_inverts_distort(lens, batch):
    rays = _rays(1.2, math.prod(batch)).reshape(*batch, 2)
    drawn = fisheye.distort(rays, np.array(lens))
    back = fisheye.undistort(drawn, np.array(lens))
    np.testing.assert_allclose(back, rays, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("lens", LENSES)
def test_the_axis_stays_where_it_is(lens):
    assert not fisheye.distort(np.zeros(2), np.array(lens)).any()
    assert not fisheye.undistort(np.zeros(2), np.array(lens)).any()


@pytest.mark.parametrize("lens", LENSES)
def test_points_of_a_straightened_picture_lie_where_its_camera_projects(lens):
    """Spots drawn through OpenCV's lens of 90 degrees, found within 0.2 pixels."""
    distortion = np.array(lens)
    view = fisheye.pinhole(CAMERA, distortion, SIZE, max_angle=math.radians(60))
    grid = np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), -1)
    drawn = (grid - CAMERA.center) / CAMERA.focal
    rays = cv2.fisheye.undistortPoints(drawn.reshape(-1, 1, 2), np.eye(3), distortion)
    places = rays.reshape(grid.shape) * view.focal + view.center
    for ray in _rays(0.6, 10):
        expected = ray * view.focal + view.center
        spot = np.exp(-((places - expected) ** 2).sum(axis=-1) / (2 * 3.0**2))
        image = np.rint(255 * spot).astype(np.uint8)[..., None].repeat(3, axis=-1)
        seen = fisheye.straighten(image, CAMERA, distortion, view)[..., 0].astype(float)
        found = (grid * seen[..., None]).sum(axis=(0, 1)) / seen.sum()
        assert np.abs(found - expected).max() < 0.2


def test_a_picture_through_the_lens_and_back_is_the_same():
    ramp = np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), -1) / 2
    image = np.concatenate([ramp, ramp[..., :1]], axis=-1).astype(np.uint8)
    distortion = np.array(LENSES[1])
    bent = through_lens(image, CAMERA, distortion)
    back = fisheye.straighten(bent, CAMERA, distortion, CAMERA)
    middle = (slice(40, -40), slice(40, -40))
    assert np.abs(bent[middle].astype(int) - image[middle]).max() > 5
    assert np.abs(back[middle].astype(int) - image[middle]).max() <= 2


@pytest.mark.parametrize("lens", LENSES)
def test_the_pinhole_picture_shows_the_middle_of_every_edge(lens):
    distortion = np.array(lens)
    view = fisheye.pinhole(CAMERA, distortion, SIZE, max_angle=math.radians(80))
    width, height = SIZE[0] - 1, SIZE[1] - 1
    x, y = CAMERA.center
    edges = np.array([[0, y], [width, y], [x, 0], [x, height]])
    rays = fisheye.undistort((edges - CAMERA.center) / CAMERA.focal, distortion)
    pixels = rays * view.focal + view.center
    assert (pixels > -1e-6).all() and (pixels < np.array(SIZE) - 1 + 1e-6).all()
    reached = np.abs(pixels - edges).max(axis=-1).min()
    assert reached < 1e-6, "one edge stays an edge: no resolution is given away"


def test_rays_beyond_the_largest_angle_cost_no_resolution():
    wide = Camera(focal=np.array([90.0, 90.0]), center=CAMERA.center)
    distortion = np.zeros(4)
    focal = [
        fisheye.pinhole(wide, distortion, SIZE, max_angle=math.radians(angle)).focal[0]
        for angle in (50, 60, 85)
    ]
    assert focal[0] > focal[1] > focal[2]
