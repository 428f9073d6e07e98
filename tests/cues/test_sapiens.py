"""Sapiens as an extractor: a twin's cues, any batch, any number of devices."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from tests.cues import sapiens_twin
from tests.multiprocess import launch
from tests.weights.tiny_sapiens import loaded, tiny, torch_network
from twohand_jax.cues.extraction import combine, extract
from twohand_jax.cues.sapiens import SapiensCues, SapiensCuesConfig
from twohand_jax.cues.sapiens_decode import HAND_KEYPOINTS
from twohand_jax.errors import InputError
from twohand_jax.models.sapiens import DEPTH, POSE, SEGMENTATION
from twohand_jax.types import LEFT, RIGHT
from twohand_jax.weights import sapiens as weights

pytest.importorskip("torch")
KIND = {"keypoints": POSE, "segmentation": SEGMENTATION, "depth": DEPTH}


def pictures():
    """Random, of several sizes; the first has the networks' aspect ratio."""
    rng = np.random.default_rng(0)
    sizes = [(128, 96), (60, 100), (90, 40), (128, 96), (33, 33)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def modules():
    """Networks of random weights; hands win somewhere."""
    found = {cue: torch_network(tiny(kind), seed=1) for cue, kind in KIND.items()}
    found["segmentation"].decode_head.conv_seg.weight.data[[5, 14]] *= 4
    return found


@pytest.fixture(scope="module")
def networks(modules):
    return {cue: loaded(tiny(kind), modules[cue]) for cue, kind in KIND.items()}


@pytest.fixture(scope="module")
def extractor(networks):
    return SapiensCues(networks, config=SapiensCuesConfig(batch=2))


@pytest.fixture(scope="module")
def found(extractor):
    """The cues of all pictures; no left hand is in the second, none in the third."""
    valid = np.ones((5, 2), bool)
    valid[1, LEFT] = valid[2] = False
    return extractor(pictures(), np.zeros((5, 2, 4)), valid)


@pytest.mark.slow
def test_it_is_an_extractor(extractor, found):
    assert extractor.makes == ("keypoints", "segmentation", "depth")
    assert extractor.name == "sapiens_24x3"
    assert extractor.version.count("tiny 0123 float32") == 3
    for image, cues in zip(pictures(), found, strict=True):
        points, labels, depth = cues.values.values()
        assert points.dtype == depth.dtype == np.float32
        assert labels.dtype == np.uint8
        assert labels.shape == depth.shape == image.shape[:2]
        assert cues.has("segmentation") and cues.has("depth")
        assert set(np.unique(labels)) <= {0, 1, 2}
    labels = [cues.values["segmentation"].ravel() for cues in found]
    assert {1, 2} <= set(np.unique(np.concatenate(labels)))
    assert extractor([], np.zeros((0, 2, 4)), np.zeros((0, 2), bool)) == []


def test_keypoints_of_absent_hands_are_not_there(found):
    assert [bool(cues.has("keypoints")) for cues in found] == [
        True,
        True,
        False,
        True,
        True,
    ]
    points = [cues.values["keypoints"] for cues in found]
    assert (points[1][LEFT] == 0).all() and points[1][RIGHT].any()
    assert (points[2] == 0).all()


def test_keypoints_agree_with_the_twin(modules, extractor):
    image, size = pictures()[1], (64, 48)
    order = HAND_KEYPOINTS[133].ravel()
    person = np.array([10.0, -5.0, 70.0, 58.0])
    for box, given in ((np.array([0.0, 0, 100, 60]), None), (person, person[None])):
        want = sapiens_twin.keypoints(modules["keypoints"], image, box, size, order)
        valid = np.ones((1, 2), bool)
        cues = extractor([image], np.zeros((1, 2, 4)), valid, persons=given)[0]
        got = cues.values["keypoints"].reshape(42, 3)
        assert (want[:, 2] > 0).sum() > 20
        np.testing.assert_allclose(got[:, 2], want[:, 2], atol=1e-4)
        assert (np.abs(got - want)[:, :2].max(axis=1) < 0.05).mean() > 0.9


def test_maps_agree_with_the_twin(modules, found):
    image, size = pictures()[0], (64, 48)
    classes = sapiens_twin.planes(modules["segmentation"], image, size).argmax(axis=0)
    want = np.where(classes == 14, 1, np.where(classes == 5, 2, 0))
    labels = found[0].values["segmentation"]
    # Of noise, whose every pixel has another class, margins lose some of the borders.
    assert (labels == want)[labels > 0].all() and (labels == want).mean() > 0.9
    inner = classes > 0
    depth = sapiens_twin.planes(modules["depth"], image, size)[0]
    depth = (depth - depth[inner].min()) / np.ptp(depth[inner])
    made = found[0].values["depth"]
    both = inner & (made > 0)
    assert both.sum() > 0.9 * inner.sum()
    np.testing.assert_allclose(made[both], depth[both], atol=0.01)


def test_each_picture_stands_alone(extractor, found):
    for index in (0, 4):
        picture, valid = [pictures()[index]], np.ones((1, 2), bool)
        alone = extractor(picture, np.zeros((1, 2, 4)), valid)[0]
        close = functools.partial(np.testing.assert_allclose, atol=1e-3)
        jax.tree.map(close, alone, found[index])


def test_it_takes_part_in_batched_extraction(extractor, found):
    valid = np.ones((5, 2), bool)
    cues = extract(
        combine([extractor]), pictures(), np.zeros((5, 2, 4)), valid, batch=3
    )
    for index in (0, 3, 4):
        depth, expected = (one[index].values["depth"] for one in (cues, found))
        np.testing.assert_allclose(depth, expected, atol=1e-4)


@pytest.mark.slow
def test_four_devices_see_what_one_sees(tmp_path):
    process = launch.start(["-m", "tests.cues.sapiens_devices"], devices=4)
    out, error = process.communicate(timeout=launch.SECONDS)
    assert process.returncode == 0, error
    assert "same cues of 6 pictures on 4 devices" in out


def test_weights_are_split_over_devices_that_are_there(networks):
    with pytest.raises(InputError, match="1 devices do not divide into groups of 2"):
        SapiensCues(networks, config=SapiensCuesConfig(fsdp=2))


def test_depth_without_segmentation_is_spread_over_the_picture(networks):
    extractor = SapiensCues({"depth": networks["depth"]})
    image = pictures()[1]
    cues = extractor([image], np.zeros((1, 2, 4)), np.ones((1, 2), bool))[0]
    assert extractor.makes == ("depth",)
    assert tuple(cues.values) == ("depth",) and cues.has("depth")
    depth = cues.values["depth"]
    assert depth.min() == 0 and depth.max() == 1
    assert (depth > 0).mean() > 0.99


def test_directories_are_loaded(networks, tmp_path):
    own = networks["depth"]
    weights.save(tmp_path, own.config, own.variables, origin=own.origin)
    extractor = SapiensCues.load({"depth": tmp_path})
    assert extractor.version == f"depth tiny 0123 {extractor.dtype}"
    assert extractor.dtype == "float32" or jax.default_backend() != "cpu"
    config = SapiensCuesConfig(dtype="bfloat16")
    half = SapiensCues.load({"depth": tmp_path}, config=config)
    assert half.version == "depth tiny 0123 bfloat16"
    with pytest.raises(InputError, match="depth network .* is given for keypoints"):
        SapiensCues.load({"keypoints": tmp_path})


def test_what_it_cannot_use_is_refused(extractor, networks):
    with pytest.raises(InputError, match="No Sapiens network is given"):
        SapiensCues.load({})
    own = networks["segmentation"]
    few = own._replace(config=dataclasses.replace(own.config, outputs=20))
    with pytest.raises(InputError, match="20 maps .* is given for segmentation"):
        SapiensCues({"segmentation": few})
    with pytest.raises(InputError, match="0 at a time"):
        SapiensCuesConfig(batch=0)
    boxes, valid = np.zeros((2, 2, 4)), np.ones((2, 2), bool)
    gray = [pictures()[0], pictures()[0][..., 0]]
    with pytest.raises(InputError, match=r"Picture 1 .* uint8 of shape \(128, 96\)"):
        extractor(gray, boxes, valid)
    with pytest.raises(InputError, match="person 1"):
        persons = np.array([[0.0, 0, 9, 9], [5, 5, 5, 9]])
        extractor(pictures()[:2], boxes, valid, persons=persons)
