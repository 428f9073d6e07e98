"""``twohand data label``: predictions teach, weighed by their confidence."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from tests.inference.conftest import detections
from tests.train import runs
from twohand_jax.cli import main as cli
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.errors import InputError
from twohand_jax.inference import labelling
from twohand_jax.inference.predict import EMPTY
from twohand_jax.pipelines import shard_file
from twohand_jax.pipelines.cue_stage import RecordCues, StageConfig
from twohand_jax.pipelines.own import labels


@pytest.fixture(autouse=True)
def found(monkeypatch, keypoints) -> None:
    """In place of MediaPipe: two hands in every picture that is not black."""

    def find(_, image, boxes=None, sides=None):
        return detections(keypoints) if image.any() else []

    monkeypatch.setattr(MediaPipeHands, "__init__", lambda _: None)
    monkeypatch.setattr(MediaPipeHands, "__call__", find)


@pytest.fixture
def photos(tmp_path, image):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(image).save(folder / "a.png")
    Image.fromarray(image[::-1].copy()).save(folder / "b.jpg")
    return folder


def run(*words) -> int:
    return cli.main(["data", *map(str, words)])


@pytest.mark.slow
def test_a_network_labels_and_another_learns_from_it(
    tmp_path, photos, checkpoint, capsys
):
    """From pictures to labels, records and a training step."""
    out = photos / "labels.json"
    words = ["label", photos, "--model", checkpoint, "--out", out]
    words += ["--cues", "mediapipe", "--refine", "never"]
    assert run(*words) == 0
    assert f"wrote {out}: 4 hands labelled, 0 left out" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["hand_model"] == "open-hand-1"
    first, second = content["pictures"]
    assert (first["image"], second["image"]) == ("a.png", "b.jpg")
    sure = [one[side]["confidence"] for one in (first, second) for side in labels.SIDES]
    assert all(0.0 < confidence < 1.0 for confidence in sure)

    content["pictures"].append({**first, "id": "c", "split": "test"})
    out.write_text(json.dumps(content))
    records = tmp_path / "records"
    build = ["build", "own", "--labels", out, "--out", records, "--workers", 0]
    assert run(*build) == 0
    config = ReaderConfig(
        directory=str(records), split="train", batch_size=2, shuffle=False
    )
    (batch,) = Reader(config).once()
    doubt = sorted(np.asarray(batch.targets.doubt).ravel())
    np.testing.assert_allclose(doubt, sorted(1.0 - np.array(sure)), atol=1e-6)
    assert batch.targets.mano_valid.all() and batch.targets.joints_2d_valid.all()
    source = RecordCues(records, StageConfig(cues=None))
    assert source.is_pseudo  # new cues keep the doubt

    words = runs.arguments(
        "tiny",
        tmp_path / "run",
        records,
        train__total_steps=1,
        train__batch_size=2,
        train__evaluate_every=0,
        loss__min_confidence=min(sure) / 2,
    )
    assert cli.main(words) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    (row,) = [one for one in map(json.loads, lines) if "loss/total" in one]
    assert math.isfinite(row["loss/total"]) and row["loss/total"] > 0


def test_what_is_refused(tmp_path, photos, capsys):
    out = tmp_path / "labels.json"
    out.write_text("mine")
    assert run("label", photos, "--out", out) == 2
    assert "may hold labels of people" in capsys.readouterr().err
    assert out.read_text() == "mine"
    for words, said in (
        (["--split", "No Name"], "is not a name of a split"),
        (["--mano", tmp_path / "none"], "No hand model at"),
        (["--model", tmp_path], "is not a model directory"),
    ):
        assert run("label", photos, "--out", tmp_path / "new.json", *words) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        run("label", photos, "--out", tmp_path / "new.json", "--min-confidence", 2)
    assert not (tmp_path / "new.json").exists()


@pytest.mark.slow
def test_bad_pictures_are_named_and_doubtful_hands_left_out(
    tmp_path, photos, checkpoint, capsys
):
    (photos / "c.jpg").write_text("words")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photos / "d.bmp")
    out = tmp_path / "labels.json"
    words = ["label", photos, "--model", checkpoint, "--cues", "mediapipe"]
    words += ["--refine", "never", "--out", out]
    assert run(*words, "--min-confidence", 1) == 2
    assert "No hand was found that is certain enough" in capsys.readouterr().err
    assert not out.exists()
    assert run(*words) == 2
    told = capsys.readouterr().err
    assert "c.jpg" in told and "d.bmp is no .jpg, .jpeg, .png" in told
    assert len(labels.read(out).pictures) == 2


def entry(**more):
    return {"image": "a.png", "side": "right", "box": [0, 0, 9, 9], **more}


@pytest.mark.parametrize("value", [0, -0.1, 1.5, "high", True])
def test_a_confidence_is_above_0_and_at_most_1(tmp_path, value):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([entry(confidence=value)]))
    with pytest.raises(InputError, match="right hand, confidence: "):
        labels.read(path)


def test_a_confidence_alone_labels_nothing(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([{"image": "a.png", "right": {"confidence": 0.5}}]))
    with pytest.raises(InputError, match="nothing is known of it"):
        labels.read(path)
    path.write_text(json.dumps([entry()]))
    assert labels.read(path).pictures[0].hands[0].confidence == 1.0


def test_sets_without_pseudo_labels_are_what_they_were():
    class Plain:
        pass

    assert not shard_file.is_pseudo(Plain())
    assert "doubt" not in shard_file.features_dict()["hands"]
    assert "doubt" in shard_file.features_dict(is_pseudo=True)["hands"]


def test_confidence_falls_with_the_distance_from_the_keypoints():
    class Person:
        prediction = labelling.Prediction(
            *[None] * 5, score=np.array([0.9, 1.2], np.float32)
        )

        def errors(self):
            return np.array([0.0, 0.1]), np.zeros(2)

    got = labelling.confidences(Person(), labelling.LabellingConfig())
    np.testing.assert_allclose(got, [0.9, math.exp(-1)], rtol=1e-6)


def test_hands_that_cannot_be_labels_are_told():
    joints = np.zeros((2, 21, 3)) + [0.0, 0.0, 0.5]

    def judged(**changes):
        points = changes.pop("joints", joints)
        made = EMPTY._replace(geometry=EMPTY.geometry._replace(joints=points))
        mano = made.mano._replace(**changes)
        return labelling.sound(made._replace(mano=mano)).tolist()

    assert judged() == [True, True]
    behind, nowhere = joints.copy(), joints.copy()
    behind[0, 4, 2] = -0.1
    nowhere[1, 0, 0] = np.nan
    assert judged(joints=behind) == [False, True]
    assert judged(joints=nowhere) == [True, False]
    far = np.zeros((2, 3))
    far[0] = 30.0
    assert judged(transl=far) == [False, True]
