"""Paths of stores: what they mean, what comes down and goes up, and what fails."""

import argparse
import os
from pathlib import Path

import fsspec
import pytest

from tests.stores.emulators import content, put
from twohand_jax import extras, files, locks, paths, reading
from twohand_jax.cli import main as cli
from twohand_jax.errors import (
    FailedError,
    InputError,
    MissingDependencyError,
    UnreadableError,
)

ALWAYS = 10**6


def test_local_paths_stay_what_they_are():
    assert paths.given("a/b.txt") == Path("a/b.txt")
    assert paths.given("C:/a") == Path("C:/a")
    assert paths.given("./gs:/a") == Path("gs:/a")
    assert not paths.is_mirrored(paths.given("a"))


@pytest.mark.parametrize(
    "url", ["file:///a/b%20c", "file://localhost/a/b c", "file:/a/b c"]
)
def test_file_urls_are_local_paths(url):
    assert paths.given(url) == Path("/a/b c")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foo://b/run", "unknown kind foo://"),
        ("gss://b/run", "did you mean 'gs'"),
        ("https://host/run", "unknown kind https://"),
        ("file://host/a", "names no file of this machine"),
        ("gs://", "names no bucket"),
        ("s3://b/../c", "names no bucket"),
        ("s3://b//c", "names no bucket"),
    ],
)
def test_what_no_store_has_is_refused_in_a_sentence(text, told):
    with pytest.raises(argparse.ArgumentTypeError, match=told):
        paths.given(text)
    with pytest.raises(InputError, match=told):
        paths.local(text)


@pytest.mark.parametrize(("url", "extra"), [("gs://b/r", "gcs"), ("s3://b/r", "s3")])
def test_a_missing_package_is_a_sentence_that_names_the_extra(url, extra, monkeypatch):
    monkeypatch.setattr(extras, "is_there", lambda name: False)
    with pytest.raises(MissingDependencyError, match=rf"twohand_jax\[{extra}\]"):
        paths.local(url)


