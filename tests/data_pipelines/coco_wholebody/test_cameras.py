import numpy as np
import pytest

from twohand_jax.pipelines.coco_wholebody import dataset
from twohand_jax.types import Camera


def _camera(focal: float, x: float, y: float) -> Camera:
    return Camera(np.full(2, focal), np.array([x, y]))


def _project(points: np.ndarray, camera: Camera) -> np.ndarray:
    return points[..., :2] / points[..., 2:] * camera.focal + camera.center


def test_one_camera_and_equal_ones_stay_as_they_are():
    camera = _camera(300.0, 10.0, 20.0)
    assert dataset.shared_camera([camera]) is camera
    assert dataset.shared_camera([camera, _camera(300.0, 10.0, 20.0)]) is camera
    wrist = np.array([0.1, -0.2, 0.6])
    assert dataset.moved_fit(wrist, camera, camera) is wrist


@pytest.mark.parametrize("changed", [(301.0, 10.0, 20.0), (300.0, 10.0, 21.0)])
def test_different_cameras_become_a_further_one(changed):
    own = [_camera(300.0, 10.0, 20.0), _camera(*changed)]
    shared = dataset.shared_camera(own)
    assert (shared.focal > 10 * own[0].focal).all()
    np.testing.assert_allclose(shared.center, (own[0].center + own[1].center) / 2)


def test_a_moved_wrist_keeps_its_pixel_and_its_scale():
    own, other = _camera(1500.0, 210.0, 90.0), _camera(40000.0, 130.0, 95.0)
    wrist = np.array([0.02, -0.05, 6.0])
    moved = dataset.moved_fit(wrist, own, other)
    np.testing.assert_allclose(_project(moved, other), _project(wrist, own), atol=1e-9)
    np.testing.assert_allclose(other.focal / moved[2], own.focal / wrist[2])


def test_other_joints_keep_their_pixels_but_for_perspective():
    """Hands of 18 cm with NeuralAnnot's cameras, 400 pixels from each other."""
    rng = np.random.default_rng(0)
    own = [
        _camera(5000 / 256 * size, x, 100.0) for size, x in ((80, 60.0), (40, 460.0))
    ]
    shared = dataset.shared_camera(own)
    for camera, size in zip(own, (80, 40), strict=True):
        depth = camera.focal[0] * 0.18 / (size / 1.3)
        joints = rng.uniform(-0.09, 0.09, (21, 3)) + [0.0, 0.0, depth]
        shift = dataset.moved_fit(joints[0], camera, shared) - joints[0]
        error = np.abs(_project(joints + shift, shared) - _project(joints, camera))
        assert error.max() < 0.03 * size
