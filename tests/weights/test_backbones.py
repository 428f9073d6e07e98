import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.apply import Variables
from twohand_jax.models.fusion import FusionConfig
from twohand_jax.models.regressor import Regressor, RegressorConfig
from twohand_jax.models.resnet import ResNet, ResNetConfig
from twohand_jax.models.transnet import TransNet, TransNetConfig
from twohand_jax.weights import native, torchvision

TINY = ResNetConfig(depths=(1, 1), width=4)
DEEP = dataclasses.replace(TINY, depths=(1, 2))


def shapes(build):
    return apply.shapes(apply.network(build))


def filled(config, value):
    """A backbone whose every number is ``value``."""
    float32 = jnp.dtype("float32")
    wanted = shapes(lambda rngs: ResNet(config, dtype=float32, rngs=rngs))
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, value), wanted)


@pytest.fixture
def regressor():
    config = RegressorConfig(
        image=DEEP,
        cue=TINY,
        fusion=FusionConfig(layers=1, width=16, heads=2, mlp=16),
        transnet=None,
        crop_size=64,
        head_channels=8,
        rotation_channels=4,
    )
    wanted = shapes(lambda rngs: Regressor(config, rngs=rngs))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), wanted)


def values(tree):
    return {float(x) for leaf in jax.tree.leaves(tree) for x in np.unique(leaf)}


@pytest.mark.slow
def test_a_regressor_starts_from_saved_backbones(tmp_path, regressor):
    for name, config, value in (("image", DEEP, 2.0), ("cue", TINY, 3.0)):
        torchvision.save_backbone(tmp_path / name, filled(config, value), arch=name)
    started = torchvision.adopt_backbones(
        regressor, image=tmp_path / "image", cue=tmp_path / "cue"
    )
    assert jax.tree.structure(started) == jax.tree.structure(regressor)
    for group in started:
        assert values(group["image"]) == {2.0} and values(group["cues"]) == {3.0}
        others = {k: v for k, v in group.items() if k not in ("image", "cues")}
        assert values(others) == {0.0}


def test_transnet_starts_from_the_stages_of_a_backbone(tmp_path):
    config = TransNetConfig(grid=16, depth=16, sigma=1.0, resnet=TINY)
    wanted = shapes(
        lambda rngs: TransNet(config, dtype=jnp.float32, rngs=rngs)
    )._asdict()
    whole = Variables(*({"transnet": tree} for tree in wanted.values()))
    whole = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), whole)
    torchvision.save_backbone(tmp_path, filled(TINY, 3.0), arch="tiny")
    started = torchvision.adopt_backbones(whole, transnet=tmp_path)
    assert jax.tree.structure(started) == jax.tree.structure(whole)
    for group in started:
        stages = group["transnet"].pop("stages")
        assert values(stages) == {3.0} and values(group) == {0.0}


def test_what_is_not_named_stays(tmp_path, regressor):
    torchvision.save_backbone(tmp_path, filled(TINY, 3.0), arch="tiny")
    started = torchvision.adopt_backbones(regressor, cue=tmp_path)
    assert values(started.params["image"]) == {0.0}
    assert values(started.params["cues"]) == {3.0}
    assert values(regressor.params) == {0.0}, "the given variables changed"


def test_a_network_without_cues_needs_no_backbone_for_them(tmp_path, regressor):
    bare = regressor._replace(
        params={k: v for k, v in regressor.params.items() if k != "cues"}
    )
    torchvision.save_backbone(tmp_path, filled(TINY, 3.0), arch="tiny")
    assert torchvision.adopt_backbones(bare, cue=tmp_path).params == bare.params


def test_a_backbone_of_another_network_is_refused(tmp_path, regressor):
    torchvision.save_backbone(tmp_path, filled(TINY, 3.0), arch="tiny")
    with pytest.raises(InputError, match="The tiny in .* does not fit .* no weight"):
        torchvision.adopt_backbones(regressor, image=tmp_path)


def test_a_directory_of_another_kind_is_refused(tmp_path, regressor):
    (tmp_path / native.CONFIG).write_text(json.dumps({"model": {}}))
    with pytest.raises(InputError, match="holds no backbone; write one with"):
        torchvision.adopt_backbones(regressor, cue=tmp_path)
