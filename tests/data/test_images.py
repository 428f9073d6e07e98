import cv2
import numpy as np
import pytest

from twohand_jax.crops import cue_table
from twohand_jax.data import decode, schema
from twohand_jax.errors import InputError


def test_label_maps_survive_exactly() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (40, 50), dtype=np.uint8)
    np.testing.assert_array_equal(decode.decode_map(decode.encode_map(labels)), labels)


def test_depth_survives_to_a_level_and_keeps_its_foreground() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0, 1, (40, 50)).astype(np.float32)
    depth[:5] = 0.0  # near, and foreground
    foreground = rng.random((40, 50)) < 0.6
    stored = decode.encode_cue("depth", depth, foreground)
    found = decode.values_from_levels(
        decode.decode_map(stored["cues/depth"]),
        scale=float(stored["cues/depth_scale"]),
        offset=float(stored["cues/depth_offset"]),
    )
    np.testing.assert_array_equal(found > 0, foreground)
    error = np.abs(found - depth)[foreground]
    assert error.max() <= 1.5 / decode.DEPTH_LEVELS
    assert found.max() <= 1.0


def test_an_offset_moves_the_foreground_alone() -> None:
    levels = np.array([[0, 1, 100]], np.uint16)
    depth = decode.values_from_levels(levels, scale=0.001, offset=0.5)
    np.testing.assert_allclose(depth, [[0.0, 0.501, 0.6]], rtol=1e-6)


def test_label_maps_are_stored_as_they_are() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (40, 50), dtype=np.uint8)
    stored = decode.encode_cue("segmentation", labels, labels > 0)
    assert stored.keys() == {"cues/segmentation"}
    found = decode.decode_map(stored["cues/segmentation"])
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)], ids=str)
def test_maps_of_one_and_three_channels_keep_their_order(kind, shape) -> None:
    top = np.iinfo(kind).max
    values = np.random.default_rng(0).integers(0, top, shape, kind, endpoint=True)
    np.testing.assert_array_equal(decode.decode_map(decode.encode_map(values)), values)


def test_a_map_of_four_channels_is_not_ours() -> None:
    data = cv2.imencode(".png", np.zeros((4, 4, 4), np.uint8))[1].tobytes()
    with pytest.raises(InputError, match="4 channels, expected one or three"):
        decode.decode_map(data)


@pytest.mark.parametrize("name", cue_table.NAMES)
def test_an_absent_cue_has_all_its_features(name: str) -> None:
    absent = decode.absent_cue(name)
    assert absent.keys() == {one.name for one in schema.cue_features(name)}
    assert absent[f"cues/has_{name}"] == np.False_
    assert absent[f"cues/{name}_source"] == absent[f"cues/{name}_version"] == ""
    if cue_table.CUE_KINDS[name].is_map:
        (pixel,) = decode.decode_map(absent[f"cues/{name}"])
        assert pixel.shape[0] == 1 and not pixel.any()
    else:
        assert not absent[f"cues/{name}"].any()


def test_pictures_keep_their_channels() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 200
    found = decode.decode_jpeg(decode.encode_jpeg(image, quality=95))
    assert found[..., 0].min() > 180 and found[..., 1:].max() < 20


@pytest.fixture
def jpeg() -> bytes:
    rng = np.random.default_rng(1)
    rough = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return decode.encode_jpeg(cv2.resize(rough, (75, 50)))


def test_both_decoders_give_the_same_pixels(
    jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    fast = decode.decode_jpeg(jpeg)
    assert decode.jpeg_size(jpeg) == (50, 75)
    monkeypatch.setattr(decode, "_simplejpeg", None)
    np.testing.assert_array_equal(decode.decode_jpeg(jpeg), fast)
    assert decode.jpeg_size(jpeg) is None


def test_pictures_are_decoded_into_given_memory(jpeg: bytes) -> None:
    pytest.importorskip("simplejpeg")
    room = np.zeros(50 * 75 * 3 + 10, np.uint8)
    found = decode.decode_jpeg(jpeg, out=room)
    assert np.shares_memory(found, room)
    np.testing.assert_array_equal(found, decode.decode_jpeg(jpeg))
    small = decode.decode_jpeg(jpeg, out=room[:100])
    np.testing.assert_array_equal(small, found)


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_other_pictures_are_read_too(kind: str) -> None:
    """PNG, as HO-3D v2 stores them, and grey JPEG."""
    grey = np.full((20, 30), 77, np.uint8)
    data = cv2.imencode(kind, grey)[1].tobytes()
    np.testing.assert_array_equal(decode.decode_jpeg(data), np.full((20, 30, 3), 77))


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0 cut"])
def test_what_does_not_decode_is_said(data: bytes) -> None:
    with pytest.raises(InputError, match=f"picture of {len(data)} bytes"):
        decode.decode_jpeg(data)
