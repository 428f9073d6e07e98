import numpy as np
import pytest

from twohand_jax.data import decode, shards
from twohand_jax.inspection import summary
from twohand_jax.inspection.check import (
    DUPLICATE,
    CheckConfig,
    Checker,
    Violation,
    picture_problems,
)

DEFAULTS = CheckConfig()


@pytest.fixture
def check(consistent_set, hand_model):
    """Check fields as the records of the consistent set."""

    def run(fields, config=DEFAULTS) -> list[Violation]:
        split = shards.open_split(consistent_set, "train")
        with Checker(split, config) as checker:
            errors = summary.measure_errors(fields, hand_model)
            checker.add(fields, errors, np.arange(len(fields["width"])))
        return checker.violations()

    return run


def test_consistent_records_have_no_violation(check, fields):
    assert check(fields) == []


def test_a_violation_names_its_record(check, fields):
    fields["hands/joints_2d"][3, 0, 4] += 1.5
    (violation,) = check(fields)
    assert "more than 1 px" in violation.kind
    assert violation.records == 1
    (place,) = violation.first
    assert place.startswith("record 1 of consistent-train.tfrecord-00001-of-00002")
    assert place.endswith("(picture 3)")
    assert check(fields, CheckConfig(max_reprojection_px=3.0)) == []


def test_only_the_first_places_are_kept(check, fields):
    fields["hand_type"][:] = b"none"
    (violation,) = check(fields)
    assert violation.records == 5
    assert len(violation.first) == 3


def test_fits_that_are_far_off_are_found(check, fields):
    fields["mano/transl"][1, 0, 2] += 0.06
    (violation,) = check(fields)
    assert "posed joints" in violation.kind
    fields["mano/transl"][1, 0, 2] -= 0.03
    assert check(fields) == []
    assert len(check(fields, CheckConfig(max_posing_mm=10.0))) == 1


def test_a_relative_translation_that_is_not_the_wrists(check, fields):
    fields["rel_trans"][0] *= -1
    (violation,) = check(fields)
    assert violation.kind.startswith("rel_trans is more than")


def test_no_camera_and_no_3d_are_no_violation(check, fields):
    """Pseudo ground truth whose 2D joints are others than the projected ones."""
    fields["hands/joints_2d"] += 20.0
    fields["camera/valid"][:] = 0
    assert check(fields) == []


def test_an_id_that_is_there_twice(check, fields):
    fields["image_id"][4] = fields["image_id"][1]
    (violation,) = check(fields)
    assert violation.kind == DUPLICATE
    assert violation.records == 1
    assert violation.first == ("record 2 of consistent-train.tfrecord-00001-of-00002",)


def test_damaged_records_are_counted_by_what_is_wrong(consistent_set):
    split = shards.open_split(consistent_set, "train")
    with Checker(split, CheckConfig()) as checker:
        checker.add_damaged(
            [f"record {n} of f is damaged: the checksum is wrong" for n in range(5)]
        )
    (violation,) = checker.violations()
    assert violation.kind == "damaged: the checksum is wrong"
    assert violation.records == 5
    assert violation.first[0] == "record 0 of f"


LABELS = np.ones((64, 80), np.uint8)
PICTURES = {
    "picture does not decode": ("image", b"words"),
    "picture has not the size": (
        "image",
        decode.encode_jpeg(np.zeros((8, 8, 3), "u1")),
    ),
    "segmentation map does not decode": ("cues/segmentation", b"words"),
    "segmentation map has not the picture's size": (
        "cues/segmentation",
        decode.encode_map(LABELS[1:]),
    ),
    "other labels than": ("cues/segmentation", decode.encode_map(LABELS * 3)),
    "depth map does not decode": ("cues/depth", b"words"),
    "has not 16 bits": ("cues/depth", decode.encode_map(LABELS)),
    "leaves the range": (
        "cues/depth",
        decode.encode_map(np.full((64, 80), 2000, np.uint16)),
    ),
}


@pytest.mark.parametrize("sentence", PICTURES)
def test_a_bad_picture_is_found(fields, sentence):
    name, data = PICTURES[sentence]
    fields[name][1] = data
    (problem,) = picture_problems(fields, 1)
    assert sentence in problem
    assert picture_problems(fields, 0) == []


def test_maps_that_are_absent_are_not_looked_at(fields):
    for cue in ("segmentation", "depth"):
        fields[f"cues/has_{cue}"][0] = 0
        fields[f"cues/{cue}"][0] = b"words"
    assert picture_problems(fields, 0) == []
