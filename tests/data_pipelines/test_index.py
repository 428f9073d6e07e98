import json
import os
import pickle
import tracemalloc
from pathlib import Path

import pytest

from twohand_jax.errors import InputError
from twohand_jax.pipelines import index
from twohand_jax.pipelines.index import Entries, Index, Items

LIST = {"info": {"id": 1}, "images": [{"id": 7, "x": [1, 2.5]}, {"id": 3}], "n": [{}]}
NESTED = {
    "a": {"1": [1.5], "2": None, "3": {"u": [[1], {"v": 2}]}},
    "b": {},
    "c": {"1": 4},
}


def _build(folder: Path, **options) -> Index:
    if not (folder / "list.json").exists():
        (folder / "list.json").write_text(json.dumps(LIST))
        (folder / "nested.json").write_text(json.dumps(NESTED))
    collections = [
        Items(name="images", path=folder / "list.json", prefix="images", **options),
        Entries(name="nested", path=folder / "nested.json", depth=2),
    ]
    return index.build(folder / "index.sqlite", collections)


def test_lists_are_found_by_number_and_by_key(tmp_path: Path) -> None:
    built = _build(tmp_path)
    assert built.count("images") == 2
    assert [built.at("images", n) for n in range(2)] == LIST["images"]
    assert built.get("images", 3) == {"id": 3}
    assert built.get("images", 8) is None
    assert built.tables >= {"images", "nested"}


def test_nested_keys_are_joined(tmp_path: Path) -> None:
    built = _build(tmp_path)
    assert list(built.keys("nested")) == ["a/1", "a/2", "a/3", "c/1"]
    assert built.get("nested", "a/1") == [1.5]
    assert built.get("nested", "a/2") is None
    assert built.get("nested", "a/3") == {"u": [[1], {"v": 2}]}
    assert built.get("nested", "c/1") == 4


def test_objects_can_be_left_out_and_go_without_keys(tmp_path: Path) -> None:
    assert _build(tmp_path, keep=lambda item: item["id"] > 5).count("images") == 1
    (tmp_path / "index.sqlite").unlink()
    assert _build(tmp_path, key=None).get("images", 1) == {"id": 3}


def test_an_index_goes_to_other_processes_as_its_path(tmp_path: Path) -> None:
    built = _build(tmp_path)
    assert built.count("images") == 2
    data = pickle.dumps(built)
    assert len(data) < 500
    assert pickle.loads(data).get("images", 7) == LIST["images"][0]


def test_only_a_changed_source_is_read_again(tmp_path: Path) -> None:
    path = _build(tmp_path).path
    first = path.stat()
    assert _build(tmp_path).path.stat().st_ino == first.st_ino
    (tmp_path / "list.json").write_text(json.dumps({"images": [{"id": 1}]}))
    os.utime(tmp_path / "list.json", ns=(1, 1))
    assert _build(tmp_path).count("images") == 1


def test_nan_and_infinity_are_nulls(tmp_path: Path) -> None:
    text = '{"images": [{"id": 1, "x": [NaN, -Infinity, 2], "NaN": "a, NaN"}]}'
    (tmp_path / "list.json").write_text(text)
    (tmp_path / "nested.json").write_text("{}")
    expected = {"id": 1, "x": [None, None, 2], "NaN": "a, NaN"}
    assert _build(tmp_path).at("images", 0) == expected


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("list", json.dumps(LIST)[:-9], "list.json is not complete JSON .* cut off"),
        ("list", "", "list.json is not complete JSON"),
        ("list", "\x80\x02", "list.json is not complete JSON"),
        ("list", '{"images": [{"id": 7}, {"id": 7}]}', "holds images 7 twice"),
        ("list", '{"images": [{"id": 7}, {}]}', "Entry 1 of 'images' .* no field 'id'"),
        ("nested", '{"a": {"1": 2, "1": 3}}', "holds nested a/1 twice"),
        ("nested", '{"a": [1]}', "no object at a; expected 2 levels of keys"),
        ("nested", "[]", "no object at its top"),
    ],
)
def test_a_broken_file_is_named_and_leaves_no_index(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    (tmp_path / "list.json").write_text(json.dumps(LIST))
    (tmp_path / "nested.json").write_text(json.dumps(NESTED))
    (tmp_path / f"{file}.json").write_text(text)
    with pytest.raises(InputError, match=message):
        _build(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"list.json", "nested.json"}


def test_a_broken_index_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"no database" * 100)
    assert _build(tmp_path).count("images") == 2


def test_a_missing_file_and_an_unwritable_place_are_said(tmp_path: Path) -> None:
    items = Items(name="x", path=tmp_path / "none.json", prefix="x")
    with pytest.raises(InputError, match=r"none\.json is missing"):
        index.build(tmp_path / "index.sqlite", [items])
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(InputError, match="Cannot write "):
        index.build(tmp_path / "none.json" / "index.sqlite", [items])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(entries: int) -> int:
        items = [{"id": n, "values": [0.5] * 40} for n in range(entries)]
        (tmp_path / "list.json").write_text(json.dumps({"images": items}))
        nested = {"a": {str(n): [0.5] * 40 for n in range(entries)}}
        (tmp_path / "nested.json").write_text(json.dumps(nested))
        del items, nested
        tracemalloc.start()
        _build(tmp_path)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    small = peak(300)
    assert peak(1200) < 1.2 * small < 4e6


def test_absurd_depth_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"annotations": ' + "[" * 100_000)
    items = index.Items(name="a", path=path, prefix="annotations")
    with pytest.raises(InputError, match=r"deep\.json is nested more than 2000 deep"):
        index.build(tmp_path / "index.sqlite", [items])
    assert not (tmp_path / "index.sqlite").exists()
