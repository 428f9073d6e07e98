import os
import sys

import jax
import numpy as np
import pytest
import safetensors.torch
import torch

from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.weights import torch_files
from twohand_jax.weights.torch_files import WeightSource


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {"a.weight": torch.randn(3, 2), "a.count": torch.tensor(7)}


def written(path, content):
    save = safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save
    save(content, path)
    return path


def parallel(state):
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".tar", ".safetensors"])
def test_every_kind_of_file_gives_the_same_arrays(tmp_path, state, suffix):
    read = torch_files.read(written(tmp_path / f"net{suffix}", state))
    assert read.keys() == state.keys()
    np.testing.assert_array_equal(read["a.weight"], state["a.weight"].numpy())
    assert read["a.weight"].dtype == np.float32 and read["a.count"] == 7


@pytest.mark.parametrize(
    "wrap",
    [
        parallel,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": parallel(s), "optimizer": {"lr": 0.1}},
        lambda s: [parallel(s), {"state": {}}, 5, 1000],
    ],
    ids=["parallel", "state_dict", "model", "list"],
)
def test_what_trainers_wrap_around_weights_is_taken_off(tmp_path, state, wrap):
    read = torch_files.read(written(tmp_path / "net.pth", wrap(state)))
    assert read.keys() == state.keys()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_floating_type_becomes_float32(tmp_path, state, dtype, suffix):
    given = {"w": state["a.weight"].to(dtype)}
    read = torch_files.read(written(tmp_path / f"net{suffix}", given))["w"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, given["w"].float().numpy())


def test_code_in_a_file_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = written(tmp_path / "net.pth", {"w": Payload()})
    with pytest.raises(InputError, match="not readable as weights"):
        torch_files.read(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": torch.ones(2), "name": "resnet"}, "entry 'name' .* is str"),
        ({0: torch.ones(2)}, "entry 0"),
        (torch.ones(2), "holds Tensor where a state dict"),
        ({}, "holds dict where a state dict"),
        ({"w": torch.tensor([1.0, float("nan")])}, "'w' holds NaN"),
        ({"w": torch.ones(2).to_sparse()}, "not readable as weights"),
    ],
    ids=["text", "number", "tensor", "empty", "nan", "sparse"],
)
def test_other_content_is_refused_in_one_sentence(tmp_path, content, message):
    path = written(tmp_path / "net.pt", content)
    with pytest.raises(InputError, match=message) as caught:
        torch_files.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", bytes.upper]
)
def test_damaged_files_are_refused(tmp_path, state, suffix, damage):
    path = written(tmp_path / f"net{suffix}", state)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="not readable as weights"):
        torch_files.read(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.pt", "There is no weights file"), ("net.onnx", "must end in .pt")],
)
def test_no_file_and_another_kind_of_file(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        torch_files.read(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "package"), [(".pt", "torch"), (".safetensors", "safetensors.numpy")]
)
def test_an_absent_package_is_named(tmp_path, state, monkeypatch, suffix, package):
    path = written(tmp_path / f"net{suffix}", state)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'twohand_jax\[wei"):
        torch_files.read(path)


def test_safetensors_needs_no_pytorch(tmp_path, state, monkeypatch):
    path = written(tmp_path / "net.safetensors", state)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert torch_files.read(path).keys() == state.keys()


WANTED = {
    "linear": jax.ShapeDtypeStruct((3, 4), np.float32),
    "conv": jax.ShapeDtypeStruct((5, 5, 2, 6), np.float32),
    "query": jax.ShapeDtypeStruct((4, 2, 2), np.float32),
    "value": jax.ShapeDtypeStruct((4, 2, 2), np.float32),
}


def locate(path):
    stacked = {"query": 0, "value": 2}
    return WeightSource("stack" if path in stacked else path, stacked.get(path))


def given():
    rng = np.random.default_rng(0)
    shapes = {"linear": (4, 3), "conv": (6, 2, 5, 5), "stack": (12, 4), "extra.x": (1,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def test_weights_are_rearranged_for_the_layers_here():
    state = given()
    filled = torch_files.fill(WANTED, state, locate, ignored=r"extra\..*", where="f")
    x = np.arange(4.0)
    np.testing.assert_allclose(filled["linear"].T, state["linear"], rtol=1e-6)
    np.testing.assert_allclose(filled["conv"][1, 2, 0, 3], state["conv"][3, 0, 1, 2])
    value = np.einsum("i,ihd->hd", x, filled["value"]).reshape(-1)
    np.testing.assert_allclose(value, state["stack"][8:] @ x, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv"), "lacks 'conv' and has nothing"),
        (lambda s: s.update(new=np.zeros(1)), "lacks nothing and has 'new'"),
        (lambda s: s.update(linear=np.zeros((3, 4))), r"'linear' has shape \(3, 4\)"),
        (lambda s: s.update(stack=np.zeros((13, 4))), "'stack' has shape"),
        (lambda s: s.update(stack=np.zeros(())), "'stack' has shape"),
    ],
    ids=["missing", "left-over", "transposed", "stack", "scalar"],
)
def test_weights_of_another_network_are_named(change, message):
    state = given()
    change(state)
    with pytest.raises(InputError, match=message):
        torch_files.fill(WANTED, state, locate, ignored=r"extra\..*", where="f")
