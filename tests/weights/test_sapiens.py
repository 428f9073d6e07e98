"""Sapiens' released files: names and shapes, every container, and refusals."""

import numpy as np
import pytest

from tests.weights.tiny_sapiens import CONVS, DECONVS, state_of, tiny, torch_network
from twohand_jax.cli import main as cli
from twohand_jax.errors import InputError
from twohand_jax.models import apply, sapiens
from twohand_jax.models.sapiens import KINDS, POSE, SEGMENTATION, SIZES, released
from twohand_jax.weights import native, torch_files
from twohand_jax.weights import sapiens as released_files

torch = pytest.importorskip("torch")


def hollow(config):
    """A state dict of the right shapes that takes no memory."""
    zero = np.zeros((), np.float32)
    shapes = released_files.released_layout(config).items()
    return {name: np.broadcast_to(zero, shape) for name, shape in shapes}


@pytest.fixture
def small_release(monkeypatch):
    """Makes a tiny size one of the released; gives its full-picture pose network."""
    monkeypatch.setitem(SIZES, "0.3b", (24, 3, 2, 40))
    for kind in KINDS:
        heads = (DECONVS[kind], CONVS[kind])
        monkeypatch.setitem(sapiens.HEADS, kind, heads)
    return torch_network(released(POSE, "0.3b"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_names_and_shapes_are_those_of_the_module(size, kind):
    from twohand_jax.benchmarks.peers.torch_sapiens import TorchSapiens

    config = released(kind, size)
    with torch.device("meta"):
        module = TorchSapiens(config)
    theirs = {name: tuple(w.shape) for name, w in module.state_dict().items()}
    assert released_files.released_layout(config) == theirs


@pytest.mark.parametrize("outputs", [308, 133])
@pytest.mark.parametrize("size", SIZES)
def test_size_and_kind_follow_from_the_shapes(size, outputs):
    config = released(POSE, size, outputs=outputs)
    assert released_files.infer(hollow(config), where="x.pth") == config
    for kind in KINDS:
        config = released(kind, size)
        assert released_files.infer(hollow(config), where="x.pth") == config


def changed(name, shape):
    return hollow(released(POSE, "0.3b")) | {name: np.zeros(shape, np.float32)}


def test_a_network_of_another_shape_is_refused_by_the_first_weight():
    name = "backbone.layers.3.attn.qkv.weight"
    state = changed(name, (2, 1024))
    with pytest.raises(InputError) as refusal:
        released_files.convert(state, where="x.pth")
    assert str(refusal.value) == (
        "x.pth holds no Sapiens pose network of size 0.3b: the weight "
        f"{name!r} has shape (2, 1024), expected (3072, 1024)."
    )
    del state[name]
    with pytest.raises(InputError, match=rf"{name}' is absent, expected \(3072, 1024"):
        released_files.convert(state, where="x.pth")


def test_more_layers_than_the_size_has_are_refused():
    state = changed("backbone.layers.24.ln1.weight", (1024,))
    with pytest.raises(InputError, match=r"'backbone.layers.24.ln1.weight' \(1024,\)"):
        released_files.convert(state, where="x.pth")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"conv1.weight": np.zeros((64, 3, 7, 7))}, r"projection.weight' is absent"),
        (
            {"backbone.patch_embed.projection.weight": np.zeros((768, 3, 16, 16))},
            r"\(768, 3, 16, 16\), expected a width of 1024, 1280, 1536, 1920",
        ),
        (
            {"backbone.patch_embed.projection.weight": np.zeros((1024, 3, 14, 14))},
            r"\(1024, 3, 14, 14\), expected \(width, 3, 16, 16\)",
        ),
        (
            {"backbone.patch_embed.projection.weight": np.zeros((1024, 3, 16, 16))},
            "has no head",
        ),
    ],
)
def test_other_networks_are_refused(state, said):
    with pytest.raises(InputError, match=said):
        released_files.convert(state, where="x.pth")


@pytest.mark.parametrize(
    ("name", "maps"),
    [("head.final_layer", 17), ("head.final_layer", 28), ("decode_head.conv_seg", 7)],
)
def test_networks_that_make_no_cue_are_refused(name, maps):
    state = {
        "backbone.patch_embed.projection.weight": np.zeros((1024, 3, 16, 16)),
        f"{name}.weight": np.zeros((maps, 768, 1, 1)),
    }
    with pytest.raises(InputError, match=f"'{name}.weight' has {maps} maps"):
        released_files.infer(state, where="x.pth")


