"""The networks here against PyTorch's on random weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.models import reference
from twohand_jax.models import apply, fusion
from twohand_jax.models.denoiser import DenoiserConfig, PostNormLayer
from twohand_jax.models.resnet import RESNET18, RESNET50, ResNet
from twohand_jax.weights import torchvision


class Frozen(nnx.Module):
    """A backbone with the calling convention of ``apply.network``."""

    def __init__(self, config, *, rngs):
        self.net = ResNet(config, dtype=jnp.dtype("float32"), rngs=rngs)

    def __call__(self, image, *, train):
        return self.net(image, frozen=not train)


def close(ours, theirs, tolerance):
    """Largest difference within ``tolerance`` of the largest value."""
    theirs = np.asarray(theirs)
    assert np.abs(np.asarray(ours) - theirs).max() <= tolerance * np.abs(theirs).max()


@pytest.mark.slow
@pytest.mark.parametrize("config", [RESNET18, RESNET50], ids=["resnet18", "resnet50"])
def test_resnets_agree_with_pytorch_evaluating_and_training(config):
    module = reference.randomised(reference.ResNet(config.depths, config.bottleneck))
    image = np.random.default_rng(0).normal(size=(4, 3, 64, 96)).astype(np.float32)
    loaded = torchvision.convert_resnet(reference.state(module), config, where="memory")
    variables = apply.Variables(*({"net": tree} for tree in loaded))
    net = apply.network(lambda rngs: Frozen(config, rngs=rngs))
    run = jax.jit(net.apply, static_argnames="train")
    nhwc = jnp.asarray(image.transpose(0, 2, 3, 1))
    for train in (False, True):
        with torch.no_grad():
            expected = module.train(train)(torch.from_numpy(image)).numpy()
        ours, updated = run(variables, nhwc, train=train)
        close(ours, expected.transpose(0, 2, 3, 1), 1e-4)
    after = torchvision.convert_resnet(reference.state(module), config, where="memory")
    jax.tree.map(
        lambda a, b: close(a, b, 1e-4), updated.batch_stats["net"], after.batch_stats
    )
    moved = jax.tree.map(np.array_equal, after.batch_stats, loaded.batch_stats)
    assert not any(jax.tree.leaves(moved))


def encoder_weights(state, width, heads):
    """Parameters of either encoder layer here from PyTorch's layer."""
    stacked = state["self_attn.in_proj_weight"], state["self_attn.in_proj_bias"]
    attention = {
        name: {
            "kernel": kernel.T.reshape(width, heads, -1),
            "bias": bias.reshape(heads, -1),
        }
        for name, kernel, bias in zip(
            ("query", "key", "value"), *(np.split(a, 3) for a in stacked), strict=True
        )
    }
    out = state["self_attn.out_proj.weight"].T.reshape(heads, -1, width)
    attention["out"] = {"kernel": out, "bias": state["self_attn.out_proj.bias"]}
    params = {"attention": attention}
    for ours, theirs in (("norm_attention", "norm1"), ("norm_mlp", "norm2")):
        scale, bias = state[f"{theirs}.weight"], state[f"{theirs}.bias"]
        params[ours] = {"scale": scale, "bias": bias}
    for ours, theirs in (("expand", "linear1"), ("contract", "linear2")):
        kernel, bias = state[f"{theirs}.weight"].T, state[f"{theirs}.bias"]
        params[ours] = {"kernel": kernel, "bias": bias}
    return params


@pytest.mark.parametrize("norm_first", [True, False], ids=["pre-norm", "post-norm"])
def test_encoder_layers_agree_with_pytorch(norm_first):
    width, heads, mlp = 32, 4, 48
    module = reference.randomised(
        torch.nn.TransformerEncoderLayer(
            width, heads, mlp, norm_first=norm_first, batch_first=True
        )
    )
    if norm_first:
        config = fusion.FusionConfig(width=width, heads=heads, mlp=mlp)
        layer = fusion.EncoderLayer(config, dtype=jnp.float32, rngs=nnx.Rngs(0))
    else:
        sizes = DenoiserConfig(embedding=width, heads=heads, mlp=mlp)
        sizes = dataclasses.replace(sizes, attention="tokens")
        layer = PostNormLayer(sizes, rngs=nnx.Rngs(0))
    params = encoder_weights(reference.state(module), width, heads)
    nnx.update(layer, jax.tree.map(jnp.asarray, params))
    x = np.random.default_rng(1).normal(size=(3, 7, width)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    close(layer(jnp.asarray(x)), expected, 1e-5)
