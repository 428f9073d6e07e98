"""The pipeline on pictures: stages as rows, hands matched with labels, going on."""

from pathlib import Path

import numpy as np
import pytest

from tests.inference.conftest import checkpoint
from twohand_jax.cues.selection import HandDetection
from twohand_jax.errors import InputError
from twohand_jax.evaluation import photographs, protocols
from twohand_jax.evaluation.photographs import PhotographsConfig, evenly, match
from twohand_jax.inference.observe import CueConfig, Observer
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.fixtures.scenes import scenes
from twohand_jax.pipelines.labelled import LabelledSource, ShardConfig
from twohand_jax.pipelines.own import fixture
from twohand_jax.pipelines.own.dataset import Own
from twohand_jax.types import LEFT, RIGHT

__all__ = ["checkpoint"]
COUNT = 3
HALF = PhotographsConfig(found=True)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    """Two hands, a right hand, and two hands of which the fits alone are labelled."""
    root = tmp_path_factory.mktemp("own")
    fixture.write(root / "source", count=COUNT)
    source = LabelledSource(Own(root / "source" / "labels.json"), ShardConfig())
    writer.write(source, root / "records", workers=0, progress=False)
    return root / "records"


class TrueHands:
    """A detector that knows the scenes: it looks a picture up by its pixels."""

    def __init__(self, sides=(RIGHT, LEFT), swapped=False) -> None:
        self.sides, self.swapped, self.looked = sides, swapped, 0
        self._known = scenes(COUNT)

    def __call__(self, image, boxes=None, sides=None) -> list[HandDetection]:
        self.looked += 1
        off = [np.abs(image.astype(int) - s.image).mean() for s in self._known]
        scene = self._known[int(np.argmin(off))]
        wanted = self.sides if sides is None else [s for s in sides if s in self.sides]
        return [self._hand(scene, side) for side in wanted]

    def _hand(self, scene, side) -> HandDetection:
        points = scene.joints_px[side]
        world = scene.joints[side] - scene.joints[side].mean(axis=0)
        return HandDetection(
            side=1 - side if self.swapped else side,
            side_score=0.9,
            score=0.995,
            keypoints=np.concatenate([points, np.full((21, 1), 0.995)], 1).astype("f4"),
            world=world.astype(np.float32),
            box=np.concatenate([points.min(axis=0), points.max(axis=0)]),
        )


@pytest.fixture(scope="module")
def pipeline(checkpoint, tmp_path_factory):
    """A reconstructor of an untrained network whose detector can be chosen."""
    made = Reconstructor.load(
        checkpoint, cues="mediapipe", cache=tmp_path_factory.mktemp("cache")
    )

    def use(detector) -> Reconstructor:
        made.observer = Observer(CueConfig(source="mediapipe"), detector=detector)
        return made

    return use


def figures(evaluation):
    return {one.method: one.figures() for one in evaluation.results}


@pytest.mark.slow
def test_every_stage_is_a_row_on_given_boxes(records, pipeline, tmp_path):
    detector = TrueHands()
    reconstructor = pipeline(detector)
    one = photographs.evaluate(
        reconstructor, records, "test", out=tmp_path, progress=False
    )
    rows = figures(one)
    assert list(rows) == ["MediaPipe", "network", "+ fit", "+ refine"]
    columns = protocols.get("photographs").columns
    for name, row in rows.items():
        assert row["found %"] == 100.0 and "wrong side %" not in row
        missing = {column for column in columns if np.isnan(row.get(column, np.nan))}
        assert missing == ({"MRRPE"} if name == "MediaPipe" else set())
    perfect = [rows["MediaPipe"][name] for name in columns if name != "MRRPE"]
    assert np.max(perfect) < 0.1
    # A network that has learned nothing is off; its fit lies on true keypoints.
    assert rows["+ fit"]["MPJPE"] < rows["network"]["MPJPE"]
    hands = [one.results[0].scores.metrics["found %"].count.sum()]
    assert hands == [5]
    looked = detector.looked
    again = photographs.evaluate(
        reconstructor, records, "test", out=tmp_path, progress=False
    )
    assert detector.looked == looked and figures(again) == rows
    with pytest.raises(InputError, match="another evaluation .*found"):
        photographs.evaluate(
            reconstructor, records, "test", config=HALF, out=tmp_path, progress=False
        )


