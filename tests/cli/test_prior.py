import functools
import json

import numpy as np
import pytest
from PIL import Image

from tests.inference.priors import QUICK, write_features, write_poses, write_prior
from twohand_jax.cli import main as cli
from twohand_jax.cli.prior import SAMPLERS
from twohand_jax.diffusion import cascade
from twohand_jax.evaluation.prior import prior_table


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_prior(tmp_path_factory.mktemp("prior"))


def sample(prior, out, *options):
    arguments = ["prior", "sample", "--prior", str(prior), "--out", str(out)]
    return cli.main([*arguments, *map(str, options)])


@pytest.mark.slow
def test_samples_are_written_and_named(prior, tmp_path, capsys):
    assert sample(prior, tmp_path / "out", "--n", 3) == 0
    named = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    written = sorted(str(path) for path in (tmp_path / "out").glob("[!.]*"))
    assert sorted(named) == written and len(written) == 5
    with np.load(tmp_path / "out" / "poses.npz") as file:
        assert file["hand_pose"].shape == (3, 2, 15, 3)
    glb = (tmp_path / "out" / "pair_02.glb").read_bytes()
    assert glb[:4] == b"glTF" and b"right_hand" in glb and b"left_hand" in glb
    assert Image.open(tmp_path / "out" / "contact_sheet.png").width > 1000


@pytest.mark.slow
def test_the_seed_decides(prior, tmp_path):
    found = []
    for number, seed in enumerate((5, 5, 6)):
        out = tmp_path / str(number)
        assert sample(prior, out, "--n", 3, "--seed", seed) == 0
        with np.load(out / "poses.npz") as file:
            found.append(file["transl"])
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_bad_requests_end_in_one_sentence(prior, tmp_path, capsys):
    assert sample(tmp_path, tmp_path / "out") == 2
    assert "not a model directory" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        sample(prior, tmp_path / "out", "--n", 0)
    assert "from 1 to" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert sample(prior, tmp_path / "file", "--n", 3) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_released_sampler_wants_its_timesteps(tmp_path, capsys):
    """InterHandGen's steps go over 126 timesteps."""
    assert set(SAMPLERS) == set(cascade.PRESETS)
    short = write_prior(tmp_path / "short", timesteps=50)
    assert sample(short, tmp_path / "out", "--preset", "interhandgen") == 2
    assert "spread over 126" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_table_is_printed_and_written(prior, tmp_path, capsys, monkeypatch):
    quick = functools.partial(prior_table.TableConfig, **QUICK)
    monkeypatch.setattr(prior_table, "TableConfig", quick)
    poses = write_poses(tmp_path / "poses", 24)
    features = write_features(tmp_path / "features")
    arguments = {
        "--prior": prior,
        "--data": poses,
        "--features": features,
        "--out": tmp_path / "out",
        "--n": 10,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    assert cli.main(["prior", "evaluate", *words]) == 0
    printed = capsys.readouterr().out
    text = (tmp_path / "out" / "prior.md").read_text()
    rows = json.loads((tmp_path / "out" / "prior.json").read_text())["rows"]
    assert set(rows) == {
        prior_table.DATA,
        prior_table.GIVEN,
        prior_table.PRIOR,
        prior_table.GUIDED,
        prior_table.MIXED,
    }
    for name in (*rows, *prior_table.COLUMNS):
        assert name in printed and name in text
