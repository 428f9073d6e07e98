"""``twohand weights convert``: from a PyTorch file to a directory that loads."""

import jax
import numpy as np
import pytest
import torch

from tests.models import reference
from twohand_jax.cli import main as cli
from twohand_jax.models.resnet import RESNET18
from twohand_jax.weights import native, torchvision

STATISTICS = {"mano_mean": 55, "mano_var": 55, "rel_mean": 9, "rel_var": 9}


@pytest.fixture
def prior(tmp_path):
    """A checkpoint as InterHandGen's training saves it, and its statistics."""
    module = reference.Denoiser(numbers=64, width=16, hidden=12, mlp=8)
    weights = {f"module.{k}": v for k, v in module.state_dict().items()}
    torch.save([weights, {"state": {}}, 7, 1000], tmp_path / "ckpt.pth")
    for name, size in STATISTICS.items():
        np.save(tmp_path / f"{name}.npy", np.full(size, 0.25, np.float32))
    return tmp_path / "ckpt.pth"


def convert(*arguments):
    return cli.main(["weights", "convert", *map(str, arguments)])


@pytest.mark.slow
def test_a_backbone_is_converted(tmp_path, capsys):
    module = reference.ResNet(RESNET18.depths, False)
    torch.save(module.state_dict(), tmp_path / "net.pth")
    out = tmp_path / "out"
    assert (
        convert("torchvision", "--arch", "resnet18", tmp_path / "net.pth", "--out", out)
        == 0
    )
    expected = torchvision.convert_resnet(
        reference.state(module), RESNET18, where="memory"
    )
    loaded = torchvision.load_backbone(out, expected)
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, expected))
    assert str(out) in capsys.readouterr().out


def test_a_prior_is_converted(tmp_path, prior):
    out = tmp_path / "out"
    code = convert("interhandgen", prior, "--statistics", tmp_path, "--out", out)
    assert code == 0
    assert native.load_config(out)["diffusion"]["hand"] == "mano"
    with np.load(out / "weights.npz") as file:
        np.testing.assert_allclose(file["batch_stats/scale"], 0.250001, rtol=1e-6)


def test_a_file_that_does_not_fit_leaves_nothing(tmp_path, prior, capsys):
    (tmp_path / "rel_var.npy").unlink()
    out = tmp_path / "out"
    runs = {
        "another network": ["torchvision", "--arch", "resnet50", prior],
        "rel_var": ["interhandgen", prior, "--statistics", tmp_path],
        "no weights file": ["torchvision", "--arch", "resnet18", tmp_path / "no.pt"],
    }
    for message, arguments in runs.items():
        assert convert(*arguments, "--out", out) == 2
        error = capsys.readouterr().err
        assert error.startswith("twohand weights: ") and message in error
    assert not out.exists()
