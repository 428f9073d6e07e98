import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.evaluation import outputs, protocols, truth
from twohand_jax.evaluation.outside import prediction_file
from twohand_jax.evaluation.prior import refinement
from twohand_jax.evaluation.protocols import two_hands
from twohand_jax.types import LEFT, RIGHT, Prediction

BATCH = 3


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def targets(model):
    return scenes.targets(0, (BATCH,), model)


@pytest.fixture(scope="module")
def perfect(model, targets):
    return Prediction(
        mano=targets.mano,
        geometry=scenes.pose(model, targets.mano),
        rel_trans=targets.rel_trans,
        camera=targets.camera,
        box=targets.box,
        score=jnp.ones((BATCH, 2)),
    )


def values(prediction, targets, model, weight=None):
    weight = jnp.ones(BATCH) if weight is None else weight
    known = truth.batch_truth(targets, model)
    found = jax.jit(two_hands.wrist)(prediction, known, model, weight)
    return protocols.metric_values(found)


def moved(prediction, offset, *, joints=slice(None), hand=slice(None)):
    """The prediction with some joints (and all vertices of the hands) displaced."""
    geometry = prediction.geometry
    return prediction._replace(
        geometry=geometry._replace(
            joints=geometry.joints.at[:, hand, joints].add(jnp.asarray(offset)),
            vertices=geometry.vertices.at[:, hand].add(jnp.asarray(offset)),
        )
    )


def test_the_truth_has_no_error(perfect, targets, model):
    found = values(perfect, targets, model)
    assert all(value < 0.01 or np.isnan(value) for value in found.values())
    assert np.isnan(found["MPJPE/single"])


def test_moving_whole_hands_changes_nothing_relative_to_the_wrist(
    perfect, targets, model
):
    found = values(moved(perfect, [0.1, 0.2, 0.3]), targets, model)
    assert found["MPJPE"] < 0.01 and found["MPVPE"] < 0.01


def test_an_offset_of_all_joints_but_the_wrist_is_the_error(perfect, targets, model):
    shifted = moved(perfect, [0.003, 0.004, 0.012], joints=slice(1, None))
    found = values(shifted, targets, model)
    share = 20 / 21
    np.testing.assert_allclose(found["MPJPE"], 13 * share, rtol=1e-3)
    np.testing.assert_allclose(found["MPJPE-XY"], 5 * share, rtol=1e-3)
    np.testing.assert_allclose(found["MPJPE-Z"], 12 * share, rtol=1e-3)
    np.testing.assert_allclose(found["MPVPE"], 13, rtol=1e-3)


def test_mrrpe_is_the_error_of_the_relative_translation(perfect, targets, model):
    wrong = perfect._replace(rel_trans=perfect.rel_trans + jnp.array([0.0, 0.03, 0.04]))
    assert values(wrong, targets, model)["MRRPE"] == pytest.approx(50, rel=1e-4)


def test_absent_hands_padding_and_invalid_joints_are_not_looked_at(
    perfect, targets, model
):
    spoiled = moved(perfect, [jnp.nan] * 3, hand=LEFT)
    only_right = targets._replace(
        hand_valid=targets.hand_valid.at[:, LEFT].set(False),
        joints_3d_valid=targets.joints_3d_valid.at[:, RIGHT, 5].set(False),
        interacting=jnp.zeros(BATCH, bool),
    )
    spoiled = moved(spoiled, [jnp.nan] * 3, joints=5, hand=RIGHT)
    spoiled = spoiled._replace(
        geometry=spoiled.geometry._replace(vertices=perfect.geometry.vertices)
    )
    found = values(spoiled, only_right, model, weight=jnp.array([1.0, 1.0, 0.0]))
    assert found["MPJPE"] < 0.01 and found["MPJPE/single"] < 0.01
    assert np.isnan(found["MPJPE/interacting"]) and np.isnan(found["MRRPE"])


def test_what_refinement_reports_is_protocol_wrist(perfect, targets, model):
    wrong = moved(perfect, [0.003, 0.004, 0.012], joints=slice(1, None))
    found, whole = (
        refinement.errors(wrong, targets, model),
        values(wrong, targets, model),
    )
    assert found == {name: whole[name] for name in ("MPJPE", "MPVPE", "MRRPE")}


def test_tables_show_what_there_is_and_are_written_whole(tmp_path):
    rows = {"image": {"MPJPE": 12.345, "MRRPE": 3.0}, "+ depth": {"MPJPE": 9.0}}
    text = outputs.markdown(rows)
    assert text.splitlines()[0] == "|         | MPJPE | MRRPE |"
    assert text.splitlines()[2:] == [
        "| image   | 12.35 |  3.00 |",
        "| + depth |  9.00 |     – |",
    ]
    paths = outputs.write_table(rows, tmp_path / "new", name="wrist", title="A title")
    assert sorted(path.name for path in paths) == ["wrist.json", "wrist.md"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "wrist.json",
        "wrist.md",
    ]


def test_each_protocol_is_one_entry_that_its_datasets_find():
    for name, protocol in protocols.PROTOCOLS.items():
        assert protocol.name == name
        assert set(protocol.essential) <= set(protocol.columns)
        if protocol.labels is not None:
            assert protocols.default(protocol.labels.dataset) is protocol
    assert protocols.default("interhand26m") is protocols.get("wrist")


def test_a_new_protocol_is_known_everywhere_by_its_entry_alone(monkeypatch):
    known = dict(protocols.PROTOCOLS)
    labels = protocols.DatasetLabels(
        dataset="mine", withheld={"test": "keeps its labels"}
    )
    server = protocols.Server(
        pictures="3", order=lambda names, listing: list(names), convert=lambda x: x
    )
    known["mine"] = dataclasses.replace(
        known["hic"], name="mine", labels=labels, server=server, without_mesh=True
    )
    monkeypatch.setattr(protocols, "PROTOCOLS", known)
    monkeypatch.setattr(protocols, "LABELS", protocols.LABELS | {"mine": labels})
    mine = protocols.get("mine")
    assert protocols.default("mine") is mine
    assert protocols.server("mine") is server
    with pytest.raises(InputError, match="keeps its labels: .*--submission"):
        protocols.check_fit(mine, dataset="mine", split="test")
    with pytest.raises(InputError, match="--protocol freihand or ho3d or mine"):
        protocols.server("wrist")
    prediction_file.check_protocol(mine, where="x", has_mesh=False)
