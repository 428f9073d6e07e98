import numpy as np
import pytest

from tests.data.records import example
from twohand_jax.data import schema
from twohand_jax.errors import InputError


@pytest.fixture
def good() -> dict:
    return example("a", 48, 64, np.random.default_rng(0))


def test_names_are_unique_and_complete_examples_pass(good: dict) -> None:
    assert len(schema.BY_NAME) == len(schema.FEATURES)
    schema.check(good)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hands/box", np.zeros((2, 3), np.float32), r"'hands/box' has shape \(2, 3\)"),
        ("rel_trans", np.full(3, np.nan, np.float32), "'rel_trans' holds NaN"),
        ("image", "a path", "'image' is str, expected bytes"),
        ("cues/depth", b"", "'cues/depth' is empty"),
        ("dataset", 3, "'dataset' is int, expected str"),
    ],
)
def test_wrong_values_are_named(
    good: dict, name: str, value: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        schema.check(good | {name: value}, where="sample 7")


def test_missing_and_unknown_features_are_named(good: dict) -> None:
    good["colour"] = good.pop("hands/box")
    with pytest.raises(InputError, match=r"\['hands/box'\].*\['colour'\]"):
        schema.check(good)


def test_other_versions_are_refused() -> None:
    schema.check_version(schema.SCHEMA_VERSION, where="x")
    with pytest.raises(InputError, match="x was written with record schema 99"):
        schema.check_version(99, where="x")


@pytest.mark.parametrize(
    ("shown", "kind"),
    [((True, False), "right"), ((False, True), "left"), ((True, True), "interacting")],
)
def test_the_hand_type_says_which_hands_are_shown(shown, kind):
    assert schema.hand_type(shown) == schema.hand_type(np.array(shown)) == kind
    assert kind in schema.HAND_TYPES


def test_the_usual_records_hold_the_usual_cues() -> None:
    """A new kind adds features and changes none: the schema stays."""
    names = [feature.name for feature in schema.features()]
    assert names[: len(schema.LABELS)] == [one.name for one in schema.LABELS]
    assert names[len(schema.LABELS) :] == [
        "cues/keypoints",
        "cues/has_keypoints",
        "cues/keypoints_source",
        "cues/keypoints_version",
        "cues/segmentation",
        "cues/has_segmentation",
        "cues/segmentation_source",
        "cues/segmentation_version",
        "cues/depth",
        "cues/depth_scale",
        "cues/depth_offset",
        "cues/has_depth",
        "cues/depth_source",
        "cues/depth_version",
    ]


def test_an_example_has_the_cues_of_its_set_and_no_others(good: dict) -> None:
    few = {name: value for name, value in good.items() if "depth" not in name}
    schema.check(few, cues=("keypoints", "segmentation"))
    with pytest.raises(InputError, match=r"missing features \['cues/depth', 'cues/"):
        schema.check(few)
    with pytest.raises(InputError, match=r"unknown features \['cues/depth', 'cues/"):
        schema.check(good, cues=("keypoints", "segmentation"))
