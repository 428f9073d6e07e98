import argparse
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from twohand_jax.data import decode, schema
from twohand_jax.errors import InputError
from twohand_jax.mano.joint_set import POSED
from twohand_jax.pipelines import fits, labelled, writer
from twohand_jax.pipelines.coco_wholebody import dataset, layout
from twohand_jax.pipelines.coco_wholebody.dataset import (
    CocoWholeBody,
    CocoWholeBodyConfig,
)
from twohand_jax.pipelines.labelled import (
    Labelled,
    LabelledSource,
    Rejection,
    ShardConfig,
)
from twohand_jax.types import LEFT, RIGHT

TRAIN = "annotations/coco_wholebody_train_v1.0.json"
FITS = f"annotations/{layout.FITS}"


def _dataset(root: Path, **options) -> CocoWholeBody:
    return CocoWholeBody(root, indices=root / ".index", **options)


def _people(root: Path, split: str = "train", **options) -> list:
    data = _dataset(root, **options)
    return list(data.samples(split, range(data.counts()[split])))


def _edit(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def _edit_person(root: Path, number: int, **fields: object) -> None:
    """The first annotation is of a person without hands."""
    _edit(root / TRAIN, lambda x: x["annotations"][number + 1].update(fields))


def test_people_with_hands_count_and_no_others(miniature):
    assert _dataset(miniature).counts() == {"train": 4, "val": 2}
    whole = json.loads((miniature / TRAIN).read_text())["annotations"]
    assert len(whole) == 6
    assert sum(map(layout.has_hands, whole)) == 4
    assert layout.has_hands({"lefthand_valid": True, "num_keypoints": 0})
    assert not layout.has_hands({"lefthand_valid": True, "iscrowd": 1})


def test_the_index_keeps_the_hands_alone(miniature):
    data = _dataset(miniature)
    data.counts()
    index = layout.index_of(miniature, "train", data._path("train"), fits=True)
    kept = set(index.at("people", 0))
    assert kept == {"id", "image_id", *layout.HAND_FIELDS}
    assert set(index.get("images", 785)) == {"file_name", "width", "height"}


def test_each_person_of_a_picture_is_a_record(miniature):
    first, second = _people(miniature)[:2]
    assert first.image == second.image and first.image_id != second.image_id
    assert first.size == second.size == (320, 208)


def test_labels_are_the_annotated_numbers(miniature):
    whole = json.loads((miniature / TRAIN).read_text())["annotations"]
    for person, sample in zip(whole[1:5], _people(miniature), strict=True):
        for side, name in ((RIGHT, "right"), (LEFT, "left")):
            points = np.reshape(person[f"{name}hand_kpts"], (21, 3))
            flags = sample.joints_2d_valid[side]
            assert flags.tolist() == (points[:, 2] > 0).tolist()
            np.testing.assert_array_equal(sample.joints_2d[side], points[:, :2])
            x, y, width, height = person[f"{name}hand_box"]
            corners = np.array([x, y, x + width, y + height])
            limit = np.array([319, 207, 319, 207])
            np.testing.assert_allclose(sample.box[side], np.clip(corners, 0, limit))


def test_2d_joints_lie_on_the_drawn_hands(miniature):
    """The background is grey. Odd people's labels are those of cameras far away."""
    for sample in _people(miniature)[::2] + _people(miniature, "val")[::2]:
        image = decode.decode_jpeg(sample.image.read_bytes()).astype(int)
        column, row = np.rint(sample.joints_2d[sample.joints_2d_valid]).astype(int).T
        inside = (column >= 0) & (column < 320) & (row >= 0) & (row < 208)
        away = np.abs(image[row[inside], column[inside]] - [96, 104, 112]).max(axis=-1)
        assert (away > 15).mean() > 0.75, sample.image_id


def test_the_posed_model_projects_onto_the_2d_joints(miniature):
    """Exactly in one camera; where each hand had its own, to 3 % of its size."""
    model = fits.load_model(None)
    exact, near = [], []
    for sample in _people(miniature):
        if sample.camera is None:
            continue
        posed = np.asarray(fits.joints(model, sample.mano, POSED))
        pixels = posed[..., :2] / posed[..., 2:] * sample.camera.focal
        error = np.abs(pixels + sample.camera.center - sample.joints_2d).max(axis=-1)
        known = sample.joints_2d_valid & sample.mano_valid[:, None]
        size = (sample.box[:, 2:] - sample.box[:, :2]).max(axis=-1)
        relative = (error / np.maximum(size, 1.0)[:, None])[known].max()
        (near if sample.camera.focal[0] > 1000 else exact).append(relative)
    assert len(exact) == 2 and max(exact) < 1e-5
    assert len(near) == 1 and max(near) < 0.03


def test_3d_is_pseudo_ground_truth(miniature):
    for sample in _people(miniature):
        assert not sample.joints_3d_valid.any()
        made = labelled.record(sample, dataset="x", hand_model="y")
        assert not made["rel_trans_valid"]
        assert made["camera/valid"] == sample.mano_valid.any()


def test_a_hand_that_is_not_labelled_has_no_fit(miniature):
    """It has one in the miniature's MANO file, but no box to crop it from."""
    entry = json.loads((miniature / FITS).read_text())
    first = _people(miniature)[0]
    assert entry[first.image_id.rsplit("/")[-1]]["left"] is not None
    assert first.mano_valid.tolist() == [True, False]
    assert not first.joints_2d_valid[LEFT].any() and not first.box[LEFT].any()


def test_null_fits_and_people_without_entry_have_none(copy):
    assert not _people(copy)[3].mano_valid.any()
    _edit(copy / FITS, lambda x: x.pop(next(iter(x))))
    first = _people(copy)[0]
    assert not first.mano_valid.any() and first.camera is None


def test_the_validation_split_needs_no_fits(copy):
    (copy / FITS).unlink()
    config = CocoWholeBodyConfig(splits=("val",))
    assert _dataset(copy, config=config).counts() == {"val": 2}
    without = CocoWholeBodyConfig(fits=False)
    assert not any(one.mano_valid.any() for one in _people(copy, config=without))


def test_the_jpeg_is_stored_as_it_lies_on_disk(miniature):
    sample = _people(miniature)[0]
    made = labelled.record(sample, dataset="x", hand_model="y")
    assert made["image"] == sample.image.read_bytes()


PERSON = {
    "40 numbers": ({"righthand_kpts": [0.0] * 40}, dataset.NO_KEYPOINTS),
    "text": ({"righthand_kpts": ["x"] * 63}, dataset.NO_KEYPOINTS),
    "no keypoints": ({"righthand_kpts": None}, dataset.NO_KEYPOINTS),
    "box of three": ({"righthand_box": [1.0, 2.0, 3.0]}, dataset.NO_BOX),
    "unknown image": ({"image_id": 3}, dataset.NO_IMAGE),
}


@pytest.mark.parametrize("what", PERSON)
def test_a_malformed_person_is_rejected_and_the_next_one_read(copy, what):
    fields, reason = PERSON[what]
    _edit_person(copy, 0, **fields)
    first, second = _people(copy)[:2]
    assert isinstance(first, Rejection) and first.reason == reason
    assert first.sample == "train annotation 444189"
    assert isinstance(second, Labelled)


FIT = {
    "45 numbers": lambda x: x["right"]["mano_param"].update(pose=[0.0] * 45),
    "no shape": lambda x: x["right"]["mano_param"].pop("shape"),
    "no camera": lambda x: x["right"].pop("cam_param"),
    "one focal length": lambda x: x["right"]["cam_param"].update(focal=[1.0]),
    "a number": lambda x: x.update(right=3),
}


@pytest.mark.parametrize("what", FIT)
def test_a_malformed_fit_rejects_the_person(copy, what):
    _edit(copy / FITS, lambda x: FIT[what](x["444190"]))
    samples = _people(copy)
    assert isinstance(samples[1], Rejection)
    assert samples[1].reason == dataset.NO_FIT
    assert all(isinstance(one, Labelled) for one in [samples[0], *samples[2:]])


def test_a_fit_behind_its_camera_rejects_the_person(copy):
    _edit(
        copy / FITS,
        lambda x: x["444190"]["right"]["mano_param"].update(trans=[0.0, 0.0, -1.0]),
    )
    assert _people(copy)[1].reason == dataset.BEHIND


def test_a_box_outside_of_the_picture_takes_the_hand_away(copy):
    _edit_person(copy, 1, lefthand_box=[-50.0, 10.0, 40.0, 30.0])
    person = _people(copy)[1]
    assert person.mano_valid.tolist() == [True, False]
    made = labelled.record(person, dataset="x", hand_model="y")
    assert made["hand_type"] == "right"


def _made(root: Path) -> list:
    source = LabelledSource(_dataset(root), ShardConfig(splits=("train",)))
    return list(source.examples("train", 0))


def _reasons(root: Path) -> list[str]:
    return [one.reason for one in _made(root) if isinstance(one, Rejection)]


def test_pictures_that_are_missing_cut_or_of_another_size_are_rejected(copy):
    folder = copy / "images" / "train2017"
    first, second = sorted(folder.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:300])
    assert sorted(_reasons(copy)) == [labelled.UNREADABLE] * 2 + [labelled.MISSING] * 2
    cv2.imwrite(str(first), np.zeros((20, 30, 3), np.uint8))
    assert sorted(_reasons(copy)) == sorted(
        [labelled.UNREADABLE] * 2 + [labelled.OTHER_SIZE] * 2
    )


