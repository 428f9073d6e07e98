"""Surface normals as a cue: stored, moved and drawn as vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.cli.common import CUE_NAMES
from twohand_jax.crops import cue_table
from twohand_jax.crops.inputs import CropConfig, make_inputs
from twohand_jax.crops.motion import motion
from twohand_jax.cues import sapiens_decode
from twohand_jax.cues.sapiens_decode import View
from twohand_jax.data import decode
from twohand_jax.types import NO_CUES

SIZE = 32
KIND = cue_table.CUE_KINDS["normals"]
FACING = np.array([0.6, 0.0, -0.8], np.float32)
CROP = CropConfig(crop_size=16, crop_scale=1.0)


def normals_of(vector, shown) -> np.ndarray:
    return np.where(shown[..., None], vector, 0.0).astype(np.float32)


@pytest.fixture
def shown() -> np.ndarray:
    """A hand in the left half of a picture, another in its right half."""
    out = np.zeros((SIZE, SIZE), bool)
    out[8:24, 2:14] = out[8:24, 18:30] = True
    return out


def drawn(normals, shown) -> np.ndarray:
    """The pictures of both hands' crops, the right hand's in the left half."""
    labels = np.where(shown, 1 + (np.arange(SIZE) > 15), 0).astype(np.uint8)
    cues = NO_CUES.put("normals", normals).put("segmentation", labels)
    inputs = make_inputs(
        np.zeros((SIZE, SIZE, 3), np.uint8),
        jnp.eye(2, 3),
        jax.tree.map(jnp.asarray, cues),
        jnp.array([[0.0, 8, 15, 23], [16, 8, 31, 23]]),
        jnp.ones(2, bool),
        crop=CROP,
    )
    return np.asarray(inputs.cues["normals"])


def test_the_command_line_knows_every_kind() -> None:
    assert CUE_NAMES == cue_table.NAMES
    assert "normals" not in cue_table.DEFAULT


def test_stored_normals_come_back(shown) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(SIZE, SIZE, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    stored = decode.encode_cue("normals", normals_of(vectors, shown), shown)
    levels = decode.decode_map(stored["cues/normals"])
    storage = cue_table.map_storage("normals")
    back = decode.values_from_levels(levels, scale=storage.scale, offset=storage.offset)
    np.testing.assert_allclose(back, normals_of(vectors, shown), atol=0.005)
    assert (back[~shown] == 0).all() and set(stored) == {"cues/normals"}


@pytest.mark.slow
def test_they_are_colours_in_the_network_frame(shown) -> None:
    right, left = drawn(normals_of(FACING, shown), shown)
    np.testing.assert_allclose(right[8, 8], (FACING + 1) / 2, atol=1e-6)
    mirrored = FACING * [-1, 1, 1]
    np.testing.assert_allclose(left[8, 8], (mirrored + 1) / 2, atol=1e-6)
    assert (right[8, 0] == 0).all(), "no hand"


def test_without_a_segmentation_they_are_their_own_mask(shown) -> None:
    cues = NO_CUES.put("normals", jnp.asarray(normals_of(FACING, shown)))
    inputs = make_inputs(
        np.zeros((SIZE, SIZE, 3), np.uint8),
        jnp.eye(2, 3),
        cues,
        jnp.array([[0.0, 8, 15, 23], [16, 8, 31, 23]]),
        jnp.ones(2, bool),
        crop=CROP,
    )
    image = np.asarray(inputs.cues["normals"])
    np.testing.assert_allclose(image[0, 8, 8], (FACING + 1) / 2, atol=1e-6)
    assert (image[0, 8, 0] == 0).all()


def test_a_mirrored_picture_gives_the_other_hand_the_same_crop(shown) -> None:
    normals = normals_of(FACING, shown)
    normals[:, 16:] = normals_of([0.0, 0.6, -0.8], shown)[:, 16:]
    move = motion(jnp.array(True), jnp.array(0.0), jnp.array([15.5, 15.5]))
    flipped = np.asarray(KIND.move(jnp.asarray(normals), move))[:, ::-1]
    before, after = drawn(normals, shown), drawn(flipped, shown[:, ::-1])
    np.testing.assert_allclose(after[0], before[1], atol=1e-6)
    np.testing.assert_allclose(after[1], before[0], atol=1e-6)


def test_vectors_turn_with_the_picture() -> None:
    move = motion(jnp.array(False), jnp.array(np.pi / 2), jnp.zeros(2))
    x_axis = jnp.zeros((4, 4, 3)).at[..., 0].set(1.0)
    turned = KIND.move(x_axis, move)
    np.testing.assert_allclose(turned[0, 0], [0, 1, 0], atol=1e-6)


def test_sapiens_normals_come_in_our_axes_and_unit_length() -> None:
    maps = np.tile(np.array([0.0, 2.0, 2.0], np.float32), (16, 12, 1))
    T = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    view = View(maps, T, (16, 12))
    cues = sapiens_decode.stitch((16, 12), np.ones(2, bool), {"normals": view})
    expected = np.array([0.0, -1.0, -1.0]) / np.sqrt(2)
    np.testing.assert_allclose(cues.values["normals"][8, 6], expected, atol=1e-5)
