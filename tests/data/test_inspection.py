from pathlib import Path

import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.data import inspection
from twohand_jax.data.decode import Rows
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.types import ManoModel, ManoParams


@pytest.fixture(scope="module")
def model() -> ManoModel:
    return mano.load()


@pytest.fixture
def rows(record_set: Path, model: ManoModel) -> Rows:
    """A batch whose 3D joints are those of its parameters, at 1 m, and project."""
    config = ReaderConfig(directory=str(record_set), batch_size=4, split="test")
    rows = next(Reader(config).rows())
    fields = dict(rows.fields)
    fields["mano/model"] = np.full(4, model.name.encode(), object)
    fields["mano/transl"] = fields["mano/transl"] * 0 + np.array([0, 0, 1.0], "f4")
    names = ("global_orient", "hand_pose", "betas", "transl")
    params = ManoParams(*(fields[f"mano/{name}"] for name in names))
    fields["hands/joints_3d"] = np.array(mano.forward(model, params).joints)
    fields["camera/focal"] = np.full((4, 2), 100.0, np.float32)
    points = fields["hands/joints_3d"]
    center = fields["camera/center"][:, None, None]
    fields["hands/joints_2d"] = points[..., :2] / points[..., 2:] * 100 + center
    return rows._replace(fields=fields)


def test_errors_are_zero_for_consistent_records(rows: Rows, model: ManoModel) -> None:
    summary = inspection.Summary(model)
    summary.add(rows)
    assert summary.records == 3  # the fourth row is padding
    assert np.concatenate(summary.posing_mm).max() < 1e-3
    assert np.concatenate(summary.reprojection_px).max() < 1e-3
    assert len(summary.posing_mm[0]) == 3 * 2 * 21


def test_errors_are_found(rows: Rows, model: ManoModel) -> None:
    rows.fields["hands/joints_3d"][0, 1, 4, 0] += 0.01
    summary = inspection.Summary(model)
    summary.add(rows)
    assert np.concatenate(summary.posing_mm).max() == pytest.approx(10, abs=0.01)
    assert np.concatenate(summary.reprojection_px).max() > 0.5


def test_records_of_another_hand_model_are_not_posed(
    rows: Rows, model: ManoModel
) -> None:
    rows.fields["mano/model"][:] = b"mano"
    assert len(inspection.posing_errors_mm(rows.fields, model)) == 0


def test_the_text_says_what_is_there(rows: Rows, model: ManoModel) -> None:
    rows.fields["cues/has_depth"][0] = 0
    rows.fields["hands/valid"][:3, 1] = 0
    summary = inspection.Summary(model)
    summary.add(rows)
    text = summary.text()
    assert "3 records" in text
    assert "hands/valid: right 100.0%, left 0.0%" in text
    assert "depth cue: some cues/depth_source some cues/depth_version 66.7%" in text
    assert "absent 33.3%" in text
    assert "pictures: 64 x 48 100.0%" in text


def test_the_sheet_has_a_tile_for_each_record(rows: Rows) -> None:
    sheet = inspection.sheet([rows], count=3, columns=2)
    height, width = 2 * (256 + 6) + 6, 2 * (3 * round(64 * 256 / 48) + 6) + 6
    assert sheet.shape == (height, width, 3)
    last = sheet[256 + 12 :, width // 2 + 3 :]
    assert (last == 40).all()  # three tiles on a two by two grid
