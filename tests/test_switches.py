"""JAX's switches that notebooks set make no difference to what is public."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference.conftest import checkpoint, detections, image, keypoints
from tests.mano import fake_mano
from tests.train import toy
from twohand_jax import collision, geometry, mano, metrics
from twohand_jax.cues.selection import HandDetection
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.types import ManoParams

__all__ = ["checkpoint", "image", "keypoints"]


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Nothing is promoted without being asked for, and numbers have 64 bits."""
    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.enable_x64(True),
    ):
        yield


@contextlib.contextmanager
def everything() -> Iterator[None]:
    """All that makes whole programs of this library fail by itself."""
    with strict(), jax.disable_jit():
        yield


SWITCHES = {
    "strict": strict,
    "no jit": jax.disable_jit,
    "nans": lambda: jax.debug_nans(True),
}


def params(dtype: type = np.float32) -> ManoParams:
    rng = np.random.default_rng(0)
    shapes = ((3,), (15, 3), (10,), (3,))
    return ManoParams(*(rng.normal(0, 0.3, (2, *s)).astype(dtype) for s in shapes))


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.slow
def test_hands_and_collisions_are_the_same(switch):
    model = mano.load()
    expected = mano.forward(model, params())
    cost = collision.energy(*expected.vertices, *model.faces)
    with SWITCHES[switch]():
        found = mano.forward(mano.load(), params())
        again = collision.energy(*found.vertices, *model.faces)
    np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-6)
    np.testing.assert_allclose(again, cost, rtol=1e-4)


@pytest.mark.slow
def test_a_float64_hand_stays_one():
    with strict():
        model = fake_mano.random_model(0, dtype=np.float64)
        assert mano.forward(model, params(np.float64)).vertices.dtype == jnp.float64


@pytest.mark.slow
def test_geometry_and_metrics_take_what_they_are_given():
    vector, matrix = jnp.ones((2, 3)), jnp.tile(jnp.eye(3), (2, 1, 1))
    points, valid = jnp.ones((4, 2, 21, 3)), jnp.ones((4, 2, 21), bool)
    with strict():
        geometry.rotations.axis_angle_to_matrix(vector)
        geometry.rotations.matrix_to_axis_angle(matrix)
        geometry.rotations.mirror_axis_angle(vector)
        geometry.rotations.matrix_to_rotation_6d(matrix)
        geometry.alignment.procrustes(points, points, valid)
        metrics.mpjpe(points, points, valid)
        metrics.pa_mpjpe(points, points, valid)
        metrics.mrrpe(points[:, 0, 0], points[:, 0, 0], valid[:, 0, 0])


@pytest.mark.slow
def test_training_and_reconstruction_are_the_same(
    tmp_path, checkpoint, keypoints, image
):
    def found(picture: object) -> list[HandDetection]:
        return detections(keypoints)

    def both(workdir) -> tuple[np.ndarray, np.ndarray]:
        last = toy.train(tmp_path / workdir, total_steps=2)
        reconstruct = Reconstructor.load(checkpoint, detector=found)
        hands = reconstruct(image, fit="on", refine="never")
        return np.asarray(last.params["out"]), np.asarray(hands.geometry.vertices)

    expected = both("plain")
    with everything():
        again = both("switched")
    for one, other in zip(again, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-5)
