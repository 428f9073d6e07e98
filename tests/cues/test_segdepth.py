"""The segdepth network as a cue extractor."""

import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax import assets
from twohand_jax.crops.region import RegionConfig
from twohand_jax.cues.extraction import Extractor, combine, provenance
from twohand_jax.cues.segdepth import SegDepthCues, relative_depth
from twohand_jax.errors import InputError
from twohand_jax.models.apply import Network, Variables
from twohand_jax.models.segdepth import SegDepth
from twohand_jax.types import NO_CUES
from twohand_jax.weights import native

RED, BLUE = (230, 20, 20), (20, 20, 230)


def halved(x: jax.Array) -> jax.Array:
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


def by_colour(variables, region, train=False):
    """A network that calls red right and blue left; depth grows downwards."""
    seen = halved(region)
    logits = jnp.stack([0.0 * seen[..., 0], seen[..., 0], seen[..., 2]], axis=-1)
    rows = jnp.arange(seen.shape[1], dtype=jnp.float32)[:, None]
    return SegDepth(logits, jnp.broadcast_to(rows, seen.shape[:3])), variables


COLOURS = SegDepthCues(
    network=Network(init=lambda key: Variables({}, {}), apply=by_colour),
    variables=Variables({}, {}),
    region=RegionConfig(crop_size=64),
    version="0",
)


def picture(height, width, boxes):
    """Coloured boxes (right red, left blue) on black, and the label map."""
    image = np.zeros((height, width, 3), np.uint8)
    labels = np.zeros((height, width), np.uint8)
    for hand, colour in enumerate((RED, BLUE)):
        x0, y0, x1, y1 = boxes[hand]
        image[y0 : y1 + 1, x0 : x1 + 1] = colour
        labels[y0 : y1 + 1, x0 : x1 + 1] = hand + 1
    return image, labels


CASES = [  # picture's height and width, and both boxes
    (90, 120, [[10, 20, 40, 60], [70, 30, 100, 80]]),
    (400, 300, [[180, 100, 290, 220], [20, 150, 120, 320]]),
    (64, 64, [[0, 0, 30, 30], [40, 20, 63, 63]]),
    (900, 1300, [[20, 300, 500, 800], [800, 100, 1240, 700]]),  # beyond FINEST
]


@pytest.fixture(scope="module")
def pictures():
    made = [picture(*case) for case in CASES]
    boxes = np.array([case[2] for case in CASES], np.float32)
    return made, boxes, np.ones((len(made), 2), bool)


def iou(found, wanted):
    return (found & wanted).sum() / (found | wanted).sum()


def test_maps_come_back_where_the_picture_shows_the_hands(pictures):
    made, boxes, valid = pictures
    found = COLOURS([image for image, _ in made], boxes, valid)
    for (image, labels), cues in zip(made, found, strict=True):
        assert cues.has("segmentation") and cues.has("depth")
        assert tuple(cues.values) == ("segmentation", "depth")
        seen, depth = cues.values["segmentation"], cues.values["depth"]
        assert seen.shape == depth.shape == image.shape[:2]
        assert seen.dtype == np.uint8
        assert depth.dtype == np.float32
        for label in (1, 2):
            assert iou(seen == label, labels == label) > 0.9
        hands = seen > 0
        assert (depth[~hands] == 0).all()
        assert depth[hands].min() == 0.0 and depth[hands].max() == 1.0
        rows = np.nonzero(hands)[0]
        assert np.corrcoef(rows, depth[hands])[0, 1] > 0.99


def test_a_picture_alone_gets_what_it_gets_among_others(pictures):
    made, boxes, valid = pictures
    images = [image for image, _ in made]
    together = COLOURS(images, boxes, valid)
    for row, image in enumerate(images):
        (alone,) = COLOURS([image], boxes[[row]], valid[[row]])
        labels, expected = (
            cues.values["segmentation"] for cues in (alone, together[row])
        )
        assert (labels == expected).mean() > 0.999


def test_a_picture_without_hands_has_no_cues(pictures):
    made, boxes, valid = pictures
    valid = valid.copy()
    valid[1] = False
    found = COLOURS([image for image, _ in made], boxes, valid)
    assert [bool(cues.has("depth")) for cues in found] == [True, False, True, True]
    assert found[1] == NO_CUES
    assert COLOURS([], boxes[:0], valid[:0]) == []


def test_depth_is_relative():
    rng = np.random.default_rng(0)
    depth, hands = rng.normal(size=(9, 9)), rng.random((9, 9)) > 0.4
    unit = relative_depth(depth, hands)
    np.testing.assert_allclose(unit, relative_depth(3 * depth + 5, hands), atol=1e-6)
    assert (unit[~hands] == 0).all() and unit.min() == 0 and unit.max() == 1
    order = np.argsort(depth[hands])
    assert (np.diff(unit[hands][order]) >= 0).all()
    assert not relative_depth(depth, np.zeros((9, 9), bool)).any()
    assert not relative_depth(np.ones((9, 9)), hands).any()


def test_it_is_an_extractor_with_a_name():
    extractor: Extractor = COLOURS
    assert combine([extractor]).makes == ("segmentation", "depth")
    assert provenance(extractor)["depth"] == ("open_segdepth", "0")


def test_what_is_no_map_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a model directory"):
        SegDepthCues.load(tmp_path)
    with pytest.raises(InputError, match="experiment 'regressor'.*one of 'segdepth'"):
        SegDepthCues.load(assets.REGRESSOR)
    config = native.load_config(assets.SEGDEPTH)
    for change, message in (
        ({"model": None}, "section 'model'.*is missing"),
        ({"model": {"wodths": [1]}}, "section 'model'.*no field 'wodths'"),
        ({"model": {"widths": "many"}}, "widths is 'many'"),
        ({"crop": {"crop_size": 0}}, "at least 1"),
        ({"crop": {"crop_size": 100}}, "100 pixels.*multiple of 32"),
    ):
        (tmp_path / native.CONFIG).write_text(json.dumps(config | change))
        with pytest.raises(InputError, match=message):
            SegDepthCues.load(tmp_path)


@pytest.fixture(scope="module")
def shipped() -> SegDepthCues:
    return SegDepthCues.load()


def test_the_shipped_network_labels_the_joints_of_the_demo(shipped, hands, demo_image):
    found = {hand.side: hand for hand in hands(demo_image)}
    boxes = np.stack([found[side].box for side in (0, 1)])
    (cues,) = shipped([demo_image], boxes[None], np.ones((1, 2), bool))
    labels = cues.values["segmentation"]
    for side in (0, 1):
        x, y = found[side].keypoints[:, :2].round().astype(int).T
        assert (labels[y, x] == side + 1).mean() > 0.8
    small = cv2.resize(demo_image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    (again,) = shipped([small], boxes[None] / 2, np.ones((1, 2), bool))
    coarse, size = again.values["segmentation"], demo_image.shape[1::-1]
    large = cv2.resize(coarse, size, interpolation=cv2.INTER_NEAREST)
    assert iou(large > 0, labels > 0) > 0.85


def test_the_shipped_files_stay_small():
    size = sum(path.stat().st_size for path in assets.SEGDEPTH.iterdir())
    assert size < 10e6
