from pathlib import Path

import pytest

from data_pipelines import writer
from tests.data.records import Squares


@pytest.fixture(scope="session")
def record_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine training records in three shards, three test records in one."""
    directory = tmp_path_factory.mktemp("squares")
    writer.write(Squares(), directory, workers=0, progress=False)
    return directory
