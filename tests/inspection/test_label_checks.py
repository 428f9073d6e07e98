import numpy as np
import pytest

from twohand_jax.crops import cue_table
from twohand_jax.data import schema
from twohand_jax.inspection import check
from twohand_jax.types import LEFT, RIGHT


def found(fields) -> dict[str, list[int]]:
    problems = check.label_problems(fields)
    return {kind: np.flatnonzero(rows).tolist() for kind, rows in problems.items()}


def test_consistent_records_break_no_rule(fields):
    assert not any(found(fields).values())


def test_every_rule_gives_a_row_for_each_record(fields):
    for rows in check.label_problems(fields).values():
        assert rows.shape == (5,)
        assert rows.dtype == bool


def _set(name: str, value: object, *where: int):
    def change(fields) -> None:
        fields[name][(2, *where)] = value

    return change


# Part of the sentence, and what is changed in record 2.
CHANGES = {
    "flag is neither": _set("hands/joints_3d_valid", 7, LEFT, 3),
    "image_id is empty": _set("image_id", b""),
    "hand_type is none": _set("hand_type", b"both"),
    "no hand is valid": _set("hands/valid", 0),
    "box of a valid hand is empty": _set("hands/box", [9, 9, 9, 20], RIGHT),
    "box of a valid hand reaches": _set("hands/box", [9, 9, 1e20, 20], RIGHT),
    "outside of the picture": _set("hands/box", [90, 9, 99, 20], RIGHT),
    "focal length": _set("camera/focal", 0.0, 1),
    "behind the camera": _set("hands/joints_3d", -0.3, LEFT, 8, 2),
    "metres?": lambda fields: np.multiply(
        fields["hands/joints_3d"][2], 1000, out=fields["hands/joints_3d"][2]
    ),
    "radians?": _set("mano/hand_pose", 45.0, LEFT, 3, 1),
    "no hand model is named": _set("mano/model", b""),
    "rel_trans is valid and a wrist is not": _set("hands/joints_3d_valid", 0, RIGHT, 0),
    "what made it is not named": _set("cues/depth_source", b""),
    "score below 0": _set("cues/keypoints", -0.1, LEFT, 5, 2),
    "its scale is not above 0": _set("cues/depth_scale", 0.0),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_a_broken_rule_is_found_in_its_record_alone(fields, sentence):
    CHANGES[sentence](fields)
    broken = {kind: rows for kind, rows in found(fields).items() if rows}
    assert [kind for kind in broken if sentence in kind]
    assert all(rows == [2] for rows in broken.values())


def test_every_rule_can_be_broken():
    sentences = [sentence for sentence, _ in check.RULES]
    for sentence in sentences:
        assert sum(part in sentence for part in CHANGES) == 1, sentence


def test_values_that_do_not_count_may_be_anything(fields):
    """As COCO-WholeBody's: no camera, no 3D, no fit, no cue."""
    flags = ("camera/valid", "hands/joints_3d_valid", "mano/valid", "rel_trans_valid")
    for flag in (*flags, *(f"cues/has_{cue}" for cue in cue_table.NAMES)):
        fields[flag][:] = 0
    for feature in schema.FEATURES:
        if feature.flag in flags or (feature.flag or "").startswith("cues/has"):
            fields[feature.name][:] = -99.0
    fields["mano/model"][:] = b""
    assert not any(found(fields).values())
