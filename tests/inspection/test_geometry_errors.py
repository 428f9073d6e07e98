import dataclasses

import numpy as np
import pytest

from twohand_jax.inspection import summary
from twohand_jax.types import LEFT, ManoModel


def test_consistent_records_have_no_errors(fields, hand_model: ManoModel):
    errors = summary.measure_errors(fields, hand_model)
    for values, limit in zip(errors, (1e-2, 1e-2, 1e-3), strict=True):
        assert np.isfinite(values).all()
        assert values.max() < limit


def test_errors_are_found_where_they_are(fields, hand_model: ManoModel):
    fields["hands/joints_3d"][0, LEFT, 4, 0] += 0.01
    fields["rel_trans"][1, 2] += 0.02
    errors = summary.measure_errors(fields, hand_model)
    worst = np.unravel_index(errors.posing_mm.argmax(), errors.posing_mm.shape)
    assert worst == (0, LEFT, 4)
    assert errors.posing_mm.max() == pytest.approx(10, abs=0.05)
    expected = 10 / 1000 * fields["camera/focal"][0, 0]
    expected /= fields["hands/joints_3d"][0, LEFT, 4, 2]
    assert errors.reprojection_px[0, LEFT, 4] == pytest.approx(expected, rel=1e-3)
    assert errors.rel_trans_mm[1] == pytest.approx(20, abs=0.05)


def test_what_is_not_known_is_nan(fields, hand_model: ManoModel):
    fields["camera/valid"][0] = 0
    fields["hands/joints_2d_valid"][1, LEFT, 7] = 0
    fields["mano/valid"][2, LEFT] = 0
    fields["rel_trans_valid"][3] = 0
    fields["hands/joints_3d_valid"][4, LEFT, 0] = 0
    errors = summary.measure_errors(fields, hand_model)
    assert np.isnan(errors.reprojection_px[0]).all()
    assert np.isnan(errors.reprojection_px[1]).sum() == 1
    assert np.isnan(errors.posing_mm[2, LEFT]).all()
    assert not np.isnan(errors.posing_mm[2, 1 - LEFT]).any()
    assert np.isnan(errors.rel_trans_mm[3:]).all()


def test_records_of_another_hand_model_are_not_posed(fields, hand_model: ManoModel):
    other = dataclasses.replace(hand_model, name="another")
    assert np.isnan(summary.posing_errors_mm(fields, other)).all()


def test_a_joint_behind_the_camera_is_infinitely_far_off(fields):
    fields["hands/joints_3d"][0, 0, 3, 2] *= -1
    assert np.isinf(summary.reprojection_errors(fields)[0, 0, 3])
