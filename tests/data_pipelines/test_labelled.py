"""From labelled pictures to records, and how a dataset is cut into shards."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from twohand_jax.data import decode, schema
from twohand_jax.errors import InputError
from twohand_jax.pipelines import labelled
from twohand_jax.pipelines.labelled import (
    Labelled,
    LabelledSource,
    Rejection,
    ShardConfig,
)
from twohand_jax.types import LEFT, RIGHT, Camera, ManoParams

HEIGHT, WIDTH = 24, 32
PICTURE = np.tile(np.arange(WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3))


def _sample(**changes: object) -> Labelled:
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(2, 21, 3)) * 0.05 + (0.0, 0.0, 0.6)
    whole = Labelled(
        image=PICTURE,
        image_id="a",
        subset="",
        size=(WIDTH, HEIGHT),
        camera=Camera(np.array([30.0, 30.0]), np.array([16.0, 12.0])),
        joints_2d=rng.uniform(2, 22, (2, 21, 2)),
        joints_2d_valid=np.ones((2, 21), bool),
        joints_3d=joints,
        joints_3d_valid=np.ones((2, 21), bool),
        mano=ManoParams(
            *(rng.normal(size=(2, *shape)) for shape in ((3,), (15, 3), (10,), (3,)))
        ),
        mano_valid=np.ones(2, bool),
    )
    return whole._replace(**changes)


def _record(**changes: object) -> dict[str, object]:
    return labelled.record(_sample(**changes), dataset="toy", hand_model="toy-hand")


def _flags(*places: tuple[int, ...], shape: tuple[int, ...] = (2, 21)) -> np.ndarray:
    flags = np.zeros(shape, bool)
    for place in places:
        flags[place] = True
    return flags


def test_a_record_holds_every_feature_of_the_schema() -> None:
    made = _record()
    schema.check(made, where="the test")
    assert set(made) == {feature.name for feature in schema.features()}
    assert made["mano/model"] == "toy-hand" and made["dataset"] == "toy"


def test_what_is_not_valid_is_zero() -> None:
    nothing = np.full((2, 21, 3), np.nan)
    made = _record(
        joints_3d=nothing,
        joints_3d_valid=_flags(),
        camera=None,
        mano_valid=np.array([True, False]),
    )
    assert not np.any(made["hands/joints_3d"]) and not np.any(made["camera/focal"])
    assert not made["camera/valid"] and not made["rel_trans_valid"]
    pose = np.asarray(made["mano/hand_pose"])
    assert pose[RIGHT].all() and not pose[LEFT].any()


def test_the_relative_translation_needs_both_wrists() -> None:
    sample, made = _sample(), _record()
    expected = sample.joints_3d[LEFT, 0] - sample.joints_3d[RIGHT, 0]
    np.testing.assert_allclose(made["rel_trans"], expected, rtol=1e-6)
    known = np.ones((2, 21), bool)
    known[LEFT, 0] = False
    made = _record(joints_3d_valid=known)
    assert not made["rel_trans_valid"] and not np.any(made["rel_trans"])


def test_a_hand_that_no_box_shows_has_no_labels() -> None:
    box = np.array([[1.0, 1.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]])
    made = _record(box=box)
    for name in ("hands/joints_2d_valid", "hands/joints_3d_valid", "mano/valid"):
        right, left = np.asarray(made[name])
        assert np.all(right) and not np.any(left)
    assert not made["rel_trans_valid"]


def test_boxes_are_1_2_times_the_valid_joints() -> None:
    points = np.full((2, 21, 2), np.nan)
    points[RIGHT, :3] = (10, 20), (20, 40), (900, 900)
    points[LEFT, 3] = 50, 60
    known = _flags((RIGHT, 0), (RIGHT, 1), (LEFT, 3))
    made = _record(joints_2d=points, joints_2d_valid=known)
    np.testing.assert_allclose(made["hands/box"], [[9, 18, 21, 42], [0, 0, 0, 0]])
    np.testing.assert_array_equal(made["hands/valid"], [True, False])


@pytest.mark.parametrize(
    ("hands", "kind"), [([0, 1], "interacting"), ([0], "right"), ([1], "left")]
)
def test_the_hand_type_is_that_of_the_labelled_hands(hands: list, kind: str) -> None:
    known = _flags(*((side,) for side in hands))
    made = _record(joints_2d_valid=known)
    assert made["hand_type"] == kind
    assert np.flatnonzero(made["hands/valid"]).tolist() == hands
    assert _record(joints_2d_valid=known, hand_type="interacting")["hand_type"] == (
        "interacting"
    )


def test_a_jpeg_is_kept_and_another_picture_is_encoded_once(tmp_path: Path) -> None:
    data = decode.encode_jpeg(PICTURE, quality=50)
    (tmp_path / "a.jpg").write_bytes(data)
    assert _record(image=tmp_path / "a.jpg")["image"] == data
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    for image in (tmp_path / "a.png", PICTURE):
        made = _record(image=image)["image"]
        assert isinstance(made, bytes) and made[:2] == b"\xff\xd8"
        error = decode.decode_jpeg(made).astype(int) - PICTURE
        assert np.abs(error).max() <= 3


NAN_BOX = np.array([[1.0, 1.0, 9.0, 9.0], [1.0, np.nan, 9.0, 9.0]])
BAD_3D = np.full((2, 21, 3), np.inf)
BAD_2D = np.full((2, 21, 2), np.nan)
BAD_FIT = _sample().mano._replace(betas=np.full((2, 10), np.nan))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": Path("none.jpg")}, labelled.MISSING),
        ({"image": Path(__file__)}, labelled.UNREADABLE),
        ({"size": (HEIGHT, WIDTH)}, labelled.OTHER_SIZE),
        ({"joints_2d_valid": _flags()}, labelled.NO_HAND),
        ({"joints_3d": BAD_3D}, labelled.NOT_FINITE),
        ({"joints_2d": BAD_2D}, labelled.NOT_FINITE),
        ({"box": NAN_BOX}, labelled.NOT_FINITE),
        ({"camera": Camera(np.array([np.nan, 1.0]), np.ones(2))}, labelled.NOT_FINITE),
        ({"mano": BAD_FIT}, labelled.NOT_FINITE),
    ],
)
def test_an_unusable_picture_is_refused(changes: dict, reason: str) -> None:
    with pytest.raises(labelled.Unusable, match=reason):
        _record(**changes)


class Toy:
    """A dataset of numbered pictures; every fifth is left out."""

    name, version, hand_model = "toy", "1.0.0", "toy-hand"
    description = "Numbers."
    settings: Mapping[str, object] = {"every": 5}

    def counts(self) -> Mapping[str, int]:
        return {"train": 23, "test": 4, "val": 0}

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        for number in numbers:
            name = f"{split}-{number}"
            if number % 5 == 4:
                yield Rejection("the fifth", name)
            elif number == 7:
                yield _sample(image_id=name, size=(1, 1))
            else:
                yield _sample(image_id=name)


def _ids(source: LabelledSource, split: str) -> list[str]:
    return [
        str(one.sample if isinstance(one, Rejection) else one["image_id"])
        for shard in range(len(source.shard_sizes[split]))
        for one in source.examples(split, shard)
    ]


def test_shards_hold_every_sample_once_in_shuffled_order() -> None:
    source = LabelledSource(Toy(), ShardConfig(splits=("train", "test"), shard_size=10))
    assert dict(source.shard_sizes) == {"train": (10, 10, 3), "test": (4,)}
    ids = _ids(source, "train")
    assert sorted(ids) == sorted(f"train-{n}" for n in range(23))
    assert ids != [f"train-{n}" for n in range(23)]
    assert ids == _ids(source, "train")
    reasons = {
        one.sample: one.reason
        for shard in range(3)
        for one in source.examples("train", shard)
        if isinstance(one, Rejection)
    }
    assert reasons.pop("train-7") == labelled.OTHER_SIZE
    assert set(reasons) == {f"train-{n}" for n in (4, 9, 14, 19)}


def test_a_trial_is_the_beginning_of_the_whole() -> None:
    config = ShardConfig(splits=("train",), shard_size=4)
    whole = LabelledSource(Toy(), config)
    trial = LabelledSource(
        Toy(), ShardConfig(splits=("train",), shard_size=4, max_samples=6)
    )
    assert dict(trial.shard_sizes) == {"train": (4, 2)}
    assert _ids(trial, "train") == _ids(whole, "train")[:6]
    assert trial.settings != whole.settings


@pytest.mark.parametrize("split", ["val", "evaluation"])
def test_a_split_without_samples_is_refused(split: str) -> None:
    with pytest.raises(InputError, match=rf"'{split}'; the source holds train \(23\)"):
        LabelledSource(Toy(), ShardConfig(splits=(split,)))
