"""Files of predictions, and what becomes of them in a protocol."""

import dataclasses

import numpy as np
import pytest

from tests.data import scenes
from tests.evaluation.outside.cases import IDS, NAMES, predicted
from twohand_jax.errors import InputError
from twohand_jax.evaluation import protocols
from twohand_jax.evaluation.outside import prediction_file
from twohand_jax.evaluation.outside.joint_orders import ORDERS
from twohand_jax.evaluation.outside.prediction_file import SplitLabels
from twohand_jax.mano import joint_set
from twohand_jax.types import LEFT, RIGHT


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_what_is_written_is_read(tmp_path, joints):
    rng = np.random.default_rng(0)
    whole = predicted(
        joints,
        vertices=rng.normal(size=(3, 2, 778, 3)).astype(np.float32),
        rel_trans=rng.normal(size=(3, 3)).astype(np.float32),
        digest=np.arange(3, dtype=np.uint32),
    )
    for one in (whole, predicted(joints)):
        prediction_file.write(tmp_path / "new" / "x.npz", one)
        again = prediction_file.read(tmp_path / "new" / "x.npz")
        for key in ("image_id", "joints", "found", "vertices", "rel_trans", "digest"):
            np.testing.assert_array_equal(getattr(again, key), getattr(one, key))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.npz"]


def test_double_precision_and_byte_names_are_taken(tmp_path, joints):
    names = np.array([name.encode() for name in NAMES])
    path = save(tmp_path / "x.npz", image_id=names, joints=joints.astype(float))
    again = prediction_file.read(path)
    assert again.image_id.tolist() == list(NAMES) and again.joints.dtype == np.float32
    assert again.found.all() and again.vertices is None and again.rel_trans is None


def _changed(**changes):
    def make(joints):
        arrays = {"image_id": np.array(NAMES), "joints": joints}
        for key, change in changes.items():
            arrays[key] = change(joints) if callable(change) else change
        return {key: value for key, value in arrays.items() if value is not None}

    return make


def _with_nan(joints):
    spoiled = joints.copy()
    spoiled[1, LEFT, 5, 2] = np.nan
    return spoiled


