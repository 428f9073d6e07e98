"""What is wrong with a copy of the dataset is said, and where."""

from pathlib import Path

import numpy as np
import pytest

from tests.data_pipelines.interhand26m.conftest import (
    COUNT,
    Edit,
    edited,
    opened,
    part_of,
    rejections,
    written,
)
from twohand_jax.errors import InputError
from twohand_jax.pipelines import labelled
from twohand_jax.pipelines.interhand26m.dataset import (
    FIT_LENGTH,
    HAND_TYPE,
    JOINT_COUNT,
    MALFORMED,
    NO_CAMERA,
    NO_FRAME,
    NO_IMAGE,
    read_records,
)


def _set(part: str, *keys: str | int, value: object) -> dict[str, Edit]:
    """An edit that puts one value into an annotation file."""

    def edit(content: dict) -> None:
        *path, last = keys
        for key in path:
            content = content[key]
        content[last] = value

    return {part: edit}


IMAGE, ANNOTATION = ("data", "images", 0), ("data", "annotations", 0)
FRAME, FIT = ("joint_3d", "0", "10000"), ("MANO_NeuralAnnot", "0", "10000")
BROKEN = {
    "capture": (_set(*IMAGE, "capture", value=9), NO_CAMERA),
    "camera": (_set(*IMAGE, "camera", value="1"), NO_CAMERA),
    "frame": (_set(*IMAGE, "frame_idx", value=5), NO_FRAME),
    "image": (_set(*ANNOTATION, "image_id", value=77), NO_IMAGE),
    "joints": (
        _set(*FRAME, "world_coord", value=[[0.0] * 3] * 41),
        JOINT_COUNT,
    ),
    "flags": (
        _set(*ANNOTATION, "joint_valid", value=[[1]] * 40),
        JOINT_COUNT,
    ),
    "dimensions": (
        _set(*FRAME, "world_coord", value=[[0.0] * 2] * 42),
        MALFORMED,
    ),
    "nan": (
        _set(*FRAME, "world_coord", 3, value=[np.nan, 0.0, 0.0]),
        labelled.NOT_FINITE,
    ),
    "infinity": (
        _set(*FRAME, "world_coord", 3, value=[np.inf, 0.0, 0.0]),
        labelled.NOT_FINITE,
    ),
    "pose": (_set(*FIT, "left", "pose", value=[0.0] * 45), FIT_LENGTH),
    "fit": (_set(*FIT, "left", value={"pose": [0.0] * 48}), MALFORMED),
    "nan in a fit": (
        _set(*FIT, "left", "trans", value=[np.nan] * 3),
        labelled.NOT_FINITE,
    ),
    "hand type": (_set(*ANNOTATION, "hand_type", value="two"), HAND_TYPE),
    "field": (_set(*ANNOTATION, "joint_valid", value=None), MALFORMED),
    "picture": (_set(*IMAGE, "file_name", value="none.jpg"), labelled.MISSING),
    "size": (_set(*IMAGE, "width", value=512), labelled.OTHER_SIZE),
    "no hand": (
        _set(*FRAME, "joint_valid", value=[[False]] * 42),
        labelled.NO_HAND,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_sample_is_left_out_and_named(
    miniature: Path, tmp_path: Path, case: str
) -> None:
    edits, reason = BROKEN[case]
    root = edited(miniature, tmp_path / "set", edits)
    found = written(root, tmp_path)
    assert len(found) == COUNT
    (rejected,) = rejections(found)
    assert rejected.reason == reason
    assert rejected.sample


def test_a_rejection_names_what_the_annotation_refers_to(
    miniature: Path, tmp_path: Path
) -> None:
    root = edited(miniature, tmp_path / "set", BROKEN["frame"][0])
    (rejected,) = rejections(written(root, tmp_path))
    expected = "test annotation 0 (capture 0, camera 400000, frame_idx 5)"
    assert rejected.sample == expected
    with pytest.raises(InputError, match="Annotation 0 of split test: the capture or"):
        list(read_records(root, "test"))


def test_a_picture_that_does_not_decode_is_left_out(
    miniature: Path, tmp_path: Path
) -> None:
    edits = _set(*IMAGE, "file_name", value="broken.jpg")
    root = edited(miniature, tmp_path / "set", edits)
    (root / "images").unlink()
    (root / "images" / "test").mkdir(parents=True)
    for capture in (miniature / "images" / "test").iterdir():
        (root / "images" / "test" / capture.name).symlink_to(capture)
    whole = next((miniature / "images").rglob("*.jpg")).read_bytes()
    (root / "images" / "test" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (rejected,) = rejections(written(root, tmp_path))
    assert rejected == labelled.Rejection(labelled.UNREADABLE, "test/broken")


@pytest.mark.parametrize("part", ["data", "camera", "joint_3d", "MANO_NeuralAnnot"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_broken_file_is_refused_before_work_starts(
    miniature: Path, tmp_path: Path, part: str, damage: str
) -> None:
    root = edited(miniature, tmp_path / "set", {})
    path = part_of(root, part)
    if damage == "missing":
        path.unlink()
        if part == "data":
            with pytest.raises(InputError, match=r"no annotations: .*CC-BY-NC"):
                opened(root, tmp_path).counts()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    said = "missing: .*github.io" if damage == "missing" else "not complete JSON"
    with pytest.raises(InputError, match=f"{path.name} is {said}"):
        opened(root, tmp_path, splits=("test",)).counts()


def test_ids_must_be_unique(miniature: Path, tmp_path: Path) -> None:
    root = edited(miniature, tmp_path / "set", _set(*ANNOTATION, "id", value=3))
    with pytest.raises(InputError, match=r"data\.json holds annotations 3 twice"):
        opened(root, tmp_path).counts()


def test_missing_pictures_are_said_at_once(miniature: Path, tmp_path: Path) -> None:
    root = edited(miniature, tmp_path / "set", {})
    (root / "images").unlink()
    with pytest.raises(InputError, match="images/test is missing"):
        opened(root, tmp_path).counts()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "give --human-lists"),
        ("0\nx\n", "not a list of annotation ids"),
        ("0\n99\n", "lists 2 annotations, of which .* has 1: .* different releases"),
    ],
)
def test_the_human_subset_needs_its_list(
    miniature: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    lists = None
    if text is not None:
        lists = tmp_path
        (tmp_path / "aid_human_annot_test.txt").write_text(text)
    dataset = opened(miniature, tmp_path, subset="human", human_lists=lists)
    with pytest.raises(InputError, match=message):
        dataset.counts()
