"""Prediction files in pieces: the same predictions, and no more in memory."""

import tracemalloc

import numpy as np
import pytest

from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.evaluation.outside import (
    comparison,
    prediction_file,
    prediction_shards,
)
from twohand_jax.evaluation.outside.prediction_file import Outside

COUNT, SHARD = 11, 4
FORMS = (".npz", ".parquet")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 0.04, (COUNT, 2, 21, 3)).astype(np.float32)
    found = rng.random((COUNT, 2)) < 0.7
    return {
        "image_id": np.array([f"picture-{number}" for number in range(COUNT)]),
        "joints": joints,
        "found": found,
        "vertices": rng.normal(0, 0.04, (COUNT, 2, 778, 3)).astype(np.float32),
        "rel_trans": rng.normal(0, 0.1, (COUNT, 3)).astype(np.float32),
    }


def parts(arrays, size):
    for start in range(0, COUNT, size):
        yield {name: value[start : start + size] for name, value in arrays.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 3, 5, COUNT])
def test_pieces_hold_what_the_whole_does(tmp_path, monkeypatch, arrays, form, size):
    monkeypatch.setattr(prediction_shards, "SHARD", SHARD)
    path = tmp_path / f"x{form}"
    written = prediction_shards.write(path, parts(arrays, size), COUNT)
    assert len(written) == (3 if form == ".npz" else 1)
    found = prediction_file.read(path)
    prediction_file.write(tmp_path / "whole.npz", Outside(where="x", **arrays))
    whole = prediction_file.read(tmp_path / "whole.npz")
    for key in ("image_id", "joints", "found", "rel_trans"):
        np.testing.assert_array_equal(getattr(found, key), getattr(whole, key))
    rows = np.array([3, 0, 10, -1, 5, 4])
    np.testing.assert_array_equal(found.vertices[rows], whole.vertices[rows])


def test_digests_tell_vertices_apart(tmp_path, monkeypatch, arrays):
    monkeypatch.setattr(prediction_shards, "SHARD", SHARD)
    digests = []
    for number in range(2):
        path = tmp_path / f"{number}.npz"
        arrays["vertices"][-1] += number
        prediction_shards.write(path, parts(arrays, 3), COUNT)
        digests.append(comparison.digest(prediction_file.read(path)))
    assert digests[0] != digests[1]


def test_a_missing_piece_is_a_sentence(tmp_path, monkeypatch, arrays):
    monkeypatch.setattr(prediction_shards, "SHARD", SHARD)
    path = tmp_path / "x.npz"
    written = prediction_shards.write(path, parts(arrays, 3), COUNT)
    written[1].unlink()
    with pytest.raises(InputError, match="in pieces, of which 2 of 3 are there"):
        prediction_file.read(path)


def test_a_name_in_two_pieces_is_refused(tmp_path, monkeypatch, arrays):
    monkeypatch.setattr(prediction_shards, "SHARD", SHARD)
    arrays["image_id"][9] = arrays["image_id"][1]
    prediction_shards.write(tmp_path / "x.npz", parts(arrays, 3), COUNT)
    with pytest.raises(InputError, match="holds picture-1 2 times"):
        prediction_file.read(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"", b"PAR1 no PAR1"])
def test_a_damaged_parquet_is_a_sentence(tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(InputError, match="not a readable Parquet file"):
        prediction_file.read(tmp_path / "x.parquet")


def test_other_endings_and_a_missing_package_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"must end in \.npz or \.parquet"):
        prediction_shards.check_path(tmp_path / "x.json")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match=r"twohand_jax\[parquet\]"):
        prediction_shards.check_path(tmp_path / "x.parquet")


def test_memory_does_not_grow_with_the_set(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_shards, "SHARD", 16)
    monkeypatch.setattr(prediction_shards, "KEPT", 2)
    one = {
        "joints": np.zeros((4, 2, 21, 3), np.float32),
        "found": np.ones((4, 2), bool),
        "vertices": np.ones((4, 2, 778, 3), np.float32),
    }

    def peak(count):
        def all_parts():
            for start in range(0, count, 4):
                names = np.array([f"{n:08d}" for n in range(start, start + 4)])
                yield {"image_id": names, **one}

        path = tmp_path / f"{count}.npz"
        tracemalloc.start()
        prediction_shards.write(path, all_parts(), count)
        found = prediction_file.read(path)
        for start in range(0, count, 8):
            found.vertices[np.arange(start, start + 8)]
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    few, many = peak(64), peak(512)
    vertices = 448 * one["vertices"][0].nbytes
    assert many - few < 0.15 * vertices
