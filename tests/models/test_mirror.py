"""A mirrored picture gives mirrored hands, whatever the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.crops.test_augment import mirrored
from tests.data import scenes
from tests.models.test_regressor import CONFIG, network, random_inputs, run, variables
from twohand_jax import mano
from twohand_jax.crops.augment import CropConfig, prepare
from twohand_jax.crops.predictions import decode
from twohand_jax.types import Inputs

__all__ = ["network", "run", "variables"]
PER_HAND = ("image", "T_crop_image", "box", "hand_valid")
CROP = CropConfig(crop_size=CONFIG.crop_size, cells=CONFIG.cells, crop_view=True)


def swapped(inputs: Inputs) -> Inputs:
    """What the network sees of the mirrored picture: the same crops, hands swapped."""
    return inputs._replace(
        cues={name: drawn[:, ::-1] for name, drawn in inputs.cues.items()},
        **{name: getattr(inputs, name)[:, ::-1] for name in PER_HAND},
    )


@pytest.mark.slow
def test_swapped_crops_give_swapped_hands(run, variables):
    inputs = random_inputs(jax.random.key(1))
    plain, _ = run(variables, inputs, train=False)
    other, _ = run(variables, swapped(inputs), train=False)
    names = [name for name in plain._fields if name != "rel_trans"]
    for name in names:
        expected = getattr(plain, name)[:, ::-1]
        np.testing.assert_allclose(
            getattr(other, name), expected, atol=1e-4, err_msg=name
        )


@pytest.mark.slow
def test_a_mirrored_picture_gives_mirrored_predictions(network, variables):
    """From pixels to meshes; places are those of the camera head."""
    model = mano.load()

    @jax.jit
    def predict(variables, batch, model):
        inputs, _ = prepare(batch, crop=CROP)
        output, _ = network.apply(variables, inputs, train=False)
        camera = batch.targets.camera
        placed = output._replace(rel_trans=None)
        return decode(placed, model, inputs, camera, crop=CROP)

    scene = scenes.batch(3, (2,), model)
    plain = predict(variables, scene, model)
    other = predict(variables, mirrored(scene), model)
    expected = plain.geometry.joints[:, ::-1] * jnp.array([-1.0, 1.0, 1.0])
    found = other.geometry.joints
    # A crop's pixel on the edge of two of the map's may show the other one.
    wrists = [np.asarray(joints[:, :, :1]) for joints in (found, expected)]
    np.testing.assert_allclose(wrists[0], wrists[1], rtol=1e-2, atol=5e-3)
    shapes = [found - wrists[0], expected - wrists[1]]
    np.testing.assert_allclose(shapes[0], shapes[1], atol=5e-3)
    assert np.abs(shapes[0] - shapes[1][:, ::-1]).max() > 0.02