@pytest.mark.parametrize("name", ["../../../etc/passwd", None, 7])
def test_a_file_name_that_leads_elsewhere_is_rejected(copy, name):
    _edit(copy / TRAIN, lambda x: x["images"][0].update(file_name=name))
    assert [one.reason for one in _people(copy)[:2]] == [layout.NO_PICTURE] * 2


def test_labelled_joints_that_are_nan_reject_the_person(copy):
    nan = [float("nan"), 1.0, 1.0] + [1.0] * 60
    _edit_person(copy, 1, righthand_kpts=nan)
    assert _reasons(copy) == [labelled.NOT_FINITE]


@pytest.mark.parametrize("part", ["focal", "trans"])
def test_fits_that_are_nan_reject_the_person(copy, part):
    def change(entry):
        group = "cam_param" if part == "focal" else "mano_param"
        entry["444190"]["right"][group][part][0] = float("nan")

    _edit(copy / FITS, change)
    assert _reasons(copy) == [labelled.NOT_FINITE]


@pytest.mark.parametrize("path", [TRAIN, FITS])
def test_a_truncated_file_is_refused_by_name(copy, path):
    text = (copy / path).read_text()
    (copy / path).write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="not complete JSON") as caught:
        _dataset(copy).counts()
    assert str(copy / path) in str(caught.value)
    assert not list((copy / ".index").glob("*train*")), "nothing half-written"


