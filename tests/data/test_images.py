import numpy as np
import pytest

from twohand_jax.data import images
from twohand_jax.errors import InputError


def test_label_maps_survive_exactly() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (40, 50), dtype=np.uint8)
    np.testing.assert_array_equal(images.decode_map(images.encode_map(labels)), labels)


def test_depth_survives_to_a_level_and_keeps_its_foreground() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0, 1, (40, 50)).astype(np.float32)
    depth[:5] = 0.0  # near, and foreground
    foreground = rng.random((40, 50)) < 0.6
    data, scale, offset = images.encode_depth(depth, foreground)
    found = images.depth_from_levels(
        images.decode_map(data), scale=scale, offset=offset
    )
    np.testing.assert_array_equal(found > 0, foreground)
    error = np.abs(found - depth)[foreground]
    assert error.max() <= 1.5 / images.DEPTH_LEVELS
    assert found.max() <= 1.0


def test_an_offset_moves_the_foreground_alone() -> None:
    levels = np.array([[0, 1, 100]], np.uint16)
    depth = images.depth_from_levels(levels, scale=0.001, offset=0.5)
    np.testing.assert_allclose(depth, [[0.0, 0.501, 0.6]], rtol=1e-6)


def test_pictures_keep_their_channels() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 200
    found = images.decode_jpeg(images.encode_jpeg(image, quality=95))
    assert found[..., 0].min() > 180 and found[..., 1:].max() < 20


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0 cut"])
def test_what_does_not_decode_is_said(data: bytes) -> None:
    with pytest.raises(InputError, match=f"picture of {len(data)} bytes"):
        images.decode_jpeg(data)
