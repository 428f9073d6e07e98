"""The frozen benchmark: laws on a tiny one, and a piece of the real one."""

import dataclasses
import itertools
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from twohand_jax.crops.cue_table import DEFAULT
from twohand_jax.data import decode, shards
from twohand_jax.errors import InputError
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.labelled import Example
from twohand_jax.pipelines.shard_file import read_record
from twohand_jax.pipelines.synthetic import benchmark
from twohand_jax.pipelines.synthetic.benchmark import check, freeze, scenes, source
from twohand_jax.pipelines.synthetic.labels import SyntheticConfig
from twohand_jax.pipelines.synthetic.poses import sampler
from twohand_jax.pipelines.synthetic.render import gpu
from twohand_jax.types import ManoModel, ManoParams

PICTURES = SyntheticConfig(size=64, seed=3, train=0, test=6, shard_size=4, views=1)
CONFIG = freeze.FreezeConfig(seed=3, per_kind=3, pictures=PICTURES, batch=4)


def _simple_poses(
    seed: int, count: int, *, model: ManoModel, config: sampler.SamplerConfig
) -> sampler.PoseBatch:
    """Relaxed hands side by side, all of the one kind that is asked for."""
    (kind,) = config.weights
    rng = np.random.default_rng(seed)
    params = ManoParams(
        global_orient=rng.normal(0, 0.3, (count, 2, 3)),
        hand_pose=rng.normal(0, 0.1, (count, 2, 15, 3)),
        betas=rng.normal(0, 0.5, (count, 2, 10)),
        transl=rng.normal(0, 0.01, (count, 2, 3)) + [[-0.1, 0, 0], [0.1, 0, 0]],
    )
    params = jax.tree.map(lambda x: x.astype(np.float32), params)
    kinds = np.full(count, sampler.KINDS.index(kind))
    return sampler.PoseBatch(params, np.ones((count, 2), bool), kinds)


def _draw(kind: str) -> scenes.Scenes:
    """Scenes of a kind, in a process that may render."""
    sampler.sample = _simple_poses
    return freeze.draw_kind(kind, CONFIG)


def _freeze(assets: Path, out: Path) -> check.Manifest:
    parts = [_draw(kind) for kind in ("apart", "near")]
    assets.mkdir(parents=True)
    whole = scenes.Scenes(*map(np.concatenate, zip(*parts, strict=True)))
    scenes.save(check.Files(assets).scenes, whole)
    return freeze.freeze(CONFIG, out, assets, workers=0, progress=False)


def _shard(assets: Path, shard: int) -> list[Example]:
    return list(source.frozen_source(assets).examples("test", shard))


def _first_of_the_real_one(count: int) -> list[Example]:
    return list(itertools.islice(source.frozen_source().examples("test", 0), count))


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Mesa and TensorFlow crash in one process: render in another."""
    gpu.check_egl()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        yield pool


@pytest.fixture(scope="module")
def frozen(
    pool: ProcessPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Assets and records of a tiny benchmark; not to be changed."""
    root = tmp_path_factory.mktemp("benchmark")
    made = pool.submit(_freeze, root / "assets", root / "set").result()
    assert made.num_records == 6
    return root / "assets", root / "set"


