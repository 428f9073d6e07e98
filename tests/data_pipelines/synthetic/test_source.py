"""A rendered shard from simple poses (the sampler has its own tests)."""

import dataclasses
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import jax
import numpy as np
import pytest

from tests.programs import forward
from twohand_jax import mano
from twohand_jax.crops.cue_table import NAMES
from twohand_jax.data import decode, schema
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.pipelines.labelled import Rejection
from twohand_jax.pipelines.synthetic import labels
from twohand_jax.pipelines.synthetic.labels import SyntheticConfig
from twohand_jax.pipelines.synthetic.poses import sampler
from twohand_jax.pipelines.synthetic.render import gpu
from twohand_jax.pipelines.synthetic.source import SyntheticSource
from twohand_jax.types import Camera, ManoModel, ManoParams

pytestmark = pytest.mark.slow

CONFIG = SyntheticConfig(size=128, train=6, test=4, shard_size=4, views=2, seed=3)


def _simple_poses(
    seed: int, count: int, *, model: ManoModel, config: sampler.SamplerConfig
) -> sampler.PoseBatch:
    """Relaxed hands side by side; every third picture shows one hand."""
    rng = np.random.default_rng(seed)
    transl = rng.normal(0, 0.01, (count, 2, 3)) + [[-0.1, 0, 0], [0.1, 0, 0]]
    params = ManoParams(
        global_orient=rng.normal(0, 0.3, (count, 2, 3)),
        hand_pose=rng.normal(0, 0.1, (count, 2, 15, 3)),
        betas=rng.normal(0, 0.5, (count, 2, 10)),
        transl=transl,
    )
    kind = np.arange(count) % 3
    present = np.stack([kind != 1, kind != 0], axis=-1)
    params = jax.tree.map(lambda x: x.astype(np.float32), params)
    return sampler.PoseBatch(params, present, kind)


def _make(
    split: str, shard: int, hand_offset: int = 0, config: SyntheticConfig = CONFIG
) -> list[dict | Rejection]:
    """A shard, in a process that may render."""
    sampler.sample = _simple_poses
    source = SyntheticSource(config)
    source = SyntheticSource(config, hand=source.hand + hand_offset)
    return list(source.examples(split, shard))


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Mesa and TensorFlow crash in one process (both carry LLVM): render in another."""
    gpu.check_egl()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        yield pool


@pytest.fixture(scope="module")
def examples(pool: ProcessPoolExecutor) -> list[dict]:
    found = [e for shard in (0, 1) for e in pool.submit(_make, "train", shard).result()]
    kept = [e for e in found if not isinstance(e, Rejection)]
    assert len(found) == 6 and len(kept) >= 4
    return kept


def test_shards_hold_the_asked_counts() -> None:
    assert SyntheticSource(CONFIG).shard_sizes == {"train": (4, 2), "test": (4,)}


def test_records_fit_the_schema(examples: list[dict]) -> None:
    for example in examples:
        schema.check(example)
        assert decode.decode_jpeg(example["image"]).shape == (128, 128, 3)
        assert decode.decode_map(example["cues/depth"]).dtype == np.uint16
    assert len({example["image_id"] for example in examples}) == len(examples)


def test_a_shard_is_a_function_of_its_number(
    pool: ProcessPoolExecutor, examples: list[dict]
) -> None:
    again = [e for e in pool.submit(_make, "train", 1).result() if isinstance(e, dict)]
    for first, second in zip(again, examples[-len(again) :], strict=True):
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name], err_msg=name)
    other = [e for e in pool.submit(_make, "test", 0).result() if isinstance(e, dict)]
    assert other[0]["image"] not in [example["image"] for example in examples]


def test_further_cues_change_nothing_else_and_normals_face_the_camera(
    pool: ProcessPoolExecutor, examples: list[dict]
) -> None:
    exact = dataclasses.replace(CONFIG.noise, normals=0.0)
    config = dataclasses.replace(CONFIG, cues=NAMES, noise=exact)
    found = pool.submit(_make, "train", 1, 0, config).result()
    more = [one for one in found if isinstance(one, dict)]
    usual = CONFIG.settings()
    assert "cues" not in usual and "normals" not in usual["noise"]
    for example, plain in zip(more, examples[-len(more) :], strict=True):
        schema.check(example, cues=NAMES)
        for name, value in plain.items():
            np.testing.assert_array_equal(value, example[name], err_msg=name)
        levels = decode.decode_map(example["cues/normals"]).astype(float)
        hands = decode.decode_map(example["cues/segmentation"]) > 0
        normals = (levels[hands & levels.any(axis=-1)] - 128) / 127
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=0.02)
        assert (normals[:, 2] < 0.2).all() and np.median(normals[:, 2]) < -0.5


def test_parameters_pose_the_joints_and_joints_project(examples: list[dict]) -> None:
    model = mano.load()
    for example in examples:
        fields = ("global_orient", "hand_pose", "betas", "transl")
        params = ManoParams(*(example[f"mano/{name}"] for name in fields))
        joints = np.asarray(forward(model, params).joints)
        camera = Camera(example["camera/focal"], example["camera/center"])
        shown = example["hands/valid"]
        np.testing.assert_allclose(
            joints[shown], example["hands/joints_3d"][shown], atol=1e-5
        )
        pixels = np.asarray(cameras.project(joints[shown], camera))
        np.testing.assert_allclose(pixels, example["hands/joints_2d"][shown], atol=0.02)


def test_absent_hands_are_zero(examples: list[dict]) -> None:
    absent = [
        (e, hand) for e in examples for hand in (0, 1) if not e["hands/valid"][hand]
    ]
    assert absent
    for example, hand in absent:
        assert not example["hands/box"][hand].any()
        assert not example["mano/betas"][hand].any()
        assert not example["hands/joints_2d_valid"][hand].any()
        assert not example["cues/keypoints"][hand].any()
        assert not example["rel_trans_valid"]
        assert example["hand_type"] == ("left", "right")[hand]


def test_the_picture_shows_each_hand_inside_of_its_box(examples: list[dict]) -> None:
    for example in examples:
        map_ = decode.decode_map(example["cues/segmentation"])
        for hand in np.flatnonzero(example["hands/valid"]):
            rows, columns = np.nonzero(map_ == hand + 1)
            x0, y0, x1, y1 = example["hands/box"][hand]
            inside = (columns >= x0) & (columns <= x1) & (rows >= y0) & (rows <= y1)
            assert inside.mean() > 0.9
        assert ((map_ == 1).any(), (map_ == 2).any()) == tuple(example["hands/valid"])


def test_hidden_joints_lie_behind_something_or_outside() -> None:
    depth_m = np.zeros((10, 10))
    depth_m[:, :5] = 0.5
    joints = np.full((1, 4, 3), 0.51)
    joints[0, 1, 2] = 0.6
    pixels = np.array([[[2.0, 2], [2, 2], [8, 8], [-3, 2]]])
    found = labels.hidden_joints(joints, pixels, depth_m)
    assert found[0].tolist() == [False, True, False, True]


def test_another_hand_model_is_refused(pool: ProcessPoolExecutor) -> None:
    with pytest.raises(InputError, match="changed after this build was begun"):
        pool.submit(_make, "train", 0, 1).result()
