"""Bad input of the protocols: one clear sentence each."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.evaluation import golden
from twohand_jax.errors import InputError
from twohand_jax.evaluation import evaluator, protocols
from twohand_jax.types import Camera, HandGeometry, ManoParams, Prediction


def prediction(joints: int = 21, vertices: int = 778) -> Prediction:
    none = jnp.zeros((1, 2, 3))
    return Prediction(
        mano=ManoParams(none, jnp.zeros((1, 2, 15, 3)), jnp.zeros((1, 2, 10)), none),
        geometry=HandGeometry(
            jnp.zeros((1, 2, vertices, 3)), jnp.zeros((1, 2, joints, 3))
        ),
        rel_trans=jnp.zeros((1, 3)),
        camera=Camera(jnp.ones((1, 2)), jnp.ones((1, 2))),
        box=jnp.zeros((1, 2, 4)),
        score=jnp.ones((1, 2)),
    )


@pytest.mark.parametrize(
    ("name", "dataset", "split", "message"),
    [
        ("wrist", "coco_wholebody", "test", "has no 3D labels"),
        ("wrist", "coco_wholebody", "val", "has no 3D labels: choose a record set"),
        ("ho3d", "ho3d", "test", "to its server: .*--submission"),
    ],
)
def test_a_protocol_that_does_not_fit(name, dataset, split, message):
    with pytest.raises(InputError, match=message):
        protocols.check_fit(protocols.get(name), dataset=dataset, split=split)


@pytest.mark.parametrize(
    ("name", "dataset", "split"),
    [
        ("freihand", "freihand", "test"),
        ("ho3d", "ho3d", "train"),
        ("hic", "hic", "test"),
        ("mcp", "interhand26m", "test"),
        ("mcp_scaled", "freihand", "test"),
        ("wrist", "synthetic", "test"),
    ],
)
def test_protocols_that_fit(name, dataset, split):
    protocols.check_fit(protocols.get(name), dataset=dataset, split=split)


def test_an_unknown_protocol():
    with pytest.raises(InputError, match="no protocol 'mpjpe'; choose from wrist, mcp"):
        protocols.get("mpjpe")


def test_other_joint_and_vertex_counts():
    protocols.check_shapes(prediction())
    with pytest.raises(InputError, match="joints have shape .*16, 3.*21 joints"):
        protocols.check_shapes(prediction(joints=16))
    with pytest.raises(InputError, match="vertices have shape .*6890"):
        protocols.check_shapes(prediction(vertices=6890))


def test_a_set_without_what_the_protocol_compares():
    rows = {"image": {"MPJPE": 3.0, "MPVPE": np.nan}}
    with pytest.raises(
        InputError, match="hands that both have one, .* holds none, so MPVPE"
    ):
        evaluator.require_counted(
            rows, protocols.get("mcp"), dataset="mine", split="test"
        )
    evaluator.require_counted(
        rows, protocols.get("wrist"), dataset="mine", split="test"
    )


def test_only_labelled_hands_are_asked_for_finite_numbers():
    one = golden.case()
    weight = jnp.ones(golden.COUNT)

    def broken(estimate: Prediction, weight=weight) -> list[int]:
        found = evaluator.not_finite(estimate, one.targets, weight)
        return np.flatnonzero(np.asarray(found).any(axis=-1)).tolist()

    apart = jnp.where(jnp.arange(golden.COUNT) < 2, jnp.nan, 0.0)[:, None]
    between = one.prediction.rel_trans + apart
    assert broken(one.prediction._replace(rel_trans=between)) == []
    between = jnp.zeros((golden.COUNT, 3)).at[5, 1].set(jnp.inf)
    assert broken(one.prediction._replace(rel_trans=between)) == [5]
    vertices = one.prediction.geometry.vertices.at[4, 0, 9].set(jnp.nan)
    geometry = one.prediction.geometry._replace(vertices=vertices)
    estimate = one.prediction._replace(geometry=geometry)
    assert broken(estimate) == [4]
    assert broken(estimate, weight.at[4].set(0.0)) == []


def test_nothing_to_evaluate():
    with pytest.raises(InputError, match="the split is empty"):
        evaluator.gather([])