@pytest.fixture
def copied(frozen: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The tiny benchmark, to be damaged."""
    for found, name in zip(frozen, ("assets", "set"), strict=True):
        shutil.copytree(found, tmp_path / name)
    return tmp_path / "assets", tmp_path / "set"


@dataclasses.dataclass(frozen=True)
class _Changed:
    """A set's records, one of them changed (a ``ShardSource``)."""

    directory: Path
    record: int
    change: Callable[[dict], Mapping]

    name = check.NAME
    version = "1.0.0"
    description = "Changed."
    settings: dict = dataclasses.field(default_factory=dict)
    cues = DEFAULT

    @property
    def shard_sizes(self) -> dict[str, tuple[int, ...]]:
        return {"test": shards.open_split(self.directory, "test").counts}

    def examples(self, split: str, shard: int) -> Iterator[Example]:
        found = shards.open_split(self.directory, split)
        payloads, _ = shards.read_shard(found.paths[shard], found.counts[shard])
        for number, payload in enumerate(payloads, int(found.starts[shard])):
            example = read_record(payload)
            here = number == self.record
            yield {**example, **self.change(example)} if here else example


def _with_change(
    directory: Path, out: Path, change: Callable[[dict], Mapping], record: int = 4
) -> Path:
    writer.write(_Changed(directory, record, change), out, workers=0, progress=False)
    return out


def _brighter(levels: int) -> Callable[[dict], Mapping]:
    def change(example: dict) -> Mapping:
        image = decode.decode_jpeg(example["image"]).astype(int)
        image = np.clip(image + levels, 0, 255).astype(np.uint8)
        return {"image": decode.encode_jpeg(image, quality=100)}

    return change


def _moved(name: str, by: float) -> Callable[[dict], Mapping]:
    return lambda example: {name: (example[name] + by).astype(np.float32)}


@pytest.mark.slow
def test_the_quota_of_each_kind_is_exact(frozen: tuple[Path, Path]) -> None:
    made = check.load_manifest(frozen[0])
    levels = list(scenes.LEVELS)
    assert {kind: sum(found.values()) for kind, found in made.counts.items()} == {
        "apart": 3,
        "near": 3,
    }
    assert all(list(found) == levels for found in made.counts.values())


@pytest.mark.slow
def test_scenes_are_kept_exactly(frozen: tuple[Path, Path], tmp_path: Path) -> None:
    found = scenes.load(check.Files(frozen[0]).scenes)
    again = scenes.on_grid(found)
    scenes.save(tmp_path / "again.npz", found)
    for name, one, other in zip(found._fields, found, again, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    kept = (tmp_path / "again.npz").read_bytes()
    assert kept == check.Files(frozen[0]).scenes.read_bytes()


def test_the_grid_is_fine() -> None:
    assert scenes.STEPS["hand_pose"] / 2 * 0.18 < 0.0002
    assert scenes.STEPS["transl"] / 2 < 0.0001
    exact = np.arange(-4, 4, scenes.STEPS["hand_pose"])
    np.testing.assert_array_equal(exact, exact.astype(np.float16))


def test_levels_are_of_the_more_hidden_hand() -> None:
    hidden = np.array([[0, 0], [5, 0], [1, 6], [10, 10], [11, 0], [0, 21]], np.uint8)
    empty = [np.zeros((6, 1))] * 6
    kind = np.full(6, sampler.KINDS.index("near"), np.uint8)
    found = scenes.Scenes(*empty, kind=kind, seed=kind, hidden=hidden)
    assert scenes.counts(found) == {
        "near": {"none": 1, "up to 25 %": 1, "25 to 50 %": 2, "above 50 %": 2}
    }


def test_a_scene_is_drawn_again_the_same(
    pool: ProcessPoolExecutor, frozen: tuple[Path, Path]
) -> None:
    found = scenes.load(check.Files(frozen[0]).scenes).rows(slice(3))
    again = pool.submit(_draw, "apart").result()
    for name, one, other in zip(found._fields, found, again, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_a_shard_made_alone_is_the_same(
    pool: ProcessPoolExecutor, frozen: tuple[Path, Path]
) -> None:
    assets, directory = frozen
    split = shards.open_split(directory, "test")
    assert split.counts == (4, 2)
    payloads, _ = shards.read_shard(split.paths[1], 2)
    alone = pool.submit(_shard, assets, 1).result()
    for example, payload in zip(alone, payloads, strict=True):
        for name, value in read_record(payload).items():
            np.testing.assert_array_equal(value, example[name], err_msg=name)
        assert example["dataset"] == check.NAME


def test_the_same_bytes_are_identical(frozen: tuple[Path, Path]) -> None:
    verdict = benchmark.verify(frozen[1], assets=frozen[0])
    assert (verdict.status, verdict.records) == ("identical", 6)
    assert "byte for byte" in verdict.text()


def test_rounding_is_equivalent(frozen: tuple[Path, Path], tmp_path: Path) -> None:
    out = _with_change(frozen[1], tmp_path / "near", _brighter(1))
    verdict = benchmark.verify(out, assets=frozen[0])
    assert (verdict.status, verdict.differing) == ("equivalent", 1)
    assert 0 < verdict.largest.grey_levels <= 2
    assert "1 were drawn by other programs" in verdict.text()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_brighter(20), "grey_levels differs by"),
        (_moved("hands/joints_2d", 0.2), "landmarks_px differs by 0.2"),
        (_moved("cues/keypoints", 0.5), "keypoints_px differs by 0.5"),
        (_moved("mano/transl", 1e-4), "mano/transl is another one"),
        (lambda example: {"subset": "clasped"}, "hands are clasped, not near"),
    ],
    ids=["picture", "joints", "cues", "hands", "kind"],
)
def test_other_records_are_named(
    frozen: tuple[Path, Path],
    tmp_path: Path,
    change: Callable[[dict], Mapping],
    what: str,
) -> None:
    out = _with_change(frozen[1], tmp_path / "other", change)
    with pytest.raises(InputError, match=what) as caught:
        benchmark.verify(out, assets=frozen[0])
    assert "Record 0 of" in str(caught.value) and "benchmark-00004" in str(caught.value)