BAD = {
    "no joints": (_changed(joints=None), "has no 'joints', only .*image_id"),
    "unknown": (_changed(rel_tran=np.zeros((3, 3))), "'rel_tran', which means nothing"),
    "16 joints": (_changed(joints=lambda j: j[:, :, :16]), "no fingertips"),
    "20 joints": (_changed(joints=lambda j: j[:, :, 1:]), "the wrist is missing"),
    "17 joints": (_changed(joints=lambda j: j[:, :, :17]), r"\(3, 2, 17, 3\), expec"),
    "42 joints": (_changed(joints=lambda j: j.reshape(3, 42, 3)), "on one axis"),
    "one hand": (_changed(joints=lambda j: j[:, 0]), "the right one first"),
    "rows": (_changed(joints=lambda j: j[:2]), "with n = 3, the number of image_id"),
    "vertices": (_changed(vertices=np.zeros((3, 2, 779, 3))), r"expected \(n, 2, 778"),
    "integers": (_changed(joints=lambda j: (1000 * j).astype(int)), "floating-point"),
    "found": (_changed(found=np.ones((3, 2))), "float64, expected booleans"),
    "NaN": (
        _changed(joints=_with_nan),
        r"picture a/2, left hand, joints number 5; 1 pictures in all\): mark hands",
    ),
    "NaN between": (
        _changed(rel_trans=np.full((3, 3), np.nan)),
        r"'rel_trans' of .* \(picture a/1; 3 pictures",
    ),
    "mm": (_changed(joints=lambda j: 1000 * j), "looks in millimetres: mul.* 0.001"),
    "cm": (_changed(joints=lambda j: 100 * j), "looks in centimetres"),
    "units": (_changed(joints=lambda j: 1e6 * j), "in no unit of length"),
    "twice": (_changed(image_id=np.array(["a", "b", "b"])), "holds b 2 times"),
    "numbers": (_changed(image_id=np.arange(3)), "expected one string"),
    "pickles": (_changed(image_id=np.array([*NAMES], object)), "plain arrays"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, joints, name):
    change, message = BAD[name]
    with pytest.raises(InputError, match=message):
        prediction_file.read(save(tmp_path / "x.npz", **change(joints)))


def test_files_that_are_none(tmp_path, joints):
    with pytest.raises(InputError, match="cannot be read as predictions"):
        prediction_file.read(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("joints")
    with pytest.raises(InputError, match="cannot be read as predictions"):
        prediction_file.read(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", joints)
    with pytest.raises(InputError, match="is not a readable .npz archive"):
        prediction_file.read(tmp_path / "one.npy")


def test_hands_that_were_not_found_may_hold_anything(tmp_path, joints):
    seen = np.ones((3, 2), bool)
    seen[1, LEFT] = False
    arrays = _changed(joints=_with_nan, found=seen, rel_trans=_between)(joints)
    again = prediction_file.read(save(tmp_path / "x.npz", **arrays))
    assert not again.joints[1, LEFT].any() and not again.rel_trans[1].any()
    np.testing.assert_array_equal(again.joints[0], joints[0])


def _between(joints):
    between = joints[:, LEFT, 0] - joints[:, RIGHT, 0]
    between[1] = np.nan
    return between


def test_a_method_finds_its_record_and_knows_what_is_missing(batch, joints):
    seen = np.array([[True, True], [True, False], [True, True]])
    one = predicted(joints, found=seen, rel_trans=joints[:, LEFT, 0])
    shuffled = batch._replace(record=np.array([9, 7, 8]))
    estimate = prediction_file.method(one, {7: "a/1", 8: "a/2", 9: "elsewhere"})(
        shuffled
    )
    np.testing.assert_array_equal(estimate.score, [[0, 0], [1, 1], [1, 0]])
    np.testing.assert_array_equal(estimate.geometry.joints[1], joints[0])
    np.testing.assert_array_equal(estimate.geometry.joints[2, RIGHT], joints[1, RIGHT])
    assert not estimate.geometry.joints[0].any()
    np.testing.assert_array_equal(estimate.rel_trans[1], joints[0, LEFT, 0])
    assert not estimate.rel_trans[[0, 2]].any()


def test_joints_alone_have_the_errors_of_the_joints_of_a_mesh(
    batch, model, joints, wrist
):
    """The open hand's joints are those of a mesh already, with its fingertips."""
    rng = np.random.default_rng(1)
    geometry = scenes.pose(model, batch.targets.mano)
    geometry = geometry._replace(
        joints=geometry.joints + rng.normal(0, 0.01, joints.shape).astype(np.float32)
    )
    tips = np.asarray(joint_set.POSED.of(model, geometry))
    alone = prediction_file.method(predicted(tips), IDS)(batch)
    whole = alone._replace(geometry=geometry, rel_trans=batch.targets.rel_trans)
    few, all_of_them = wrist(alone, batch.targets), wrist(whole, batch.targets)
    meshes = [name for name in all_of_them if name not in few]
    assert all("VPE" in name or name in ("MRRPE", "RRVE") for name in meshes)
    assert {"MPVPE", "RRVE", "MRRPE"} <= set(meshes)
    numbers = protocols.metric_values(few)
    assert numbers["MPJPE"] > 5
    expected = {name: protocols.metric_values(all_of_them)[name] for name in few}
    assert numbers == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_protocols_of_meshes_refuse_joints():
    for name in protocols.PROTOCOLS:
        prediction_file.check_protocol(protocols.get(name), where="x", has_mesh=True)
    for name in ("wrist", "mcp", "mcp_scaled"):
        prediction_file.check_protocol(protocols.get(name), where="x", has_mesh=False)
    for name in ("hic", "freihand", "ho3d"):
        with pytest.raises(InputError, match=f"'{name}' compares meshes, but x has"):
            prediction_file.check_protocol(
                protocols.get(name), where="x", has_mesh=False
            )


def test_what_the_file_covers_is_said(joints):
    one = predicted(joints)
    assert (
        prediction_file.coverage(one, NAMES)
        == "x.npz has predictions of 3 of the 3 records."
    )
    assert prediction_file.coverage(one, ["c/1", "a/1"]) == (
        "x.npz has predictions of 1 of the 2 records (1 missing, first c/1), and 2 of "
        "other pictures."
    )
    message = "None of the 1 records .* named like 'c/1', its image_id like 'a/1'"
    with pytest.raises(InputError, match=message):
        prediction_file.coverage(one, ["c/1"])


def test_predictions_are_held_against_the_labels(batch, joints):
    many = SplitLabels(
        record=np.arange(6),
        image_id=tuple("abcdef"),
        joints=np.concatenate([joints, joints]),
        valid=np.ones((6, 2, 21), bool),
    )
    one = prediction_file.Outside(
        where="x.npz",
        image_id=np.array([*"abcdef"]),
        joints=many.joints,
        found=np.ones((6, 2), bool),
    )
    assert "6 of the 6" in prediction_file.check_labels(one, many)
    other = np.argsort(next(iter(ORDERS.values())))
    with pytest.raises(InputError, match="as if they were in another order: MANO"):
        prediction_file.check_labels(
            dataclasses.replace(one, joints=many.joints[:, :, other]), many
        )
    with pytest.raises(InputError, match="the left hand first"):
        prediction_file.check_labels(
            dataclasses.replace(one, joints=many.joints[:, ::-1]), many
        )
    unknown = many._replace(valid=np.zeros((6, 2, 21), bool))
    assert "6 of the 6" in prediction_file.check_labels(one, unknown)
    unseen = dataclasses.replace(one, found=np.zeros((6, 2), bool))
    with pytest.raises(InputError, match="of none of their labelled hands"):
        prediction_file.check_labels(unseen, many)
