"""Workers of other machines, which have no mirror yet: shards by way of a store."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.records import Squares
from twohand_jax import paths
from twohand_jax.data import shards
from twohand_jax.pipelines import shard_file, writer
from twohand_jax.pipelines.worker import Site

ROOT = Path(__file__).parents[2]
WORKER = """
import os, pathlib, pickle, sys
from twohand_jax import paths
from twohand_jax.pipelines import writer
site, directory, source, pending = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
site.enter()
print((directory / "given.txt").read_text())
for shard in pending:
    assert isinstance(writer.outcome(directory, source, shard), writer.Receipt)
assert os.environ[paths.MIRROR] == site.mirror
"""


@pytest.mark.slow
def test_a_worker_without_a_mirror_makes_one_fills_it_and_leaves_nothing(
    bucket: str, tmp_path: Path
) -> None:
    """The launcher's mirror is moved away while the worker is at work."""
    out = paths.local(f"{bucket}/set")
    given = out / "given.txt"
    given.parent.mkdir(parents=True)
    given.write_text("of the launcher")
    task = tmp_path / "task"

    def elsewhere(source, directory, pending, workers, bar) -> writer.Made:
        paths.flush()
        site = Site.here()
        assert site.mirror is not None
        # The launcher's own copy: the worker must not live by it.
        task.write_bytes(pickle.dumps((site, directory, source, pending)))
        away = Path(f"{site.mirror}-away")
        Path(site.mirror).rename(away)
        words = [sys.executable, "-c", WORKER, str(task)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        del environment[paths.MIRROR]
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "of the launcher"
        assert not Path(site.mirror).exists()  # the last worker removes it
        away.rename(site.mirror)
        paths.attach(directory, again=True)
        for shard in pending:
            receipt = shard_file.finished(directory, source, *shard)
            assert receipt is not None
            yield shard, receipt

    writer.write(Squares(), out, make=elsewhere, progress=False)
    writer.write(Squares(), tmp_path / "plain", workers=0, progress=False)
    paths.flush()
    paths.forget()
    copy = paths.local(f"{bucket}/set")
    for name in sorted(path.name for path in (tmp_path / "plain").glob("*tfrecord-*")):
        assert paths.fetch(copy / name)
        assert (copy / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert (copy / shards.INFO).exists()


@pytest.mark.slow
def test_beam_writes_a_set_into_a_store(bucket: str, tmp_path: Path) -> None:
    beam = pytest.importorskip("twohand_jax.pipelines.beam")
    out = paths.local(f"{bucket}/set")
    make = beam.maker(["runner=DirectRunner"])
    report = writer.write(Squares(), out, make=make, progress=False)
    writer.write(Squares(), tmp_path / "plain", workers=0, progress=False)
    paths.flush()
    paths.forget()
    copy = paths.local(f"{bucket}/set")
    assert sum(report.examples.values()) == report.new_examples > 0
    for path in (tmp_path / "plain").glob("*tfrecord-*"):
        assert paths.fetch(copy / path.name)
        assert (copy / path.name).read_bytes() == path.read_bytes()


def test_without_a_store_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(paths.MIRROR, raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    site = Site.here()
    assert site == Site(platforms="cpu")
    site.enter()
    assert paths.MIRROR not in os.environ


@pytest.mark.slow  # a process starts
def test_a_worker_beside_the_launcher_shares_its_mirror(tmp_path: Path) -> None:
    root = tmp_path / "mirror"
    site = Site(mirror=str(root))
    root.mkdir()
    (root / ".home").touch()
    code = "import pickle, sys; pickle.load(sys.stdin.buffer).enter()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop(paths.MIRROR, None)
    subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        input=pickle.dumps(site),
        check=True,
    )
    assert [path.name for path in root.iterdir()] == [".home"]
    shutil.rmtree(root)