def test_an_id_that_occurs_twice_is_refused(copy):
    _edit(copy / TRAIN, lambda x: x["annotations"].append(x["annotations"][1]))
    with pytest.raises(InputError, match="holds people 444189 twice"):
        _dataset(copy).counts()


@pytest.mark.parametrize("path", [FITS, "images/train2017"])
def test_what_is_missing_is_named_with_its_source(copy, path):
    (copy / path).rename(copy / "elsewhere")
    with pytest.raises(InputError, match="is missing") as caught:
        _dataset(copy).counts()
    for part in (str(copy / path), "github.com/jin-s13/COCO-WholeBody", "research"):
        assert part in str(caught.value)


def test_a_folder_without_annotations_and_unknown_splits_are_refused(tmp_path, copy):
    with pytest.raises(InputError, match="holds no annotations: COCO-WholeBody v1.0"):
        _dataset(tmp_path / "empty").counts()
    config = CocoWholeBodyConfig(splits=("test",))
    with pytest.raises(InputError, match="no split 'test'"):
        _dataset(copy, config=config).counts()


def test_cocos_own_annotations_are_recognised(copy):
    def strip(value):
        for entry in value["annotations"]:
            for key in layout.HAND_FIELDS:
                entry.pop(key)

    _edit(copy / TRAIN, strip)
    with pytest.raises(InputError, match="labels no hands: are these COCO's own"):
        _dataset(copy).counts()


def test_records_are_written_and_rejections_counted(copy, tmp_path):
    _edit_person(copy, 0, image_id=3)
    data = _dataset(copy)
    source = LabelledSource(data, ShardConfig(shard_size=3))
    assert len(pickle.dumps(source)) < 2000
    again = pickle.loads(pickle.dumps(source))
    for example in again.examples("val", 0):
        schema.check(example)
    report = writer.write(source, tmp_path / "out", workers=0, progress=False)
    assert report.examples == {"train": 3, "val": 2}
    assert report.rejected == {dataset.NO_IMAGE: 1}


def test_the_flags_describe_the_dataset(miniature, tmp_path):
    parser = argparse.ArgumentParser()
    for flag in ("--source", "--mano", "--out"):
        parser.add_argument(flag, type=Path)
    parser.add_argument("--splits", nargs="+", default=())
    dataset.add_arguments(parser)
    words = ["--source", str(miniature), "--out", str(tmp_path)]
    made = dataset.from_arguments(parser.parse_args(words))
    assert made.config == CocoWholeBodyConfig()
    words += ["--without-fits", "--splits", "val"]
    made = dataset.from_arguments(parser.parse_args(words))
    assert made.config == CocoWholeBodyConfig(splits=("val",), fits=False)
    assert made.counts() == {"val": 2}
    assert made.settings == {"fits": False}
