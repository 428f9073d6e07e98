"""What the reader makes of a miniature in the official layout."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.data_pipelines.interhand26m.conftest import COUNT, edited, opened, part_of
from tests.programs import forward
from twohand_jax.data import decode
from twohand_jax.errors import InputError
from twohand_jax.pipelines.fixtures.scenes import GROUND
from twohand_jax.pipelines.interhand26m.dataset import read_records
from twohand_jax.pipelines.labelled import Labelled, record
from twohand_jax.types import LEFT, RIGHT, Camera, ManoModel, ManoParams

BOTH, ONLY_RIGHT, ONLY_LEFT, ONE_FIT = range(COUNT)


def _projected(joints: np.ndarray, camera: Camera | None) -> np.ndarray:
    assert camera is not None
    return joints[..., :2] / joints[..., 2:] * camera.focal + camera.center


def test_3d_joints_project_onto_the_2d_joints(samples: list[Labelled]) -> None:
    for sample in samples:
        known = sample.joints_2d_valid
        assert known.sum() >= 21
        pixels = _projected(sample.joints_3d, sample.camera)
        assert np.abs(pixels - sample.joints_2d)[known].max() < 0.01


def test_2d_joints_lie_on_the_drawn_hands(samples: list[Labelled]) -> None:
    for sample in samples:
        assert isinstance(sample.image, Path)
        picture = decode.decode_jpeg(sample.image.read_bytes()).astype(int)
        x, y = sample.joints_2d[sample.joints_2d_valid].round().astype(int).T
        drawn = np.abs(picture[y, x] - GROUND).max(axis=-1) > 12
        assert drawn.mean() > 0.8


def test_the_fits_pose_the_3d_joints(
    samples: list[Labelled], hand_model: ManoModel
) -> None:
    params = ManoParams(*map(np.stack, zip(*(s.mano for s in samples), strict=True)))
    posed = np.asarray(forward(hand_model, params).joints)
    expected = np.stack([sample.joints_3d for sample in samples])
    fitted = np.stack([sample.mano_valid for sample in samples])
    assert fitted.sum() == 5
    assert np.abs(posed - expected)[fitted].max() < 1e-5


def test_hands_are_told_apart_and_a_null_hand_keeps_its_joints(
    samples: list[Labelled],
) -> None:
    types = [sample.hand_type for sample in samples]
    assert types == ["interacting", "right", "left", "interacting"]
    shown = [sample.joints_3d_valid.all(axis=1).tolist() for sample in samples]
    assert shown == [[True, True], [True, False], [False, True], [True, True]]
    fitted = [sample.mano_valid.tolist() for sample in samples]
    assert fitted == [[True, True], [True, False], [False, True], [True, False]]


def test_pictures_are_not_encoded_again(samples: list[Labelled]) -> None:
    sample = samples[BOTH]
    made = record(sample, dataset="interhand26m", hand_model="open-hand-1")
    assert isinstance(sample.image, Path)
    assert made["image"] == sample.image.read_bytes()
    assert (made["width"], made["height"]) == (334, 512)
    assert made["image_id"] == "test/Capture0/0000_miniature/cam400000/image10000"
    wrists = sample.joints_3d[:, 0]
    np.testing.assert_allclose(made["rel_trans"], wrists[LEFT] - wrists[RIGHT], 1e-4)


def test_a_joint_outside_the_picture_counts_in_3d_alone(
    miniature: Path, tmp_path: Path
) -> None:
    def cut(data: dict) -> None:
        data["annotations"][BOTH]["joint_valid"][5] = [0]

    root = edited(miniature, tmp_path / "set", {"data": cut})
    (sample,) = _read(root, tmp_path, [BOTH])
    thumb_and_index_base = 7  # number 5 of the release is index 3
    assert not sample.joints_2d_valid[RIGHT, thumb_and_index_base]
    assert sample.joints_2d_valid.sum() == 41
    assert sample.joints_3d_valid.all()


@pytest.mark.parametrize("part", ["data", "joint_3d"])
def test_joints_need_a_valid_wrist(miniature: Path, tmp_path: Path, part: str) -> None:
    def cut(content: dict) -> None:
        if part == "data":
            content["annotations"][BOTH]["joint_valid"][41] = [0]
        else:
            content["0"]["10000"]["joint_valid"][41] = [False]

    root = edited(miniature, tmp_path / "set", {part: cut})
    (sample,) = _read(root, tmp_path, [BOTH])
    assert sample.joints_3d_valid.all(axis=1).tolist() == [True, False]
    assert not sample.joints_2d_valid[LEFT].any()
    assert sample.mano_valid.tolist() == [True, False]


def test_a_frame_without_fits_keeps_its_joints(miniature: Path, tmp_path: Path) -> None:
    def cut(fits: dict) -> None:
        del fits["0"]["10000"], fits["1"]

    root = edited(miniature, tmp_path / "set", {"MANO_NeuralAnnot": cut})
    both, right = _read(root, tmp_path, [BOTH, ONLY_RIGHT])
    assert not both.mano_valid.any() and both.joints_3d_valid.all()
    assert not right.mano_valid.any() and right.joints_3d_valid[RIGHT].all()


def test_without_fits_no_mano_file_is_needed(miniature: Path, tmp_path: Path) -> None:
    root = edited(miniature, tmp_path / "set", {})
    part_of(root, "MANO_NeuralAnnot").unlink()
    with pytest.raises(InputError, match=r"MANO_NeuralAnnot\.json is missing"):
        opened(root, tmp_path).counts()
    (sample,) = _read(root, tmp_path, [BOTH], fits=False)
    assert not sample.mano_valid.any()


@pytest.mark.parametrize("subset", ["all", "human", "machine"])
def test_human_annotations_are_those_listed(
    miniature: Path, tmp_path: Path, subset: str
) -> None:
    (tmp_path / "aid_human_annot_test.txt").write_text("2\n0\n")
    dataset = opened(miniature, tmp_path, subset=subset, human_lists=tmp_path)
    count = dataset.counts()["test"]
    found = [s for s in dataset.samples("test", range(count))]
    labels = {"all": "HMHM", "human": "HH", "machine": "MM"}[subset]
    assert [s.subset for s in found if isinstance(s, Labelled)] == list(labels)
    if subset == "machine":
        kinds = [s.hand_type for s in found if isinstance(s, Labelled)]
        assert kinds == ["right", "interacting"]


def test_another_list_makes_another_index(miniature: Path, tmp_path: Path) -> None:
    for text, count in (("0\n", 1), ("0\n1\n", 2)):
        (tmp_path / "aid_human_annot_test.txt").write_text(text)
        dataset = opened(miniature, tmp_path, subset="human", human_lists=tmp_path)
        assert dict(dataset.counts()) == {"test": count}


def test_the_folders_of_earlier_releases_are_found(
    miniature: Path, tmp_path: Path
) -> None:
    root = edited(miniature, tmp_path / "set", {})
    folder = root / "annotations" / "test"
    folder.rename(root / "annotations" / "human_annot")
    (sample,) = _read(root, tmp_path, [BOTH], subset="human")
    assert sample.subset == "H"


def test_the_dataset_is_small_when_it_goes_to_a_worker(
    miniature: Path, tmp_path: Path
) -> None:
    dataset = opened(miniature, tmp_path)
    dataset.counts()
    next(dataset.samples("test", [0]))
    data = pickle.dumps(dataset)
    assert len(data) < 2000
    assert isinstance(next(pickle.loads(data).samples("test", [0])), Labelled)


def test_the_real_samples_are_read() -> None:
    folder = os.environ.get("TWOHAND_SAMPLES")
    if not folder:
        # InterHand2.6M may not be shipped; the miniature's tests stand in for it.
        pytest.skip("TWOHAND_SAMPLES does not name the folder of the real samples")
    both, left = read_records(Path(folder) / "interhand26m", "test")
    assert (both.hand_type, left.hand_type) == ("interacting", "left")
    assert both.joints_3d_valid.all()
    assert left.joints_3d_valid.all(axis=1).tolist() == [False, True]
    for sample in (both, left):
        height, width = decode.decode_jpeg(sample.image.read_bytes()).shape[:2]
        assert sample.size == (width, height)
        points = sample.joints_2d[sample.joints_2d_valid]
        assert ((points >= 0) & (points < sample.size)).all()
        depth = sample.joints_3d[sample.joints_3d_valid][:, 2]
        assert ((depth > 0.5) & (depth < 2.0)).all()
    # The annotated boxes (x, y, width, height) are 1.2 times those of the joints.
    data = json.loads(part_of(Path(folder) / "interhand26m", "data").read_text())
    for sample, annotation in zip((both, left), data["annotations"], strict=True):
        points = sample.joints_2d[sample.joints_2d_valid]
        size = 1.2 * np.ptp(points, axis=0)
        corner = (points.min(axis=0) + points.max(axis=0) - size) / 2
        expected = annotation["bbox"]
        np.testing.assert_allclose([*corner, *size], expected, atol=1e-3)


def _read(root: Path, folder: Path, numbers: list[int], **options) -> list[Labelled]:
    dataset = opened(root, folder / "indices", **options)
    dataset.counts()
    found = list(dataset.samples("test", numbers))
    assert all(isinstance(sample, Labelled) for sample in found)
    return found
