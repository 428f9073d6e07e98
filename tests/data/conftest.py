from pathlib import Path

import numpy as np
import pytest

from tests.data.consistent import Consistent
from tests.data.records import Squares
from twohand_jax import mano
from twohand_jax.data.decode import Rows
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.pipelines import writer
from twohand_jax.types import ManoModel


@pytest.fixture(scope="session")
def record_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine training records in three shards, three test records in one."""
    directory = tmp_path_factory.mktemp("squares")
    writer.write(Squares(), directory, workers=0, progress=False)
    return directory


@pytest.fixture(scope="session")
def hand_model() -> ManoModel:
    return mano.load()


@pytest.fixture(scope="session")
def consistent_set(
    tmp_path_factory: pytest.TempPathFactory, hand_model: ManoModel
) -> Path:
    """Five records without any violation, in two shards."""
    directory = tmp_path_factory.mktemp("consistent")
    writer.write(Consistent(hand_model), directory, workers=0, progress=False)
    return directory


@pytest.fixture(scope="session")
def consistent_rows(consistent_set: Path) -> Rows:
    """All of its records; tests copy what they change."""
    config = ReaderConfig(directory=str(consistent_set), batch_size=5, shuffle=False)
    return next(Reader(config).rows())


@pytest.fixture
def fields(consistent_rows: Rows) -> dict[str, np.ndarray]:
    """The fields of the consistent records, free to change."""
    return {name: value.copy() for name, value in consistent_rows.fields.items()}
