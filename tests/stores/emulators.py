"""Servers that stand for S3 and GCS, and what goes wrong on the way to them."""

import contextlib
import functools
import http.server
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUCKET = "bucket"
NAME = re.compile(rb'"name": *"([^"]+)"')


class Faults:
    """What goes wrong between a client and a server.

    Attributes:
        refuse: how many of the next requests get a 503.
        cut: how many of the next answers with a body end in its middle, although
            ``Content-Length`` promises the whole.
        cut_in: part of the paths whose answers are cut.
        delay_s: before each answer.
        watch: is told of each request, as "PUT /bucket/name", before it is answered;
            the name of an upload to GCS is put behind its path.
        requests: all that came.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.refuse, self.cut, self.cut_in, self.delay_s = 0, 0, "", 0.0
        self.watch: Callable[[str], None] = lambda request: None
        self.requests: list[str] = []

    def refused(self, method: str, path: str) -> bool:
        """Note a request, wait, and say whether it is refused."""
        self.requests.append(f"{method} {path}")
        self.watch(self.requests[-1])
        time.sleep(self.delay_s)
        with self._lock:
            is_refused = self.refuse > 0
            self.refuse -= is_refused
        return is_refused

    def sent(self, method: str, path: str, body: bytes) -> bytes:
        """What goes out of the body of an answer."""
        with self._lock:
            is_cut = self.cut > 0 and self.cut_in in path
            is_cut = is_cut and method == "GET" and len(body) > 1
            self.cut -= is_cut
        return body[: len(body) // 2] if is_cut else body

    def around(self, app: Callable) -> Callable:
        """A WSGI application with faults."""

        def faulty(environ: dict[str, Any], start: Callable) -> list[bytes]:
            asked = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            if self.refused(*asked):
                start("503 Slow Down", [("Content-Type", "text/plain")])
                return [b"later"]
            told: list[Any] = []
            body = b"".join(app(environ, lambda *words: told.extend(words)))
            status, headers, *_ = told
            sent = self.sent(*asked, body)
            if len(sent) < len(body):
                length = [("Content-Length", str(len(body)))]
                headers = [h for h in headers if h[0].lower() != "content-length"]
                headers += length
            start(status, headers)
            return [sent]

        return faulty


FAULTS = Faults()


@contextlib.contextmanager
def s3() -> Iterator[dict[str, str]]:
    """moto without a bucket; the environment in which clients find it."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, FAULTS.around(app), threaded=True)
    with _serving(server):
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def gcs() -> Iterator[dict[str, str]]:
    """gcp-storage-emulator with an empty bucket, and the environment for clients."""
    from gcp_storage_emulator.handlers import buckets
    from gcp_storage_emulator.server import RequestHandler
    from gcp_storage_emulator.storage import Storage

    class Faulty(RequestHandler):
        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            path = urllib.parse.unquote(self.path)
            if self.command == "POST":  # an upload, whose name is in what follows
                name = NAME.search(self.rfile.peek())
                path += f"/{name[1].decode()}" if name else ""
            if not FAULTS.refused(self.command, path):
                return True
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_error(503)
            return False

        def do_GET(self) -> None:
            wire, self.wfile = self.wfile, io.BytesIO()
            super().do_GET()
            head, end, body = self.wfile.getvalue().partition(b"\r\n\r\n")
            self.wfile = wire
            sent = FAULTS.sent("GET", urllib.parse.unquote(self.path), body)
            wire.write(head + end + sent)

    storage = Storage(use_memory_fs=True)
    buckets.create_bucket(BUCKET, storage)
    make = functools.partial(Faulty, storage)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), make)
    with _serving(server):
        yield {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server.server_port}",
            "FSSPEC_GS_TOKEN": "anon",
            "FSSPEC_GCS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }


@contextlib.contextmanager
def _serving(server: Any) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Both servers, and this process's environment such that it finds them."""
    import fsspec

    with s3() as of_s3, gcs() as of_gcs, pytest.MonkeyPatch.context() as patch:
        for name, value in (of_s3 | of_gcs).items():
            patch.setenv(name, value)
        fsspec.config.set_conf_env(fsspec.config.conf)
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield


def killed_at(words: list[str], end: str) -> int:
    """Run Python until it sends a request with this end, before it is answered.

    Returns:
        The exit code: minus the number of SIGKILL, if there was such a request.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, *words], env=environment)

    def watch(request: str) -> None:
        if request.endswith(end):
            child.kill()
            child.wait()

    FAULTS.watch = watch
    code = child.wait()
    FAULTS.clear()
    return code


def content(url: str) -> dict[str, bytes]:
    """All objects below a URL by their names behind it."""
    fs = filesystem(url)
    base = url.partition("://")[2]
    found = fs.find(base)
    return {name.removeprefix(f"{base}/"): fs.cat_file(name) for name in found}


def half_visible(url: str) -> list[str]:
    """What of the complete steps of a working directory is not as they say."""
    found = content(url)
    wrong = []
    for name, value in found.items():
        folder, _, last = name.rpartition("/")
        if last == "COMPLETE.json":
            for part, size in json.loads(value)["parts"].items():
                held = found.get(f"{folder}/{part}", b"")
                if len(held) != size or zipfile.ZipFile(io.BytesIO(held)).testzip():
                    wrong.append(f"{folder}/{part}")
    return wrong


def put(url: str, name: str, value: bytes) -> None:
    """Write an object."""
    filesystem(url).pipe_file(f"{url}/{name}", value)


def filesystem(url: str) -> Any:
    """fsspec's for a URL, which sees what others do meanwhile."""
    import fsspec

    return fsspec.filesystem(url.partition(":")[0], use_listings_cache=False)
