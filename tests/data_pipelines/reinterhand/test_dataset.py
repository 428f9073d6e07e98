import argparse
import json
import math
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from twohand_jax.data import schema
from twohand_jax.errors import InputError
from twohand_jax.mano.joint_set import POSED
from twohand_jax.mano.joints import JOINT_NAMES
from twohand_jax.pipelines import fits, labelled, writer
from twohand_jax.pipelines.labelled import (
    Labelled,
    LabelledSource,
    Rejection,
    ShardConfig,
)
from twohand_jax.pipelines.reinterhand import captures, dataset, labels
from twohand_jax.pipelines.reinterhand.dataset import ReInterHand, ReInterHandConfig
from twohand_jax.pipelines.reinterhand.fixture import CAMERAS, FIRST_FRAME, TEST, TRAIN
from twohand_jax.types import LEFT, RIGHT

# As facebookresearch/InterWild, data/ReInterHand/ReInterHand.py names them.
FINGERS = {"thumb": 5, "index": 4, "middle": 4, "ring": 4, "pinky": 5}
FIRST = f"{FIRST_FRAME:06d}"
MUGSY = ReInterHandConfig(cameras=("mugsy",))
EGO = ReInterHandConfig(cameras=("ego",))


def _all(root: Path, config: ReInterHandConfig | None = None) -> list:
    data = ReInterHand(root, config=config)
    return [
        sample
        for split, count in data.counts().items()
        for sample in data.samples(split, range(count))
    ]


def _first(root: Path, config: ReInterHandConfig = MUGSY) -> Labelled | Rejection:
    return next(ReInterHand(root, config=config).samples("train", [0]))


def _edit(path: Path, change) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_the_source_order_is_the_authors_by_name():
    names = ["wrist"]
    for finger, count in FINGERS.items():
        names += [f"{finger}_{5 - count + i}" for i in range(count)]
    names.append("forearm")
    assert len(names) == labels.SOURCE_JOINTS
    found = [names[row] for row in labels.CANONICAL_FROM_RELIGHTED]
    assert found == list(JOINT_NAMES)


def test_captures_decide_the_split_and_dark_frames_are_left_out(miniature):
    assert ReInterHand(miniature).counts() == {"train": 7, "test": 4}
    assert ReInterHand(miniature, config=EGO).counts() == {"train": 3, "test": 2}
    every = ReInterHandConfig(cameras=("ego",), kept_ratio=0.0)
    assert ReInterHand(miniature, config=every).counts() == {"train": 4, "test": 2}
    names = [sample.image_id for sample in _all(miniature)]
    assert len(set(names)) == len(names)
    assert {TEST in name for name in names[:7]} == {False}
    assert {TEST in name for name in names[7:]} == {True}


def test_light_per_segment_follows_the_frame_list(miniature):
    config = ReInterHandConfig(lights=("per_segment",))
    samples = _all(miniature, config)
    # Each third-person camera of the miniature saw every other frame only.
    missing = [one for one in samples if isinstance(one, Rejection)]
    assert {one.reason for one in missing} == {labelled.MISSING}
    assert (len(samples), len(missing)) == (2 * 6 + 5, 6)


def test_stored_joints_project_onto_the_2d_joints(miniature):
    for sample in _all(miniature):
        assert isinstance(sample, Labelled)
        joints, camera = sample.joints_3d, sample.camera
        pixels = joints[..., :2] / joints[..., 2:] * camera.focal + camera.center
        np.testing.assert_allclose(pixels, sample.joints_2d, atol=1e-6)
        assert sample.joints_2d_valid.all() and sample.joints_3d_valid.all()
        assert 0.3 < joints[..., 2].min() < joints[..., 2].max() < 1.0


def test_the_posed_model_has_the_stored_joints(miniature):
    model = fits.load_model(None)
    for sample in _all(miniature):
        posed = np.asarray(fits.joints(model, sample.mano, POSED))
        np.testing.assert_allclose(posed, sample.joints_3d, atol=1e-5)
        assert sample.mano_valid.all()


