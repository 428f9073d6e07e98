import shutil
from pathlib import Path

import pytest

from twohand_jax.pipelines.reinterhand import fixture


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("reinterhand")
    fixture.write(root, count=4)
    return root


@pytest.fixture
def copy(miniature, tmp_path) -> Path:
    """A miniature that may be damaged."""
    return shutil.copytree(miniature, tmp_path / "copy")
