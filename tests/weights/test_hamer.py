"""HaMeR's checkpoint: names and shapes, Lightning's container, and refusals."""

import dataclasses
import math
import os
import pickle
import sys
import types

import jax
import numpy as np
import pytest

from tests.weights import tiny_hamer
from tests.weights.tiny_hamer import state_of, tiny, torch_network, write_checkpoint
from twohand_jax.cli import main as cli
from twohand_jax.errors import InputError
from twohand_jax.inference import predict
from twohand_jax.models import apply
from twohand_jax.models.hamer import Hamer
from twohand_jax.weights import hamer, lightning, native

torch = pytest.importorskip("torch")


@pytest.fixture
def checkpoint(tmp_path):
    return write_checkpoint(torch_network(tiny()), tmp_path / "hamer.ckpt")


@pytest.fixture
def small_release(monkeypatch):
    """Makes the tiny network the released one."""
    monkeypatch.setattr(hamer, "RELEASED", tiny())


@pytest.mark.parametrize("mean_token", [False, True])
def test_names_and_shapes_of_the_release_are_those_of_the_module(mean_token):
    from twohand_jax.benchmarks.peers.torch_hamer import TorchHamer

    config = dataclasses.replace(hamer.RELEASED, mean_token=mean_token)
    with torch.device("meta"):
        module = TorchHamer(config)
    theirs = {name: tuple(w.shape) for name, w in module.state_dict().items()}
    ours = hamer.released_layout(config)
    assert ours == theirs
    assert sum(map(math.prod, ours.values())) > 650e6
    shapes = apply.shapes(apply.network(lambda rngs: Hamer(config, rngs=rngs)))
    inner = config.decoder.heads * config.decoder.head_width
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    # Left out: queries and keys of a single token, the position of no patch.
    left = 6 * 2 * inner * config.decoder.width + config.vit.width
    assert count == sum(map(math.prod, ours.values())) - left


class CfgNode(dict):
    """Settings as yacs has them: a dict with attributes."""


@pytest.fixture
def settings(monkeypatch):
    """An object of a package that need not be there when the file is read."""
    module = types.ModuleType("yacs.config")
    module.CfgNode = CfgNode
    monkeypatch.setattr(CfgNode, "__module__", "yacs.config")
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    made = CfgNode(MODEL=CfgNode(IMAGE_SIZE=256), NAMES=["a", {1, 2}, (3.5, None)])
    made.frozen = True
    return made


def test_a_lightning_checkpoint_gives_the_weights_alone(
    tmp_path, settings, monkeypatch
):
    module = torch_network(tiny())
    parameters = {"cfg": settings, "steps": np.float64(3.0)}
    path = write_checkpoint(module, tmp_path / "full.ckpt", hyper_parameters=parameters)
    monkeypatch.delitem(sys.modules, "yacs.config")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    read, want = hamer.read(path), state_of(module)
    assert set(read) == set(want)
    for name, value in want.items():
        np.testing.assert_array_equal(read[name], value)
    assert "initialized" in lightning.read(path)


def test_bare_and_half_precision_weights_and_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    module = torch_network(tiny())
    torch.save(module.half().state_dict(), tmp_path / "half.pth")
    save_file(module.state_dict(), tmp_path / "half.safetensors")
    torch.save({"state_dict": dict(module.named_parameters())}, tmp_path / "p.ckpt")
    want = state_of(module)
    for name in ("half.pth", "half.safetensors"):
        read = hamer.read(tmp_path / name)
        assert set(read) == set(want)
        assert all(value.dtype == np.float32 for value in read.values())
        assert all(np.array_equal(read[key], want[key]) for key in want)
    parameters = hamer.read(tmp_path / "p.ckpt")
    assert set(want) - set(parameters) == {f"mano_head.{n}" for n in hamer._MEAN}


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_hostile_checkpoint_is_refused_and_not_run(tmp_path):
    bait = tmp_path / "bait"
    module = torch_network(tiny())
    for place in ("hyper_parameters", "state_dict"):
        path = write_checkpoint(
            module, tmp_path / "x.ckpt", **{place: {"a": Hostile(bait)}}
        )
        with pytest.raises(InputError, match=r"refused: it names posix\.system"):
            hamer.read(path)
    assert not bait.exists()