@pytest.mark.slow
def test_an_interrupted_run_goes_on(records, pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "PICTURES_A_FILE", 1)
    whole = figures(
        photographs.evaluate(pipeline(TrueHands()), records, "test", progress=False)
    )
    detector = TrueHands()
    reconstructor, detailed = pipeline(detector), Reconstructor.detailed

    def stops(self, *arguments, **more):
        if detector.looked == 2:
            raise KeyboardInterrupt
        return detailed(self, *arguments, **more)

    monkeypatch.setattr(Reconstructor, "detailed", stops)
    with pytest.raises(KeyboardInterrupt):
        photographs.evaluate(
            reconstructor, records, "test", out=tmp_path, progress=False
        )
    monkeypatch.setattr(Reconstructor, "detailed", detailed)
    rest = TrueHands()
    found = photographs.evaluate(
        pipeline(rest), records, "test", out=tmp_path, progress=False
    )
    assert rest.looked == 1
    for name, row in figures(found).items():
        assert row == pytest.approx(whole[name], nan_ok=True), name


@pytest.mark.slow
def test_hands_that_are_not_found_are_counted_and_left_out(records, pipeline):
    right = pipeline(TrueHands(sides=(RIGHT,)))
    found = photographs.evaluate(right, records, "test", config=HALF, progress=False)
    for name, row in figures(found).items():
        assert row["found %"] == pytest.approx(60.0), name
        assert row["wrong side %"] == 0.0
        assert np.isnan(row.get("MRRPE", np.nan))
    assert figures(found)["MediaPipe"]["PA-MPJPE"] < 0.1
    given = photographs.evaluate(right, records, "test", progress=False)
    rows = figures(given)
    assert rows["MediaPipe"]["found %"] == pytest.approx(60.0)
    assert rows["network"]["found %"] == 100.0


def test_a_hand_found_as_the_other_side_is_not_found(records, pipeline):
    swapped = pipeline(TrueHands(sides=(RIGHT,), swapped=True))
    found = photographs.evaluate(swapped, records, "test", config=HALF, progress=False)
    row = figures(found)["network"]
    assert row["wrong side %"] == pytest.approx(60.0)
    assert row["found %"] < 40.0


def test_some_pictures_evenly(records, pipeline):
    assert evenly(10, None).tolist() == list(range(10))
    assert evenly(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly(3, 9).tolist() == [0, 1, 2]
    config = PhotographsConfig(pictures=2)
    found = photographs.evaluate(
        pipeline(TrueHands()), records, "test", config=config, progress=False
    )
    assert all(len(one) == 2 for one in found.results)
    with pytest.raises(InputError, match="at least 1"):
        PhotographsConfig(pictures=0)


RIGHT_BOX, LEFT_BOX = [0.0, 0.0, 40.0, 40.0], [60.0, 0.0, 100.0, 40.0]
FAR_BOX = [200.0, 200.0, 240.0, 240.0]


@pytest.mark.parametrize(
    ("detected", "present", "shown", "found", "wrong"),
    [
        ([RIGHT_BOX, LEFT_BOX], (1, 1), (1, 1), (1, 1), (0, 0)),
        ([LEFT_BOX, RIGHT_BOX], (1, 1), (1, 1), (0, 0), (1, 1)),
        ([RIGHT_BOX, FAR_BOX], (1, 1), (1, 1), (1, 0), (0, 0)),
        ([FAR_BOX, RIGHT_BOX], (1, 1), (1, 0), (0, 0), (1, 0)),
        ([RIGHT_BOX, RIGHT_BOX], (1, 1), (1, 0), (1, 0), (0, 0)),
        ([RIGHT_BOX, LEFT_BOX], (0, 1), (1, 1), (0, 1), (0, 0)),
        ([RIGHT_BOX, LEFT_BOX], (1, 1), (0, 1), (0, 1), (0, 0)),
    ],
)
def test_hands_are_matched_by_side_and_box(detected, present, shown, found, wrong):
    labelled = np.array([RIGHT_BOX, LEFT_BOX])
    flags = (np.array(each, bool) for each in (present, shown))
    present, shown = flags
    got = match(np.array(detected), present, labelled, shown)
    assert got.found.tolist() == [bool(each) for each in found]
    assert got.wrong_side.tolist() == [bool(each) for each in wrong]


def test_records_without_3d_joints_are_refused(pipeline, tmp_path):
    fixture.write(tmp_path / "source", count=4)
    source = LabelledSource(
        Own(tmp_path / "source" / "labels.json"), ShardConfig(splits=("train",))
    )
    writer.write(source, tmp_path / "records", workers=0, progress=False)
    with pytest.raises(InputError, match="No hand of split 'train' .* 3D joints"):
        photographs.evaluate(
            pipeline(TrueHands()), tmp_path / "records", "train", progress=False
        )
