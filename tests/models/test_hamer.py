"""HaMeR's network: agreement with PyTorch, laws of its parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.weights.tiny_hamer import state_of, tiny, torch_network
from twohand_jax.geometry import cameras, rotations
from twohand_jax.models import apply
from twohand_jax.models import hamer as hamer_
from twohand_jax.models.hamer import Hamer, full_camera, rotation_rows
from twohand_jax.types import Inputs
from twohand_jax.weights import hamer as weights

torch = pytest.importorskip("torch")


def inputs(count, seed=0):
    image = np.random.default_rng(seed).random((count, 2, 64, 64, 3))
    return Inputs(
        image=image.astype(np.float32),
        cues={},
        present={},
        T_crop_image=np.zeros((count, 2, 2, 3), np.float32),
        box=np.zeros((count, 2, 4), np.float32),
        hand_valid=np.ones((count, 2), bool),
        overlap=np.zeros(count, bool),
    )


def network_of(config):
    _, variables = weights.convert(
        state_of(torch_network(config)), where="tiny", config=config
    )
    net = apply.network(lambda rngs: Hamer(config, rngs=rngs))
    return jax.jit(lambda given: net.apply(variables, given)[0])


def gram_schmidt(columns):
    """Rotation whose first two columns are made of two vectors, slowly."""
    first, second = columns.astype(np.float64).reshape(2, 3)
    first = first / np.linalg.norm(first)
    second = second - first @ second * first
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


@pytest.mark.parametrize(
    "changes", [{}, {"iterations": 3, "mean_token": True}, {"iterations": 2}]
)
def test_it_agrees_with_pytorch(changes):
    config, given = tiny(**changes), inputs(2)
    got = network_of(config)(given)
    crops = given.image.reshape(4, 64, 64, 3)
    with torch.no_grad():
        values = torch_network(config)(torch.tensor(np.moveaxis(crops, -1, 1)))
    values = values.numpy().reshape(2, 2, 109)
    assert np.std(values[..., :96], axis=(0, 1)).max() > 0.01  # it looks at the crop
    np.testing.assert_allclose(got.betas, values[..., 96:106], atol=1e-5)
    scale, *shift = np.moveaxis(values[..., 106:], -1, 0)
    want = np.stack([*shift, 2 * 5000 / (256 * scale)], axis=-1)
    np.testing.assert_allclose(got.camera, want, rtol=1e-5)
    six = np.concatenate([got.global_orient_6d[..., None, :], got.hand_pose_6d], -2)
    R = np.asarray(rotations.rotation_6d_to_matrix(six)).reshape(-1, 3, 3)
    want = [gram_schmidt(row) for row in values[..., :96].reshape(-1, 6)]
    np.testing.assert_allclose(R, want, atol=1e-5)
    assert got.joints_25d is None and got.rel_trans is None


def test_each_crop_stands_alone_and_only_its_middle_columns_count():
    network, given = network_of(tiny()), inputs(2)
    whole = network(given)
    other = given.image.copy()
    other[0, 1] = 0.5
    other[1, :, :, :8] = other[1, :, :, -8:] = 0.0
    changed = network(given._replace(image=other))
    np.testing.assert_allclose(changed.betas[1], whole.betas[1], atol=1e-6)
    np.testing.assert_allclose(changed.betas[0, 0], whole.betas[0, 0], atol=1e-6)
    assert np.abs(changed.betas[0, 1] - whole.betas[0, 1]).max() > 1e-3


def test_half_precision_stays_near_and_gives_float32(monkeypatch):
    given = inputs(1)
    wide = network_of(tiny(dtype="float32"))(given)
    half = network_of(tiny(dtype="bfloat16"))(given)
    assert half.betas.dtype == jnp.float32
    error = np.abs(half.betas - wide.betas).max()
    assert 0 < error < 0.1 * np.abs(wide.betas).max()
    assert hamer_.activations("auto") == jnp.float32
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert hamer_.activations("auto") == jnp.bfloat16
    assert hamer_.activations("float32") == jnp.float32


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 4)])
def test_rows_are_of_the_transposed_rotation(shape):
    pose = np.random.default_rng(0).normal(size=(*shape, 96)).astype(np.float32)
    rows = rotation_rows(pose)
    assert rows.shape == (*shape, 16, 6)
    got = rotations.rotation_6d_to_matrix(rows)
    want = rotations.rotation_6d_to_matrix(pose.reshape(*shape, 16, 6))
    np.testing.assert_allclose(got, np.swapaxes(want, -1, -2), atol=1e-6)


def test_weak_perspective_keeps_sizes_at_the_origin():
    """A point beside the origin is ``scale`` half crops to a metre away from it."""
    camera = np.array([1.3, 0.02, -0.05], np.float32)
    origin = np.asarray(full_camera(camera))
    points = np.stack([origin, origin + np.float32([0.1, 0.0, 0.0])])
    pixels = cameras.project(points, cameras.virtual(256, focal=5000.0))
    np.testing.assert_allclose(pixels[1, 0] - pixels[0, 0], 0.1 * 1.3 * 128, rtol=1e-4)
    np.testing.assert_allclose(
        pixels[0] - 128, 1.3 * 128 * np.array([0.02, -0.05]), rtol=1e-4
    )