@pytest.mark.parametrize("command", ["train --config tiny --workdir foo://b/run"])
def test_an_unknown_kind_of_store_ends_a_command_with_2(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(command.split())
    assert ended.value.code == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "unknown kind foo://" in told
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_goes_up_and_comes_down_on_another_machine(bucket):
    place = paths.local(f"{bucket}/run")
    files.write_text(place / "deep" / "a.txt", "first")
    files.write_json(place / "b.json", {"x": 1})
    files.write_text(place / "deep" / "a.txt", "second")
    assert content(f"{bucket}/run")["deep/a.txt"] == b"second"
    paths.forget()
    there = paths.local(f"{bucket}/run")
    assert reading.read_text(there / "deep" / "a.txt") == "second"
    assert reading.read_json(there / "b.json") == {"x": 1}
    assert paths.names(there) == {"deep", "b.json"}
    assert paths.url(there / "b.json") == f"{bucket}/run/b.json"
    assert paths.told(f"in {there}.") == f"in {bucket}/run."


def test_a_command_that_ends_copies_up_what_others_wrote_and_removes_what_they_removed(
    bucket,
):
    put(bucket, "old.txt", b"old")
    put(bucket, "stays.txt", b"stays")
    with paths.session():
        place = paths.local(bucket)
        (place / "new.txt").write_text("new")
        (place / "old.txt").unlink()
        (place / ".x.partial-0").write_text("half")
    assert content(bucket) == {"new.txt": b"new", "stays.txt": b"stays"}
    assert paths.MIRROR not in os.environ


def test_a_command_that_fails_leaves_the_store_as_it_is(bucket):
    with pytest.raises(InputError), paths.session():
        (paths.local(bucket) / "x").parent.mkdir(parents=True, exist_ok=True)
        (paths.local(bucket) / "x").write_text("x")
        raise InputError("no")
    assert content(bucket) == {}


def test_large_files_come_when_they_are_read_and_leave_when_there_is_no_room(
    bucket, monkeypatch
):
    names = [f"s-train.tfrecord-0000{n}-of-00003" for n in range(3)]
    for name in names:
        put(bucket, name, name.encode() * 100)
    put(bucket, "dataset_info.json", b"{}")
    place = paths.local(bucket)
    assert [path.name for path in place.iterdir()] == ["dataset_info.json"]
    assert paths.names(place) == {*names, "dataset_info.json"}
    assert paths.size(place / names[1]) == 100 * len(names[1])
    monkeypatch.setattr(paths, "SHARE", 1e-12)
    for name in names:
        assert reading.read_bytes(place / name) == name.encode() * 100
    assert sorted(paths.names(place)) == sorted([*names, "dataset_info.json"])
    assert len([p for p in place.iterdir() if "tfrecord" in p.name]) == 1
    paths.flush()
    assert len(content(bucket)) == 4


def test_a_file_that_was_removed_is_removed_in_the_store(bucket):
    place = paths.local(bucket)
    files.write_text(place / "dir" / "a", "a")
    files.write_text(place / "dir" / "b", "b")
    files.write_text(place / "c", "c")
    files.remove(place / "dir")
    files.remove(place / "none")
    assert content(bucket) == {"c": b"c"}


def test_what_others_changed_meanwhile_is_seen_when_it_is_looked_for_again(bucket):
    put(bucket, "a", b"one")
    put(bucket, "b", b"two")
    place = paths.local(bucket)
    put(bucket, "a", b"three")
    fsspec.filesystem(bucket.partition(":")[0]).rm_file(f"{bucket}/b")
    paths.attach(place, again=True)
    assert (place / "a").read_bytes() == b"three" and not (place / "b").exists()


@pytest.mark.parametrize("scheme", ["s3"])
def test_refusals_and_slow_answers_are_survived(bucket, faults):
    place = paths.local(bucket)
    faults.refuse = 2
    files.write_bytes(place / "a", b"x" * 1000)
    paths.forget()
    faults.refuse, faults.delay_s = 1, 0.05
    assert reading.read_bytes(paths.local(bucket) / "a") == b"x" * 1000


def test_answers_that_break_off_are_asked_for_again(bucket, faults):
    large, value = "s-train.tfrecord-00000-of-00001", bytes(range(256)) * 4000
    for name in (large, "a"):
        put(bucket, name, value)
    faults.cut, faults.cut_in = 1, "a"
    place = paths.local(bucket)
    assert faults.cut == 0 and (place / "a").read_bytes() == value
    faults.cut, faults.cut_in = 2, large
    assert reading.read_bytes(place / large) == value
    assert faults.cut == 0
    faults.cut, faults.cut_in = 1, ""
    assert paths.names(place) == {"a", large}
    assert faults.cut == 0


@pytest.mark.parametrize("scheme", ["s3"])
def test_an_answer_that_always_breaks_off_is_a_sentence_and_never_a_short_file(
    bucket, faults, monkeypatch
):
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    lazy = "s-train.tfrecord-00000-of-00001"
    put(bucket, lazy, b"x" * 1000)
    place = paths.local(bucket)
    put(bucket, "a", b"x" * 1000)
    faults.cut, faults.cut_in = ALWAYS, bucket.rpartition("/")[2]
    with pytest.raises(UnreadableError, match=rf"{bucket}/{lazy} cannot be read: \w"):
        reading.read_bytes(place / lazy)
    with pytest.raises(UnreadableError, match=rf"{bucket}/a cannot be read: \w"):
        paths.attach(place, again=True)
    assert [path for path in place.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("scheme", ["s3"])
def test_a_store_that_is_away_is_a_sentence_with_its_url(bucket, monkeypatch):
    place = paths.local(bucket)
    monkeypatch.setattr("twohand_jax.stores._filesystem", _away)
    with pytest.raises(FailedError, match=rf"{bucket}/a cannot be written: gone\."):
        files.write_text(place / "a", "a")


def _away(scheme):
    raise OSError("gone")


def test_one_command_in_a_folder_at_a_time(bucket):
    place = paths.local(bucket)
    with (
        locks.held(place, "twohand train"),
        pytest.raises(InputError, match=rf"{bucket} is in use by twohand train"),
        locks.held(place, "another"),
    ):
        pass
    assert content(bucket) == {}
    with locks.held(place, "another"):
        assert list(content(bucket)) == [".lease"]


def test_the_lease_of_who_died_is_taken_over_after_a_look(bucket, capsys):
    lease = b'{"what": "w", "host": "h", "pid": 1, "since": "s", "token": "t", "beats"'
    put(bucket, ".lease", lease + b": 3}")
    with locks.held(paths.local(bucket), "next"):
        assert b'"what": "next"' in content(bucket)[".lease"]
    assert "looking for a sign of life" in capsys.readouterr().err


def test_who_has_lost_its_lease_is_told_so(bucket):
    other = b'{"what": "w", "host": "h", "pid": 1, "since": "s", "token": "t", "beats"'
    with (
        pytest.raises(FailedError, match="was taken over by another process"),
        locks.held(paths.local(bucket), "first"),
    ):
        put(bucket, ".lease", other + b": 3}")
        import time

        time.sleep(0.5)
    assert list(content(bucket)) == [".lease"]