def test_files_that_are_no_checkpoints_are_named(tmp_path, checkpoint):
    whole = checkpoint.read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.ckpt").touch()
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps({"state_dict": {}}))
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save({"state_dict": {"backbone.a": "words"}}, tmp_path / "words.ckpt")
    for name in ("cut", "empty", "old", "list", "words"):
        with pytest.raises(InputError, match=rf"{name}.ckpt is not readable as a chec"):
            hamer.read(tmp_path / f"{name}.ckpt")
    with pytest.raises(InputError, match="There is no weights file"):
        hamer.read(tmp_path / "absent.ckpt")


def test_weights_that_are_no_numbers_are_named(tmp_path):
    module = torch_network(tiny())
    with torch.no_grad():
        module.mano_head.deccam.bias[1] = float("nan")
    path = write_checkpoint(module, tmp_path / "nan.ckpt")
    with pytest.raises(InputError, match=r"'mano_head.deccam.bias' holds NaN"):
        hamer.read(path)


def test_the_first_difference_is_told():
    state = state_of(torch_network(tiny()))

    def refusal(**changes):
        other = {k: v for k, v in (state | changes).items() if v is not None}
        with pytest.raises(InputError) as raised:
            hamer.convert(other, where="x.ckpt", config=tiny())
        return str(raised.value)

    name = "backbone.blocks.1.mlp.fc1.weight"
    title = f"x.ckpt holds no HaMeR network: the weight {name!r}"
    assert refusal(**{name: None}) == f"{title} is absent, expected (40, 24)."
    assert refusal(**{name: np.zeros((40, 25))}) == (
        f"{title} has shape (40, 25), expected (40, 24)."
    )
    more = {"mano_head.transformer.transformer.layers.2.0.norm.bias": np.zeros(32)}
    assert "layers.2.0.norm.bias' (32,), which is not expected" in refusal(**more)
    scalar = {"mano_head.transformer.to_token_embedding.weight": np.zeros(())}
    assert "has shape (), expected (32, 109)" in refusal(**scalar)


def test_a_checkpoint_of_another_network_is_refused(tmp_path, capsys):
    torch.save({"network": {"conv1.weight": torch.zeros(2)}}, tmp_path / "other.ckpt")
    out = tmp_path / "out"
    words = ["convert", "hamer", str(tmp_path / "other.ckpt"), "--out", str(out)]
    assert cli.main(["weights", *words]) == 2
    assert "other.ckpt" in capsys.readouterr().err and not out.exists()
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "other.ckpt")
    assert cli.main(["weights", *words]) == 2
    told = capsys.readouterr().err
    assert "'backbone.pos_embed' is absent, expected (1, 193, 1280)" in told
    assert "Traceback" not in told and not out.exists()


def test_the_command_writes_a_directory_that_loads(
    tmp_path, checkpoint, small_release, capsys
):
    out = tmp_path / "hamer"
    assert (
        cli.main(["weights", "convert", "hamer", str(checkpoint), "--out", str(out)])
        == 0
    )
    assert f"wrote the regressor {out}" in capsys.readouterr().out
    loaded = predict.load_network(out)
    assert loaded.cues == () and loaded.crop.aspect == 0.75
    _, want = hamer.convert(state_of(torch_network(tiny())), where="x")
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded.variables, want))


def test_a_config_of_it_is_checked(tmp_path):
    directory = tiny_hamer.save(tmp_path)
    config = native.load_config(directory)
    from twohand_jax import experiments

    for change, said in (
        ({"iterations": 0}, r"config.model.iterations is 0"),
        ({"itreations": 1}, r"config.model has no field 'itreations' \(did you mean"),
        ({"dtype": "int8"}, r"config.model.dtype is 'int8'"),
        ({"crop_size": 32}, r"config.model.vit.image is \(64, 48\)"),
    ):
        with pytest.raises(InputError, match=said):
            experiments.parse(config | {"model": config["model"] | change})
    with pytest.raises(InputError, match="config.init.image is 'mediapipe', but"):
        experiments.parse(config | {"init": {"image": "mediapipe"}})
