"""Labels of parsed records."""

import numpy as np

from tests.evaluation.outside.cases import NAMES
from twohand_jax.data.decode import Rows
from twohand_jax.evaluation.outside.prediction_file import labels_from_rows


def test_labels_of_a_split_leave_out_what_cannot_be_used():
    joints = np.random.default_rng(0).normal(size=(3, 2, 21, 3)).astype(np.float32)
    fields = {
        "image_id": np.array([name.encode() for name in NAMES], object),
        "hands/valid": np.array([[1, 1], [1, 0], [1, 1]]),
        "hands/joints_3d": joints,
        "hands/joints_3d_valid": np.ones((3, 2, 21), int),
    }
    rows = Rows(fields, np.array([4, 5, 6]), np.array([True, True, False]))
    labels = labels_from_rows([rows])
    assert labels.image_ids() == {4: "a/1", 5: "a/2"}
    assert labels.valid.all(axis=-1).tolist() == [[True, True], [True, False]]
    np.testing.assert_array_equal(labels.joints, joints[:2])