def test_2d_joints_lie_on_the_drawn_hands(miniature):
    """In straightened pictures too: the background is grey."""
    for sample in _all(miniature):
        column, row = np.rint(sample.joints_2d).astype(int).transpose(2, 0, 1)
        colour = sample.image[row, column].astype(int)
        away = np.abs(colour - np.array([96, 104, 112])).max(axis=-1)
        assert (away > 15).mean() > 0.8, sample.image_id


def test_the_egocentric_picture_is_straightened(miniature):
    """The miniature's head camera stands where its other camera stands."""
    plain, straight = _first(miniature), _first(miniature, EGO)
    assert isinstance(plain, Labelled) and isinstance(straight, Labelled)
    np.testing.assert_allclose(plain.joints_3d, straight.joints_3d, atol=1e-6)
    assert not np.allclose(plain.camera.focal, straight.camera.focal)
    path = miniature / TRAIN / "Ego_cameras/envmap_per_frame/cam_params"
    entry = json.loads((path / f"{FIRST}.json").read_text())
    world = labels.read_camera(entry)
    assert world.distortion is not None
    assert plain.subset == "mugsy_per_frame" and straight.subset == "ego_per_frame"


def test_a_hand_outside_of_the_picture_has_no_labels(copy):
    for side in ("right", "left"):
        folder = copy / TRAIN / "orig_fits" / side / "Keypoints"
        move = 5000.0 if side == "right" else 0.0
        camera = json.loads(
            (copy / TRAIN / "Mugsy_cameras" / "cam_params.json").read_text()
        )[CAMERAS[0]]
        shift = move * np.asarray(camera["R"])[0]
        _edit(
            folder / f"keypoint-{FIRST}.json",
            lambda points, shift=shift: (np.asarray(points) + shift).tolist(),
        )
    sample = _first(copy)
    assert isinstance(sample, Labelled)
    for flags in (sample.joints_2d_valid, sample.joints_3d_valid, sample.mano_valid):
        assert not flags[RIGHT].any() and flags[LEFT].all()
    made = labelled.record(sample, dataset="x", hand_model="y")
    assert made["hand_type"] == "left" and not made["rel_trans_valid"]


def test_a_null_hand_is_not_labelled(copy):
    (copy / TRAIN / "orig_fits/left/Keypoints" / f"keypoint-{FIRST}.json").write_text(
        "null"
    )
    (copy / TRAIN / "mano_fits/params" / f"{FIRST_FRAME}_left.json").write_text("null")
    sample = _first(copy)
    assert isinstance(sample, Labelled)
    assert not sample.joints_3d_valid[LEFT].any() and not sample.mano_valid[LEFT]
    made = labelled.record(sample, dataset="x", hand_model="y")
    assert made["hand_type"] == "right"


