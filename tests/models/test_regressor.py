import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.fusion import FusionConfig
from twohand_jax.models.regressor import Regressor, RegressorConfig, shrink
from twohand_jax.models.resnet import RESNET50, ResNetConfig
from twohand_jax.models.transnet import TransNetConfig
from twohand_jax.types import Inputs

SMALL = ResNetConfig(depths=(1, 1, 1, 1), width=4, last_stride=1)
CONFIG = RegressorConfig(
    image=SMALL,
    cue=SMALL,
    fusion=FusionConfig(layers=1, width=16, heads=2, mlp=16),
    transnet=TransNetConfig(grid=16, depth=16, sigma=1.0, resnet=SMALL, hidden=8),
    crop_size=64,
    cells=4,
    head_channels=16,
    rotation_channels=8,
    summary=8,
)
BATCH = 2
CUES = ("keypoints", "segmentation", "depth")


def random_inputs(key):
    keys = jax.random.split(key, 4)
    image, *drawn = (jax.random.uniform(k, (BATCH, 2, 64, 64, 3)) for k in keys)
    T = jnp.array([[1.0, 0.0, 3.0], [0.0, 1.0, 5.0]])
    return Inputs(
        image=image,
        cues=dict(zip(CUES, drawn, strict=True)),
        present=dict.fromkeys(CUES, jnp.ones(BATCH, bool)),
        T_crop_image=jnp.broadcast_to(T, (BATCH, 2, 2, 3)),
        box=jnp.zeros((BATCH, 2, 4)),
        hand_valid=jnp.ones((BATCH, 2), bool),
        overlap=jnp.ones((BATCH,), bool),
    )


@pytest.fixture(scope="module")
def network():
    return apply.network(lambda rngs: Regressor(CONFIG, rngs=rngs))


@pytest.fixture(scope="module")
def variables(network):
    shapes = apply.shapes(network)
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    drawn = [
        0.1 * jax.random.normal(key, leaf.shape) + (0.5 if leaf.ndim == 1 else 0.0)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    drawn = jax.tree.unflatten(tree, drawn)
    return drawn._replace(batch_stats=jax.tree.map(jnp.abs, drawn.batch_stats))


@pytest.fixture(scope="module")
def run(network):
    return jax.jit(network.apply, static_argnames="train")


@pytest.mark.slow
def test_outputs_have_the_documented_shapes_and_are_finite(run, variables):
    output, _ = run(variables, random_inputs(jax.random.key(1)), train=False)
    shapes = [(21, 3), (6,), (15, 6), (10,), (3,)]
    assert [leaf.shape for leaf in output[:5]] == [(BATCH, 2, *s) for s in shapes]
    assert output.rel_trans.shape == (BATCH, 3)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(output))
    assert np.all((output.camera[..., 2] > 0) & (output.camera[..., 2] < 11.72))


def test_a_missing_cue_is_not_looked_at_and_a_present_one_is(run, variables):
    inputs = random_inputs(jax.random.key(1))
    changed = inputs._replace(cues=inputs.cues | {"depth": 1.0 - inputs.cues["depth"]})
    absent = inputs.present | {"depth": jnp.zeros(BATCH, bool)}

    def joints(values, present):
        return run(variables, values._replace(present=present), train=False)[0][0]

    assert np.array_equal(joints(inputs, absent), joints(changed, absent))
    assert not np.allclose(
        joints(inputs, inputs.present), joints(changed, inputs.present), atol=1e-5
    )


def test_a_cue_that_inputs_lack_is_an_absent_one(run, variables):
    inputs = random_inputs(jax.random.key(1))
    lacking = inputs._replace(
        cues={name: inputs.cues[name] for name in CUES[:2]},
        present={name: inputs.present[name] for name in CUES[:2]},
    )
    absent = inputs._replace(present=inputs.present | {"depth": jnp.zeros(BATCH, bool)})
    found, expected = (run(variables, i, train=False)[0] for i in (lacking, absent))
    close = functools.partial(np.testing.assert_allclose, atol=1e-6)
    jax.tree.map(close, found, expected)


