import numpy as np
import pytest

from twohand_jax.inspection import summary as summary_module
from twohand_jax.inspection.summary import OTHERS, Summary, measure_errors, summary_text
from twohand_jax.types import LEFT, RIGHT, ManoModel


def summary_of(fields, model: ManoModel) -> Summary:
    summary = Summary()
    summary.add(fields, measure_errors(fields, model))
    return summary


def test_the_text_says_what_is_there(fields, hand_model: ManoModel):
    fields["cues/has_depth"][0] = 0
    fields["hands/valid"][:, LEFT] = 0
    fields["subset"][3:] = b"other"
    text = summary_of(fields, hand_model).text()
    assert "5 records" in text
    assert "hands/valid: right 100.0%, left 0.0%" in text
    assert "depth cue: ground truth 1 80.0%, absent 20.0%" in text
    assert "pictures: 80 x 64 100.0%" in text
    assert "subset: drawn 60.0%, other 40.0%" in text


def test_parts_add_up(fields, hand_model: ManoModel):
    whole = summary_of(fields, hand_model)
    parts = Summary()
    for part in (slice(0, 2), slice(2, 5), slice(5, 5)):
        rows = {name: value[part] for name, value in fields.items()}
        parts.add(rows, measure_errors(rows, hand_model))
    assert parts.text() == whole.text()
    assert parts.records == 5


def test_rates_of_joints_are_means_over_a_hand(fields, hand_model: ManoModel):
    fields["hands/joints_2d_valid"][:, RIGHT, :7] = 0
    rates = summary_of(fields, hand_model).rates()
    assert rates["hands/joints_2d_valid"] == pytest.approx((14 / 21, 1.0))
    assert rates["camera/valid"] == (1.0,)


def test_histograms_count_what_is_valid(fields, hand_model: ManoModel):
    fields["hands/valid"][0, RIGHT] = 0
    fields["mano/valid"][1] = 0
    plots = summary_of(fields, hand_model).histograms
    assert plots["box"].total == 9
    assert plots["iou"].total == 4
    assert plots["hand_pose"].total == 8 * 15
    assert plots["wrist_depth"].total == 10
    assert plots["wrist_depth"].high == fields["hands/joints_3d"][:, :, 0, 2].max()
    assert plots["keypoints"].high == 0.0  # ground truth


def test_iou_and_keypoint_errors_are_right(fields, hand_model: ManoModel):
    fields["hands/box"][:] = [[[0, 0, 20, 10], [10, 0, 30, 10]]]
    fields["cues/keypoints"][:, RIGHT, 4, 0] += 5.0
    plots = summary_of(fields, hand_model).histograms
    assert plots["iou"].low == plots["iou"].high == pytest.approx(1 / 3)
    assert plots["keypoints"].high == pytest.approx(25.0, rel=1e-4)


def test_texts_that_are_never_the_same_do_not_fill_memory(
    fields, hand_model: ManoModel, monkeypatch
):
    monkeypatch.setattr(summary_module, "MOST_NAMES", 3)
    fields["subset"][:] = np.array([b"%d" % n for n in range(5)], object)
    counter = summary_of(fields, hand_model).texts["subset"]
    assert counter == {"0": 1, "1": 1, "2": 1, OTHERS: 2}


def test_text_that_is_no_utf8_is_shown():
    assert summary_text(b"a\xff") == "a\\xff"
