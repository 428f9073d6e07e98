from pathlib import Path

import numpy as np
import pytest

from tests.data.consistent import Consistent
from twohand_jax.data import shards
from twohand_jax.errors import InputError
from twohand_jax.inspection import report
from twohand_jax.inspection.check import CheckConfig
from twohand_jax.inspection.report import InspectConfig
from twohand_jax.pipelines import writer

CHECKED = InspectConfig(count=0, check=CheckConfig(), batch=2)


@pytest.fixture
def damaged_set(tmp_path: Path, hand_model) -> Path:
    """Record 1 lacks its maps' size, record 3's payload is damaged on disk."""
    changes = {1: {"cues/has_depth": True, "cues/depth": b"words"}}
    writer.write(
        Consistent(hand_model, changes=changes), tmp_path, workers=0, progress=False
    )
    path, number = shards.open_split(tmp_path, "train").locate(3)
    data = bytearray(Path(path).read_bytes())
    data[shards.offset(path, number) + 100] ^= 255
    Path(path).write_bytes(data)
    return tmp_path


def test_every_record_is_seen_once(consistent_set, hand_model):
    part = report.inspect(consistent_set, "train", hand_model, CHECKED)
    assert part.summary.records == 5
    assert part.violations == []
    assert part.strips == []


def test_violations_and_damage_are_both_found(damaged_set, hand_model):
    part = report.inspect(damaged_set, "train", hand_model, CHECKED)
    assert part.summary.records == 4
    kinds = {v.kind: v for v in part.violations}
    assert kinds["the depth map does not decode"].first == (
        "record 1 of consistent-train.tfrecord-00000-of-00002 (picture 1)",
    )
    (damage,) = (v for kind, v in kinds.items() if kind.startswith("damaged"))
    assert "record 1 of" in damage.first[0]
    text = report.text(part)
    assert "violations:\n        1  " in text


def test_without_the_check_damage_stops(damaged_set, hand_model):
    with pytest.raises(InputError, match="is damaged"):
        report.inspect(damaged_set, "train", hand_model, InspectConfig(count=0))


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_a_quick_look_stops_at_its_limit(consistent_set, hand_model, limit):
    config = InspectConfig(count=2, max_records=limit, batch=2)
    part = report.inspect(consistent_set, "train", hand_model, config)
    assert part.summary.records == limit
    assert len(part.strips) == min(2, limit)


def test_drawn_records_are_spread_over_the_split(consistent_set, hand_model):
    config = InspectConfig(count=2, batch=2)
    part = report.inspect(consistent_set, "train", hand_model, config)
    names = [strip.caption.partition(", ")[0] for strip in part.strips]
    assert names == ["picture 1", "picture 3"]
    assert report.spread_out(3, 100).tolist() == [16, 50, 83]
    assert report.spread_out(9, 2).tolist() == [0, 1]
    assert report.spread_out(0, 5).tolist() == []


def test_the_fit_covers_its_hand(fields, hand_model):
    """The posed mesh is drawn over the very pixels that the picture's hands fill."""
    view = report.record_view(fields, 0, hand_model)
    assert len(view.meshes) == 2
    strip = report.record_strip(fields, 0, hand_model).image.astype(int)
    size = strip.shape[0]
    fit, depth = strip[:, size + 4 : 2 * size + 4], strip[:, -size:]
    changed = np.abs(fit - strip[:, :size]).sum(axis=-1) > 0
    hands = depth[..., 0] > 0
    assert (changed & hands).sum() > 0.8 * hands.sum()


def test_a_record_of_another_model_or_without_pictures_is_drawn(fields, hand_model):
    fields["mano/model"][0] = b"another"
    fields["image"][0] = b"words"
    fields["cues/depth"][0] = b"words"
    view = report.record_view(fields, 0, hand_model)
    assert view.meshes == []
    assert view.depth is None
    assert report.record_strip(fields, 0, hand_model).image.shape[0] == 256