def test_a_cue_without_an_encoder_is_not_looked_at(run, variables):
    inputs = random_inputs(jax.random.key(1))
    more = inputs._replace(
        cues={"heat": 1.0 - inputs.image} | inputs.cues,
        present={"heat": jnp.ones(BATCH, bool)} | inputs.present,
    )
    found, expected = (run(variables, i, train=False)[0] for i in (more, inputs))
    close = functools.partial(np.testing.assert_allclose, atol=1e-6)
    jax.tree.map(close, found, expected)


def test_without_transnet_there_is_no_relative_translation():
    config = dataclasses.replace(CONFIG, transnet=None, cues=())
    bare = apply.network(lambda rngs: Regressor(config, rngs=rngs))
    inputs = random_inputs(jax.random.key(1))
    output, _ = jax.eval_shape(bare.apply, apply.shapes(bare), inputs)
    assert output.rel_trans is None and output.camera.shape == (BATCH, 2, 3)


@pytest.mark.parametrize(
    ("cues", "message"),
    [
        (("keypoints", "flow"), "cues names the cue 'flow'; cues are key"),
        (("depth", "keypoints"), r"each cue stands once, in the order \('keypoints', "),
        (("depth", "depth"), r"each cue stands once, in the order \('depth',\)"),
    ],
)
def test_cues_must_be_known_and_in_order(cues, message):
    with pytest.raises(InputError, match=message):
        RegressorConfig(cues=cues)


def test_both_hands_go_through_the_same_network(run, variables):
    inputs = random_inputs(jax.random.key(1))
    swapped = inputs._replace(
        image=jnp.flip(inputs.image, 1),
        cues={name: jnp.flip(drawn, 1) for name, drawn in inputs.cues.items()},
        T_crop_image=jnp.flip(inputs.T_crop_image, 1),
    )
    first = run(variables, inputs, train=False)[0]
    second = run(variables, swapped, train=False)[0]
    for one, other in zip(first[:5], second[:5], strict=True):
        np.testing.assert_allclose(one, jnp.flip(other, 1), atol=2e-5)


def test_the_summary_reaches_every_head_past_the_fusion(run, variables):
    """All but the joints, which are read from the fused map alone."""
    inputs = random_inputs(jax.random.key(1))
    params = variables.params | {
        "summary": jax.tree.map(lambda x: 2.0 * x, variables.params["summary"])
    }
    before = run(variables, inputs, train=False)[0]
    after = run(variables._replace(params=params), inputs, train=False)[0]
    moved = [
        not np.allclose(one, other, atol=1e-6)
        for one, other in zip(before, after, strict=True)
    ]
    assert moved == [False, True, True, True, True, True]


def test_only_training_moves_the_statistics(run, variables):
    inputs = random_inputs(jax.random.key(1))
    _, kept = run(variables, inputs, train=False)
    _, moved = run(variables, inputs, train=True)
    same = jax.tree.map(np.array_equal, kept.batch_stats, variables.batch_stats)
    assert all(jax.tree.leaves(same))
    same = jax.tree.map(np.array_equal, moved.batch_stats, variables.batch_stats)
    assert not any(jax.tree.leaves(same))


@pytest.mark.slow
def test_the_published_network_has_its_published_size():
    full = RegressorConfig()
    assert full.image == RESNET50
    shapes = apply.shapes(apply.network(lambda rngs: Regressor(full, rngs=rngs)))
    image = sum(leaf.size for leaf in jax.tree.leaves(shapes.params["image"]))
    assert image == 25_557_032 - 2_049_000  # torchvision's ResNet-50 without its fc


def test_encoders_of_shrunk_cues_see_means_of_pixels(network):
    config = dataclasses.replace(
        CONFIG, cue=dataclasses.replace(SMALL, depths=(1, 1, 1)), cue_shrink=2
    )
    assert config.cue.stride * config.cue_shrink == SMALL.stride
    net = apply.network(lambda rngs: Regressor(config, rngs=rngs))
    shapes = apply.shapes(net)
    assert shapes.params.keys() == apply.shapes(network).params.keys()
    image = np.random.default_rng(0).uniform(size=(2, 4, 6, 3)).astype(np.float32)
    small = np.asarray(shrink(image, 2))
    assert small.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(small[1, 1, 2], image[1, 2:, 4:].mean((0, 1)), rtol=1e-6)
    np.testing.assert_array_equal(shrink(image, 1), image)
