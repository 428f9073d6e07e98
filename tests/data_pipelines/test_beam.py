"""Builds and cues under Beam: options that do not fit, and a portable runner."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twohand_jax.cli import main
from twohand_jax.errors import InputError
from twohand_jax.pipelines.freihand import fixture

pytest.importorskip("apache_beam", reason="the extra beam is not installed")
from twohand_jax.pipelines import beam_options  # noqa: E402

ROOT = Path(__file__).parents[2]
PORTABLE = "runner=PortableRunner"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("=DirectRunner", "is no option of Beam: write NAME=VALUE"),
        ("runnr=DirectRunner", r"no option .*did you mean 'runner'\?"),
        ("runner=FlinkRuner", r"no runner of Beam \(did you mean 'FlinkRunner'\?"),
        ("direct_num_worker=2", "did you mean 'direct_num_workers'"),
        ("direct_num_workers=x", "direct_num_workers: invalid int value: 'x'"),
        ("direct_num_workers", "direct_num_workers: expected one argument"),
        ("direct_running_mode=threads", "invalid choice: 'threads'"),
        ("streaming=maybe", "streaming: ignored explicit argument 'maybe'"),
        ("runner=no_such.module.Runner", "No module named 'no_such'"),
        (PORTABLE, "needs a job server"),
        ("runner=FlinkRunner flink_job_server_jar=no.jar", "no.jar is not there"),
        ("job_endpoint=localhost:8099", "no use with DirectRunner"),
        (f"{PORTABLE} job_endpoint=nowhere", "is no address: write HOST:PORT"),
        (f"{PORTABLE} job_endpoint=localhost:99999", "is no address"),
        (f"{PORTABLE} job_endpoint=nowhere.invalid:80", "Nothing answers at nowhere"),
    ],
)
def test_an_option_that_does_not_fit_is_one_sentence(words: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        beam_options.checked(words.split())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "words",
    [
        *("runner=DirectRunner", "--runner=direct direct_num_workers=2", "streaming"),
        f"{PORTABLE} job_endpoint=embed environment_type=LOOPBACK",
        "runner=FlinkRunner flink_master=[local] parallelism=2",
    ],
)
def test_options_that_fit_reach_beam(words: str) -> None:
    given = beam_options.checked(words.split()).get_all_options(drop_default=True)
    names = [word.strip("-").partition("=")[0] for word in words.split()]
    assert sorted(given) == sorted(names)


@pytest.fixture
def refusing() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("option", ["flink_master", "spark_master_url", "job_endpoint"])
def test_an_address_where_nobody_listens_is_refused(refusing: str, option: str) -> None:
    runner = {"flink_master": "FlinkRunner", "spark_master_url": "SparkRunner"}
    words = [f"runner={runner.get(option, 'PortableRunner')}", f"{option}={refusing}"]
    with pytest.raises(InputError, match=f"{option} names .*refused"):
        beam_options.checked(words)


@pytest.mark.slow  # it waits
def test_a_port_of_something_else_is_refused_within_10_s(silent: str) -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match="does not answer as a job server"):
        beam_options.checked([PORTABLE, f"job_endpoint={silent}"])
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("command", ["build", "cues"])
def test_commands_end_with_2_before_anything_is_read(
    command: str,
    refusing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = ["data", "cues", str(tmp_path), "--out", str(out)]
    if command == "build":
        words = ["data", "build", "freihand", "--source", str(tmp_path)]
        words += ["--out", str(out)]
    for word in (PORTABLE, f"job_endpoint={refusing}"):
        words += ["--beam", word]
    assert main.main(words) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "Nothing answers at" in told and "Traceback" not in told
    assert not out.exists()


@pytest.fixture
def job_server(tmp_path: Path) -> Iterator[str]:
    """Beam's own job server, another process; its workers run in it."""
    port = tmp_path / "port"
    module = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-m", module, "-p", "0", "--port_file", str(port)]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            cwd=tmp_path,
        )
        deadline = time.monotonic() + 60
        while not port.exists() and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.05)
        yield f"localhost:{port.read_text()}"
        process.terminate()
        process.wait()


def _files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and ".index" not in path.parts
    }


@pytest.mark.slow
def test_a_portable_runner_gives_the_same_bytes(
    job_server: str, tmp_path: Path
) -> None:
    """The build in the server's process, the cue stage in the launching one."""
    source = tmp_path / "source"
    fixture.write(source, count=2)
    build = ["data", "build", "freihand", "--source", str(source), "--shard-size", "3"]
    plain, beamed = str(tmp_path / "plain"), str(tmp_path / "beamed")
    assert main.main([*build, "--out", plain, "--workers", "0"]) == 0
    portable = ["--beam", PORTABLE, "--beam", f"job_endpoint={job_server}"]
    there = ["--beam", "environment_type=beam:env:embedded_python:v1"]
    assert main.main([*build, "--out", beamed, *portable, *there]) == 0
    assert len(list(Path(plain).glob("*tfrecord-*"))) > 1
    assert _files(Path(beamed)) == _files(Path(plain))
    cues = ["data", "cues", plain, "--cues", "labels"]
    assert main.main([*cues, "--out", f"{plain}_cues"]) == 0
    here = ["--beam", "environment_type=LOOPBACK"]
    assert main.main([*cues, "--out", f"{beamed}_cues", *portable, *here]) == 0
    assert _files(Path(f"{beamed}_cues")) == _files(Path(f"{plain}_cues"))