def test_a_head_that_is_a_number_is_refused():
    state = hollow(released(POSE, "0.3b")) | {"head.final_layer.weight": np.float32(1)}
    with pytest.raises(InputError, match="has 0 maps"):
        released_files.infer(state, where="x.pth")


def write(module, path):
    """The network in the container that the name asks for."""
    if path.name.endswith("_torchscript.pt2"):
        shape = (1, 3, *module.backbone_size)
        torch.jit.trace(module, torch.zeros(shape)).save(path)
    elif path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(module.state_dict(), path)
    else:
        state = module.state_dict()
        torch.save({"state_dict": state} if "wrapped" in path.name else state, path)


@pytest.mark.parametrize(
    "name", ["a.pth", "wrapped.pth", "a.safetensors", "a_torchscript.pt2"]
)
def test_every_container_gives_the_same_weights(name, tmp_path):
    config = tiny(SEGMENTATION)
    module = torch_network(config)
    module.backbone_size = config.image
    write(module, tmp_path / name)
    read, want = released_files.read(tmp_path / name), state_of(module)
    assert set(read) == set(want)
    for key, value in want.items():
        np.testing.assert_array_equal(read[key], value)


def test_a_truncated_or_absent_archive_is_named(tmp_path):
    file = tmp_path / "a_torchscript.pt2"
    with pytest.raises(InputError, match="There is no weights file .*torchscript.pt2"):
        released_files.read(file)
    file.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match="damaged, cut short"):
        released_files.read(file)


def test_half_precision_and_views_in_torchscript(tmp_path):
    class Parts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
            self.register_buffer("turned", whole.t())
            self.register_buffer("part", whole[1:3, 2:])
            self.register_buffer("coarse", whole.bfloat16())
            self.register_buffer("one", torch.tensor(7))

        def forward(self, x):
            parts = (self.turned, self.part, self.coarse, self.one)
            return x + parts[0].sum() + parts[1].sum() + parts[2].sum() + parts[3]

    module = Parts()
    torch.jit.script(module).save(tmp_path / "m.pt")
    read = torch_files.read_torchscript(tmp_path / "m.pt")
    for key, value in module.state_dict().items():
        np.testing.assert_array_equal(read[key], value.float().numpy(), key)
    assert read["coarse"].dtype == np.float32 and read["one"].dtype == np.int64


def test_the_command_writes_a_directory_that_loads(small_release, tmp_path, capsys):
    file, out = tmp_path / "best.pth", tmp_path / "out"
    torch.save({"state_dict": small_release.state_dict(), "meta": {}}, file)
    words = ["weights", "convert", "sapiens", str(file), "--out", str(out)]
    assert cli.main(words) == 0
    assert "pose network" in capsys.readouterr().out
    found = released_files.load(out, dtype="bfloat16")
    assert found.config == released(POSE, "0.3b", dtype="bfloat16")
    assert found.origin.startswith("best.pth ") and len(found.origin.split()[1]) == 12
    _, want = released_files.convert(state_of(small_release), where="memory")
    got = found.variables.params["backbone"]["blocks"]["qkv"]["kernel"]
    np.testing.assert_array_equal(
        got, want.params["backbone"]["blocks"]["qkv"]["kernel"]
    )


def test_the_command_refuses_another_network_and_writes_nothing(tmp_path, capsys):
    file, out = tmp_path / "best.pth", tmp_path / "out"
    torch.save({"conv1.weight": torch.zeros(2)}, file)
    words = ["weights", "convert", "sapiens", str(file), "--out", str(out)]
    assert cli.main(words) == 2
    assert "holds no Sapiens network" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"sapiens": 3},
        {"sapiens": {"kind": "pose", "surprise": 1}},
        {"sapiens": {"image": [64, 48], "deconvs": [], "convs": [], "patch": 0}},
    ],
)
def test_other_directories_are_refused(content, tmp_path):
    native.save(tmp_path, apply.Variables({}, {}), content)
    with pytest.raises(InputError, match="holds no Sapiens network"):
        released_files.load(tmp_path)