def test_a_truncated_set_is_refused(copied: tuple[Path, Path]) -> None:
    assets, directory = copied
    path = Path(shards.open_split(directory, "test").paths[1])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="Record 1 of .* is damaged"):
        benchmark.verify(directory, assets=assets)


def test_another_set_is_refused(copied: tuple[Path, Path]) -> None:
    assets, directory = copied
    path = directory / "dataset_info.json"
    path.write_text(path.read_text().replace(check.NAME, "synthetic"))
    with pytest.raises(InputError, match="holds the set 'synthetic'"):
        benchmark.verify(directory, assets=assets)


def _edit(assets: Path, key: str, value: object) -> None:
    path = check.Files(assets).manifest
    content = json.loads(path.read_text())
    content["generator"][key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "value"),
    [("version", "0.9.0"), ("hand", 1), ("config", {"size": 64, "sharpness": 2})],
)
def test_a_changed_generator_is_noticed_before_rendering(
    copied: tuple[Path, Path], tmp_path: Path, key: str, value: object
) -> None:
    _edit(copied[0], key, value)
    with pytest.raises(InputError, match=f"frozen at version .*{key} is"):
        source.build(tmp_path / "out", workers=1, assets=copied[0])
    assert not (tmp_path / "out").exists()


def test_other_scenes_are_noticed(copied: tuple[Path, Path]) -> None:
    path = check.Files(copied[0]).scenes
    scenes.save(path, scenes.load(path).rows(slice(5)))
    with pytest.raises(InputError, match=r"benchmark_scenes\.npz is missing or not"):
        check.load_manifest(copied[0])


def test_the_real_one_is_whole() -> None:
    made = check.load_manifest()
    found = scenes.load(check.Files().scenes)
    assert made.num_records == len(found.kind) == 2000
    assert made.counts == scenes.counts(found)
    assert [sum(levels.values()) for levels in made.counts.values()] == [500] * 4
    assert sum(levels["above 50 %"] for levels in made.counts.values()) >= 150
    assert len(np.unique(found.transl.reshape(2000, -1), axis=0)) == 2000
    sizes = [path.stat().st_size for path in check.ASSETS.glob("benchmark*")]
    assert len(sizes) == 3 and sum(sizes) < 620_000


@pytest.mark.slow
def test_the_real_one_is_drawn_again(pool: ProcessPoolExecutor) -> None:
    expected = check.load_prints(check.Files().prints)
    examples = pool.submit(_first_of_the_real_one, 12).result()
    for number, example in enumerate(examples):
        apart = check.prints_distance(
            check.take_prints(example, 0), expected.row(number)
        )
        assert all(np.array(apart) <= check.TOLERANCE), (number, apart)
