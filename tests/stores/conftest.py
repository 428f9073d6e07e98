"""Stores for tests: a folder in a bucket for each, and failures on the way to it."""

from collections.abc import Iterator

import pytest

from tests.stores.emulators import BUCKET, FAULTS, Faults, running
from twohand_jax import leases, paths, stores


@pytest.fixture(scope="session")
def servers() -> Iterator[None]:
    """Both servers, for all tests, and the environment in which clients find them."""
    with running():
        yield


@pytest.fixture(params=["s3", "gs"])
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def bucket(servers: None, scheme: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a folder in a store that no other test uses; failures end with it."""
    FAULTS.clear()
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    yield f"{scheme}://{BUCKET}/{name}"
    FAULTS.clear()
    paths.forget()


@pytest.fixture
def faults() -> Faults:
    return FAULTS


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of tests are short."""
    monkeypatch.setattr(stores, "WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(leases, "SETTLE_S", 0.0)
    monkeypatch.setattr(leases, "WATCH_S", 0.4)
    monkeypatch.setattr(leases, "BEAT_S", 0.1)