KEYPOINTS = f"orig_fits/right/Keypoints/keypoint-{FIRST}.json"
FIT = f"mano_fits/params/{FIRST_FRAME}_right.json"
IMAGE = f"Mugsy_cameras/envmap_per_frame/images/{CAMERAS[0]}/{FIRST}.png"
DAMAGE = {
    "truncated keypoints": (KEYPOINTS, "cut", labels.NO_JSON),
    "truncated fit": (FIT, "cut", labels.NO_JSON),
    "no keypoints": (KEYPOINTS, "gone", labels.MISSING),
    "no fit": (FIT, "gone", labels.MISSING),
    "21 keypoints": (KEYPOINTS, lambda x: x[:21], labels.NO_KEYPOINTS),
    "ragged keypoints": (KEYPOINTS, lambda x: [*x[:23], [1]], labels.NO_KEYPOINTS),
    "text": (KEYPOINTS, lambda x: "hello", labels.NO_KEYPOINTS),
    "huge": (KEYPOINTS, lambda x: [[10**400] * 3, *x[1:]], labels.NO_KEYPOINTS),
    "45 numbers": (FIT, lambda x: x | {"pose": x["pose"][:45]}, labels.NO_FIT),
    "no shape": (FIT, lambda x: {"pose": x["pose"]}, labels.NO_FIT),
    "cut picture": (IMAGE, "cut", labelled.UNREADABLE),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_frame_is_rejected_and_the_next_one_read(copy, what):
    path, change, reason = DAMAGE[what]
    path = copy / TRAIN / path
    if change == "cut":
        path.write_bytes(path.read_bytes()[: 2 * path.stat().st_size // 5])
    elif change == "gone":
        path.unlink()
    else:
        _edit(path, change)
    samples = list(ReInterHand(copy, config=MUGSY).samples("train", [0, 1]))
    assert isinstance(samples[0], Rejection) and samples[0].reason == reason
    assert samples[0].sample.endswith(f"{CAMERAS[0]}/{FIRST}")
    assert isinstance(samples[1], Labelled)


@pytest.mark.parametrize("value", [[1.0], None, [math.nan] * 4, "x"])
@pytest.mark.parametrize("key", ["R", "t", "focal", "princpt", "D"])
def test_a_damaged_egocentric_camera_rejects_its_frame(copy, key, value):
    folder = copy / TRAIN / "Ego_cameras/envmap_per_frame/cam_params"
    _edit(folder / f"{FIRST}.json", lambda x: x | {key: value})
    sample = _first(copy, EGO)
    assert isinstance(sample, Rejection) and sample.reason == labels.NO_CAMERA


def test_a_matrix_that_is_no_rotation_is_refused(copy):
    folder = copy / TRAIN / "Ego_cameras/envmap_per_frame/cam_params"
    _edit(
        folder / f"{FIRST}.json",
        lambda x: x | {"R": (2 * np.asarray(x["R"])).tolist()},
    )
    assert isinstance(_first(copy, EGO), Rejection)


NAN = {
    "a joint": (KEYPOINTS, lambda x: [[math.nan] * 3, *x[1:]]),
    "a hand": (KEYPOINTS, lambda x: [[math.nan] * 3] * 24),
    "a pose": (FIT, lambda x: x | {"pose": [math.nan] * 48}),
}


@pytest.mark.parametrize("what", NAN)
def test_labels_that_are_nan_reject_the_picture(copy, what):
    path, change = NAN[what]
    _edit(copy / TRAIN / path, change)
    source = LabelledSource(ReInterHand(copy, config=MUGSY), ShardConfig())
    made = list(source.examples("train", 0))
    rejected = [one for one in made if isinstance(one, Rejection)]
    assert [one.reason for one in rejected] == [labelled.NOT_FINITE]
    assert len(made) == 4


def test_a_joint_that_mano_lacks_may_be_nan(copy):
    _edit(copy / TRAIN / KEYPOINTS, lambda x: [*x[:23], [math.nan] * 3])
    assert isinstance(_first(copy), Labelled)


def test_a_camera_without_parameters_rejects_its_pictures(copy):
    path = copy / TRAIN / "Mugsy_cameras" / "cam_params.json"
    _edit(path, lambda x: {CAMERAS[1]: x[CAMERAS[1]]})
    samples = _all(copy, MUGSY)
    reasons = [one.reason for one in samples if isinstance(one, Rejection)]
    assert reasons == [dataset.NO_FRAME_CAMERA] * 2


STRUCTURE = {
    "orig_fits/left/Keypoints": "is missing",
    "mano_fits/params": "is missing",
    "frame_list.txt": "is missing",
    "Mugsy_cameras/cam_params.json": "is missing",
    "Mugsy_cameras/envmap_per_frame/images": "is missing",
    "Ego_cameras/envmap_per_frame/cam_params": "is missing",
    "Ego_cameras/envmap_per_frame/truncation_ratio.json": "is missing",
}


@pytest.mark.parametrize("path", STRUCTURE)
def test_a_capture_that_lacks_a_download_is_refused_by_name(copy, path):
    place = copy / TRAIN / path
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(InputError, match="is missing") as caught:
        ReInterHand(copy).counts()
    assert str(place) in str(caught.value)
    assert "https://mks0601.github.io/ReInterHand" in str(caught.value)
    assert "CC-BY-NC" in str(caught.value)


def test_third_person_pictures_need_no_egocentric_files(copy):
    shutil.rmtree(copy / TRAIN / "Ego_cameras")
    shutil.rmtree(copy / TEST / "Ego_cameras")
    assert ReInterHand(copy, config=MUGSY).counts() == {"train": 4, "test": 2}


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("Mugsy_cameras/cam_params.json", '{"a": {"R": [[1', "not readable as JSON"),
        ("Mugsy_cameras/cam_params.json", "[]", "no JSON object"),
        ("Mugsy_cameras/cam_params.json", '{"c": {"R": [1]}}', "camera c: expected R"),
        ("frame_list.txt", "ROM 1\nROM 1\n", "names a frame twice"),
        ("frame_list.txt", "12\n", "a frame number on each line"),
        ("frame_list.txt", "ROM 1234567890\n", "a frame number on each line"),
    ],
)
def test_broken_files_of_a_capture_are_refused(copy, path, text, message):
    (copy / TRAIN / path).write_text(text)
    with pytest.raises(InputError, match=message):
        ReInterHand(copy).counts()


def test_third_person_pictures_without_a_camera_are_refused(copy):
    folder = copy / TRAIN / "Mugsy_cameras/envmap_per_frame/images"
    for camera in CAMERAS:
        shutil.rmtree(folder / camera)
    with pytest.raises(InputError, match="holds no camera's folder"):
        ReInterHand(copy, config=MUGSY).counts()


def test_a_folder_without_captures_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no capture of Re:InterHand"):
        ReInterHand(tmp_path).counts()


def test_the_index_is_compact_and_travels_to_workers(miniature):
    data = ReInterHand(miniature)
    data.counts()
    sent = pickle.dumps(data)
    assert len(sent) < 8000
    again = pickle.loads(sent)
    assert again.counts() == data.counts()
    first, second = (next(one.samples("train", [0])) for one in (data, again))
    assert first.image_id == second.image_id


def test_records_are_written_and_rejections_counted(copy, tmp_path):
    (copy / TRAIN / FIT).unlink()
    source = LabelledSource(ReInterHand(copy), ShardConfig(shard_size=4))
    made = [e for e in source.examples("test", 0) if not isinstance(e, Rejection)]
    for example in made:
        schema.check(example)
    report = writer.write(source, tmp_path / "out", workers=0, progress=False)
    # The frame was seen by a third-person camera and by the head's.
    assert report.examples == {"train": 5, "test": 4}
    assert report.rejected == {labels.MISSING: 2}


def test_the_flags_describe_the_dataset(miniature):
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path)
    parser.add_argument("--mano", type=Path)
    dataset.add_arguments(parser)
    words = ["--source", str(miniature)]
    made = dataset.from_arguments(parser.parse_args(words))
    assert made.config == ReInterHandConfig()
    args = parser.parse_args([*words, "--cameras", "mugsy", "--lights", "per_segment"])
    config = dataset.from_arguments(args).config
    assert (config.cameras, config.lights) == (("mugsy",), ("per_segment",))
    with pytest.raises(InputError, match="1 to 85 degrees"):
        dataset.from_arguments(parser.parse_args([*words, "--max-angle-deg", "90"]))


def test_the_official_folders_are_named():
    assert set(captures.FOLDERS.values()) == {"Mugsy_cameras", "Ego_cameras"}
    assert len(captures.TEST_CAPTURES) == 3 and TEST in captures.TEST_CAPTURES
