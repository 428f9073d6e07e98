"""Sapiens' network: agreement with PyTorch, laws of its parts, the released sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.weights.tiny_sapiens import loaded, run_torch, tiny, torch_network
from twohand_jax.errors import InputError
from twohand_jax.models import apply, vit
from twohand_jax.models.sapiens import (
    KINDS,
    PATCH_SHIFT,
    POSE,
    SIZES,
    SapiensConfig,
    instance_norm,
    released,
    size_name,
)
from twohand_jax.weights import sapiens as weights

torch = pytest.importorskip("torch")


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 64, 48, 3)).astype(np.float32)


def network_of(config):
    own = loaded(config, torch_network(config))
    net = weights.network(config)
    return jax.jit(lambda image: net.apply(own.variables, image)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_it_agrees_with_pytorch_and_each_picture_stands_alone(kind):
    config = tiny(kind)
    image, network = pictures(2), network_of(config)
    got, want = network(image), run_torch(torch_network(config), image)
    assert got.shape == (2, *config.map_size, config.outputs)
    assert np.std(want) > 0.1
    np.testing.assert_allclose(got, want, atol=1e-4)
    other = network(np.stack([image[0], pictures(1, seed=5)[0]]))
    np.testing.assert_allclose(other[0], got[0], atol=1e-5)
    assert np.abs(other[1] - got[1]).max() > 0.1


def test_half_precision_stays_near_and_gives_float32():
    image = pictures(1)
    wide, half = (
        network_of(tiny(POSE, dtype=d))(image) for d in ("float32", "bfloat16")
    )
    assert half.dtype == jnp.float32
    error = np.abs(half - wide)
    assert 0 < error.max() and error.mean() < 0.05 * np.std(wide)


def softmax_attention(query, key, value):
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    weight = np.exp(scores - scores.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weight, value)


def tokens(seed=0):
    return np.random.default_rng(seed).normal(size=(3, 2, 7, 4, 10)).astype(np.float32)


def test_attention_is_softmax_attention():
    parts = tokens()
    want = softmax_attention(*parts.astype(np.float64))
    np.testing.assert_allclose(vit.attend(*parts), want, atol=1e-5)


def test_attention_follows_the_order_of_queries_and_ignores_that_of_keys():
    query, key, value = tokens()
    order = np.random.default_rng(1).permutation(7)
    plain = vit.attend(query, key, value)
    np.testing.assert_allclose(
        vit.attend(query[:, order], key, value), plain[:, order], atol=1e-6
    )
    np.testing.assert_allclose(
        vit.attend(query, key[:, order], value[:, order]), plain, atol=1e-6
    )


def test_attention_stands_large_scores():
    query, key, value = 100 * tokens()
    assert np.isfinite(vit.attend(query, key, value)).all()


def test_the_fused_kernel_gets_heads_of_a_multiple_of_eight(monkeypatch):
    plain, widths = jax.nn.dot_product_attention, []

    def kernel(query, key, value, *, scale, implementation):
        assert implementation == "cudnn"
        widths.append(query.shape[-1])
        return plain(query, key, value, scale=scale)

    parts = jnp.asarray(tokens(), jnp.bfloat16)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    got = vit.attend(*parts)
    assert widths == [16] and got.shape[-1] == 10
    want = softmax_attention(*np.asarray(parts, np.float64))
    np.testing.assert_allclose(np.asarray(got, np.float64), want, atol=0.02)
    vit.attend(*tokens())  # float32 goes another way
    assert widths == [16]


def test_instance_norm_of_constant_and_random_channels():
    x = pictures(2).copy()
    x[..., 0] = 3.0
    y = np.asarray(instance_norm(x))
    np.testing.assert_allclose(y.mean(axis=(1, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(y[..., 1:].var(axis=(1, 2)), 1.0, atol=1e-3)
    np.testing.assert_array_equal(y[..., 0], 0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.slow
def test_released_networks_have_pytorchs_number_of_weights(size, kind):
    from twohand_jax.benchmarks.peers.torch_sapiens import TorchSapiens

    config = released(kind, size)
    with torch.device("meta"):
        theirs = sum(weight.numel() for weight in TorchSapiens(config).parameters())
    shapes = apply.shapes(weights.network(config)).params
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == theirs
    assert size_name(config) == size


def test_released_sizes_and_maps():
    maps = {kind: released(kind, "1b").map_size for kind in KINDS}
    assert maps == {
        "pose": (256, 192),
        "segmentation": (512, 384),
        "depth": (1024, 768),
        "normals": (512, 384),
    }
    assert PATCH_SHIFT == {"pose": 2, "segmentation": 0, "depth": 0, "normals": 2}
    assert released(POSE, "2b", outputs=133).outputs == 133
    assert size_name(tiny(POSE)) == "24x3"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "normal"}, "kind 'normal'"),
        ({"dtype": "float16"}, "dtype 'float16'"),
        ({"heads": 5}, "width 1024 with 5 heads"),
        ({"image": (1000, 768)}, r"\(1000, 768\) in patches of 16"),
    ],
)
def test_networks_that_cannot_be_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        SapiensConfig(**changes)
