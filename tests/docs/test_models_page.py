"""The sizes that docs/models.md states, counted anew."""

import math
import re

import jax
import jax.numpy as jnp
import pytest

from tests.docs.pages import ROOT
from twohand_jax import assets, experiments
from twohand_jax.benchmarks import hamer
from twohand_jax.cli.common import load_config
from twohand_jax.models import apply
from twohand_jax.models.box_net import BoxNet, BoxNetConfig
from twohand_jax.models.hamer import Hamer
from twohand_jax.models.regressor import Regressor, RegressorConfig
from twohand_jax.types import Inputs
from twohand_jax.weights import native

PAGE = (ROOT / "docs" / "models.md").read_text()
# InterWild's sizes, which the conversion of its released layout gives as well
# (tests/weights/test_interwild.py).
INTERWILD = RegressorConfig(cues=(), fusion=None)


def shipped() -> RegressorConfig:
    return experiments.parse(native.load_config(assets.REGRESSOR)).model


def of_config(name: str) -> RegressorConfig:
    return experiments.parse(load_config(name)).model


def pair(config: RegressorConfig) -> Inputs:
    """The inputs of one picture of two hands, in shapes."""
    side, struct = config.crop_size, jax.ShapeDtypeStruct
    crops = struct((1, 2, side, side, 3), jnp.float32)
    return Inputs(
        image=crops,
        cues=dict.fromkeys(config.cues, crops),
        present=dict.fromkeys(config.cues, struct((1,), bool)),
        T_crop_image=struct((1, 2, 2, 3), jnp.float32),
        box=struct((1, 2, 4), jnp.float32),
        hand_valid=struct((1, 2), bool),
        overlap=struct((1,), bool),
    )


def counted(net: apply.Network, inputs) -> tuple[float, float]:
    """Millions of weights, and GFLOP of a forward pass."""
    shapes = apply.shapes(net)
    weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes.params))
    run = jax.jit(lambda variables, given: net.apply(variables, given, train=False)[0])
    flops = run.lower(shapes, inputs).cost_analysis()["flops"]
    return weights / 1e6, flops / 1e9


def stated(start: str) -> tuple[float, float]:
    """What the page says in the row that begins so."""
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {start}"))
    weights, operations = row.split("|")[3:5]
    number = re.fullmatch(r" ([\d.]+) M ", weights)
    assert number, row
    return float(number[1]), float(operations)


ROWS = {
    "ours, shipped": shipped,
    "`configs/paper.py` ": lambda: of_config("paper"),
    "`configs/paper.py:baseline` ": lambda: of_config("paper:baseline"),
    "[InterWild]": lambda: INTERWILD,
}


@pytest.mark.slow
@pytest.mark.parametrize("start", ROWS)
def test_regressors_have_the_sizes_of_the_page(start):
    config = ROWS[start]()
    net = apply.network(lambda rngs: Regressor(config, rngs=rngs))
    assert counted(net, pair(config)) == pytest.approx(stated(start), abs=0.05)


@pytest.mark.slow
def test_the_detector_has_the_size_of_the_page():
    config = BoxNetConfig()
    net = apply.network(lambda rngs: BoxNet(config, rngs=rngs))
    picture = jax.ShapeDtypeStruct((1, config.height, config.columns, 3), jnp.float32)
    found = counted(net, picture)
    assert found == pytest.approx(stated("its detector, BoxNet"), abs=0.05)


def test_hamer_has_the_size_of_the_page():
    """Its layers are a loop, whose body a compiler counts once; so this counts them."""
    net = apply.network(lambda rngs: Hamer(hamer.RELEASED, rngs=rngs))
    shapes = jax.tree.leaves(apply.shapes(net).params)
    weights, operations = stated("[HaMeR]")
    assert sum(math.prod(leaf.shape) for leaf in shapes) / 1e6 == pytest.approx(
        weights, abs=0.05
    )
    assert 2 * hamer.flops(hamer.RELEASED) / 1e9 == pytest.approx(operations, abs=0.05)
