"""Regions of records and what random changes do to them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from twohand_jax import mano
from twohand_jax.crops.region import RegionConfig
from twohand_jax.experiments.segdepth import (
    SegDepthAugmentConfig,
    SegDepthSample,
    augment,
    prepare,
)

REGION = RegionConfig(crop_size=64)
STILL = SegDepthAugmentConfig(
    flip_probability=0.0,
    rotation_deg=0.0,
    scale=0.0,
    box_jitter=0.0,
    box_dropout=0.0,
    color=0.0,
    grey_probability=0.0,
    noise=0.0,
)


@functools.cache
def scene():
    model = mano.load()
    return scenes.batch(0, (4,), model), model


@functools.cache
def compiled(config: SegDepthAugmentConfig):
    return jax.jit(functools.partial(augment, config=config, region=REGION))


def changed(key: int = 0, **settings) -> SegDepthSample:
    batch, model = scene()
    config = dataclasses.replace(STILL, **settings)
    return jax.device_get(compiled(config)(jax.random.key(key), batch, model))


@functools.cache
def as_it_is() -> SegDepthSample:
    return jax.device_get(
        jax.jit(functools.partial(prepare, region=REGION))(scene()[0])
    )


def test_maps_lie_over_the_regions_colours():
    """Dots of wrists and fingertips surround each label's disc."""
    sample = as_it_is()
    assert sample.image.shape == (4, 64, 64, 3)
    assert sample.labels.shape == sample.depth.shape == (4, 32, 32)
    for row in range(4):
        for hand in range(2):
            cells = np.argwhere(sample.labels[row] == hand + 1)
            middle = 2.0 * cells.mean(axis=0)[::-1] + 0.5
            low, high = sample.boxes[row, hand].reshape(2, 2)
            assert (low < middle).all() and (middle < high).all()
            weight = np.clip(sample.image[row, ..., hand] - 0.2, 0, None)
            y, x = np.argwhere(weight > 0.1).T
            assert low[0] - 1 < x.min() and x.max() < high[0] + 1
            assert low[1] - 1 < y.min() and y.max() < high[1] + 1
    assert (sample.measured == (sample.labels > 0)).all()


def test_without_chance_nothing_changes():
    for plain, drawn in zip(as_it_is(), changed(), strict=True):
        np.testing.assert_allclose(plain, drawn, atol=1e-4)


def test_a_mirrored_picture_exchanges_the_hands():
    plain, drawn = as_it_is(), changed(flip_probability=1.0)
    swapped = np.where(plain.labels > 0, 3 - plain.labels, 0)[..., ::-1]
    assert (drawn.labels == swapped).mean() > 0.995
    np.testing.assert_allclose(drawn.image, plain.image[:, :, ::-1], atol=2e-3)
    boxes = plain.boxes[:, ::-1][..., [2, 1, 0, 3]]
    boxes[..., [0, 2]] = 63 - boxes[..., [0, 2]]
    np.testing.assert_allclose(drawn.boxes, boxes, atol=1e-2)


@pytest.mark.parametrize(
    "settings", [{"rotation_deg": 40.0}, {"scale": 0.3}, {"box_jitter": 0.05}]
)
@pytest.mark.slow
def test_labels_move_with_the_colours(settings):
    """Each disc keeps its place among its hand's dots."""
    for sample in (changed(key, **settings) for key in range(2)):
        assert not np.allclose(sample.image, as_it_is().image, atol=0.05)
        for row in range(4):
            for hand in range(2):
                cells = np.argwhere(sample.labels[row] == hand + 1)
                dots = np.argwhere(sample.image[row, ..., hand] > 0.25)
                middle = 2.0 * cells.mean(axis=0) + 0.5
                assert np.abs(middle - dots.mean(axis=0)).max() < 8


def test_one_of_two_boxes_may_be_missing():
    sample = changed(box_dropout=1.0)
    np.testing.assert_array_equal(sample.seen.sum(axis=-1), 1)
    batch, model = scene()
    only_right = batch._replace(
        targets=batch.targets._replace(
            hand_valid=batch.targets.hand_valid.at[:, 1].set(False)
        )
    )
    config = dataclasses.replace(STILL, box_dropout=1.0)
    alone = compiled(config)(jax.random.key(0), only_right, model)
    np.testing.assert_array_equal(alone.seen, [[True, False]] * 4)


def test_records_without_hands_or_labels_do_not_count():
    batch, _ = scene()
    no_hands = batch.targets.hand_valid.at[0].set(False)
    batch = batch._replace(
        targets=batch.targets._replace(hand_valid=no_hands),
        cues=batch.cues._replace(
            present=batch.cues.present
            | {
                "segmentation": jnp.array([True, False, True, True]),
                "depth": jnp.array([True, True, False, True]),
            }
        ),
    )
    sample = jax.jit(functools.partial(prepare, region=REGION))(batch)
    np.testing.assert_array_equal(sample.weight, [0.0, 0.0, 1.0, 1.0])
    assert not sample.measured[2].any() and sample.measured[3].any()


@pytest.mark.parametrize("setting", ["color", "noise", "grey_probability"])
@pytest.mark.slow
def test_colours_change_each_in_their_way(setting):
    amount = 1.0 if setting == "grey_probability" else 0.1
    plain, drawn = changed().image, changed(**{setting: amount}).image
    assert (np.abs(drawn - plain).max(axis=(1, 2, 3)) > 0.002).all()
    assert drawn.min() >= 0 and drawn.max() <= 1
    if setting == "grey_probability":
        np.testing.assert_allclose(drawn[..., 0], drawn[..., 2], atol=1e-6)
