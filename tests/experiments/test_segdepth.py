"""What training the segdepth network minimises, and the command that trains it."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data.records import Squares
from twohand_jax import experiments
from twohand_jax.cli import common
from twohand_jax.cli import main as cli
from twohand_jax.cues.segdepth import SegDepthCues
from twohand_jax.errors import InputError
from twohand_jax.experiments.segdepth import SegDepthSample, errors, standardised
from twohand_jax.models.segdepth import SegDepth


def sample(weight=(1.0, 1.0)) -> SegDepthSample:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 6, 6))
    return SegDepthSample(
        image=jnp.zeros((2, 12, 12, 3)),
        boxes=jnp.zeros((2, 2, 4)),
        seen=jnp.ones((2, 2), bool),
        labels=jnp.asarray(labels),
        depth=jnp.asarray(rng.uniform(0.2, 0.8, (2, 6, 6)), jnp.float32),
        measured=jnp.asarray(labels > 0),
        weight=jnp.asarray(weight),
    )


def truth(of: SegDepthSample) -> SegDepth:
    return SegDepth(
        logits=50.0 * jax.nn.one_hot(of.labels, 3),
        depth=standardised(of.depth, of.measured),
    )


def value(maps: SegDepth, of: SegDepthSample) -> dict[str, float]:
    return {
        name: float(mean.total / mean.count) for name, mean in errors(maps, of).items()
    }


def test_the_truth_costs_nothing_and_padding_does_not_count():
    right = truth(sample())
    assert value(right, sample()) == pytest.approx({"labels": 0, "depth": 0}, abs=1e-6)
    wrong = SegDepth(right.logits.at[1].set(0.0), right.depth.at[1].add(3.0))
    found = value(wrong, sample())
    assert found["labels"] == pytest.approx(np.log(3) / 2)
    assert found["depth"] == pytest.approx(1.5)
    padded = value(wrong, sample(weight=(1.0, 0.0)))
    assert padded == pytest.approx({"labels": 0, "depth": 0}, abs=1e-6)


def test_depth_counts_on_measured_hands_only():
    one = sample()
    right = truth(one)
    elsewhere = right._replace(depth=jnp.where(one.measured, right.depth, 99.0))
    assert value(elsewhere, one)["depth"] == pytest.approx(0, abs=1e-6)
    blind = one._replace(measured=one.measured.at[0].set(False))
    off = right._replace(depth=right.depth + jnp.array([5.0, 1.0])[:, None, None])
    assert value(off, blind)["depth"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 4)])
def test_depth_has_one_mean_and_deviation_in_every_picture(shape):
    rng = np.random.default_rng(1)
    depth = rng.uniform(0, 1, (*shape, 7, 5)).astype(np.float32)
    mask = rng.random((*shape, 7, 5)) > 0.3
    found = np.asarray(standardised(depth, mask))
    assert not found[~mask].any()
    count = mask.sum(axis=(-2, -1))
    np.testing.assert_allclose(found.sum(axis=(-2, -1)) / count, 0, atol=1e-5)
    np.testing.assert_allclose(np.abs(found).sum(axis=(-2, -1)) / count, 1, rtol=1e-4)
    np.testing.assert_allclose(found, standardised(4 * depth - 2, mask), atol=1e-4)


def test_flat_or_absent_hands_have_finite_depth():
    flat = jnp.full((2, 4, 4), 0.5)
    none = jnp.zeros((2, 4, 4), bool)
    for mask in (none, ~none):
        slope = jax.grad(lambda d, mask=mask: standardised(d, mask).sum())(flat)
        assert jnp.isfinite(slope).all()
        assert not standardised(flat, mask).any()


def test_a_region_that_the_stages_cannot_halve_is_refused():
    with pytest.raises(InputError, match="crop.crop_size is 150; .*multiple of 32"):
        experiments.parse(
            common.load_config("configs/segdepth.py", ["crop.crop_size=150"])
        )


@functools.cache
def changes(data: str) -> list[str]:
    return [
        f"data.train='{data}'",
        f"data.test='{data}'",
        "data.canvas_size=64",
        "model.widths=(8, 8)",
        "model.depths=(1, 1)",
        "crop.crop_size=32",
        "augment.flip_probability=0.0",
        "optim.warmup_steps=0",
        "train.batch_size=8",
        "train.total_steps=12",
        "train.log_every=4",
        "train.evaluate_every=12",
    ]


@pytest.mark.slow
def test_the_command_trains_a_network_that_loads(tmp_path):
    from twohand_jax.pipelines import writer

    data, workdir = tmp_path / "squares", tmp_path / "work"
    writer.write(
        Squares(sizes=(("train", (24,)), ("test", (4,)))),
        data,
        workers=0,
        progress=False,
    )
    words = [word for change in changes(str(data)) for word in ("--set", change)]
    command = ["train", "--config", "configs/segdepth.py", "--workdir", str(workdir)]
    assert cli.main([*command, *words]) == 0
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[2]["loss/labels"] < rows[0]["loss/labels"]
    assert 0 <= rows[-1]["eval/all/iou_hands"] <= 1
    cues = SegDepthCues.load(workdir / "model")
    image = np.zeros((40, 50, 3), np.uint8)
    boxes = np.array([[[5.0, 5.0, 20.0, 20.0], [25.0, 8.0, 45.0, 30.0]]])
    (found,) = cues([image], boxes, np.ones((1, 2), bool))
    assert found.values["segmentation"].shape == (40, 50)
