"""The tiny network and picture of the inference tests, for the command as well."""

import pytest

from tests.inference.conftest import checkpoint, image, keypoints, photo

__all__ = ["checkpoint", "image", "keypoints", "photo"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:
    """Commands keep their programs in the session's own folder."""
    folder = tmp_path_factory.getbasetemp() / "xdg"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
