"""Servers that stand for S3 and GCS, one each for all tests, and their failures."""

import functools
import http.server
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from twohand_jax import leases, paths, stores

BUCKET = "bucket"


class Faults:
    """What goes wrong between a client and a server.

    Attributes:
        refuse: how many of the next requests get a 503.
        cut: how many of the next answers break off in their middle.
        delay_s: before each answer.
        requests: all that came, as method and path.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.refuse, self.cut, self.delay_s = 0, 0, 0.0
        self.requests: list[str] = []

    def around(self, app: Callable) -> Callable:
        """A WSGI application with faults."""

        def faulty(environ: dict[str, Any], start: Callable) -> Any:
            self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            time.sleep(self.delay_s)
            if self.refuse > 0:
                self.refuse -= 1
                start("503 Slow Down", [("Content-Type", "text/plain")])
                return [b"later"]
            body = b"".join(app(environ, start))
            if self.cut > 0 and environ["REQUEST_METHOD"] == "GET" and len(body) > 1:
                self.cut -= 1
                return [body[: len(body) // 2]]
            return [body]

        return faulty


FAULTS = Faults()


def _serve_s3() -> tuple[str, Callable[[], None]]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, FAULTS.around(app), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", server.shutdown


def _serve_gcs() -> tuple[str, Callable[[], None]]:
    from gcp_storage_emulator.handlers import buckets
    from gcp_storage_emulator.server import RequestHandler
    from gcp_storage_emulator.storage import Storage

    storage = Storage(use_memory_fs=True)
    buckets.create_bucket(BUCKET, storage)
    make = functools.partial(RequestHandler, storage)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), make)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", server.shutdown


@pytest.fixture(scope="session")
def servers() -> Iterator[None]:
    """Both servers, and the environment in which clients find them."""
    import fsspec

    s3, end_s3 = _serve_s3()
    gcs, end_gcs = _serve_gcs()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": s3,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "STORAGE_EMULATOR_HOST": gcs,
            "FSSPEC_GS_TOKEN": "anon",
            "FSSPEC_GCS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }.items():
            patch.setenv(name, value)
        fsspec.config.set_conf_env(fsspec.config.conf)
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield
    end_s3()
    end_gcs()


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
