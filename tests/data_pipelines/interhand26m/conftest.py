import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twohand_jax import mano
from twohand_jax.pipelines.interhand26m import fixture
from twohand_jax.pipelines.interhand26m.dataset import InterHand26M, InterHandConfig
from twohand_jax.pipelines.labelled import (
    Labelled,
    LabelledSource,
    Rejection,
    ShardConfig,
)
from twohand_jax.types import ManoModel

COUNT = 4
Edit = Callable[[Any], object]


@pytest.fixture(scope="session")
def hand_model() -> ManoModel:
    return mano.load()


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test split of a miniature: both hands, right, left, both with one fit."""
    root = tmp_path_factory.mktemp("interhand")
    fixture.write(root, count=COUNT, splits=("test",))
    return root


@pytest.fixture(scope="session")
def samples(
    miniature: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Labelled]:
    """Its samples, in the order of the annotations."""
    dataset = opened(miniature, tmp_path_factory.mktemp("indices"))
    assert dict(dataset.counts()) == {"test": COUNT}
    return list(dataset.samples("test", range(COUNT)))


def opened(root: Path, indices: Path, **options: Any) -> InterHand26M:
    """The dataset with the options of its config, and ``human_lists``."""
    human_lists = options.pop("human_lists", None)
    config = InterHandConfig(**options)
    return InterHand26M(root, config, indices=indices, human_lists=human_lists)


def part_of(root: Path, part: str) -> Path:
    """An annotation file of the test split."""
    return root / "annotations" / "test" / f"InterHand2.6M_test_{part}.json"


def edited(root: Path, folder: Path, edits: dict[str, Edit]) -> Path:
    """A copy whose annotation files were changed, each by a function of its content."""
    (folder / "annotations" / "test").mkdir(parents=True)
    (folder / "images").symlink_to(root / "images")
    for part in ("data", "camera", "joint_3d", "MANO_NeuralAnnot"):
        content = json.loads(part_of(root, part).read_text())
        if part in edits:
            edits[part](content)
        part_of(folder, part).write_text(json.dumps(content))
    return folder


def written(root: Path, folder: Path) -> list[Any]:
    """Records and rejections of the test split as the writer gets them."""
    source = LabelledSource(opened(root, folder / "indices"), ShardConfig())
    return list(source.examples("test", 0))


def rejections(found: list[Any]) -> list[Rejection]:
    return [one for one in found if isinstance(one, Rejection)]
