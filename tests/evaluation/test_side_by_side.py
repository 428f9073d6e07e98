"""Several models in one table: their names, rows and paired differences."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made_results import made
from twohand_jax.errors import InputError
from twohand_jax.evaluation import bootstrap, methods, outputs, side_by_side


def models() -> dict:
    return {
        "first": [
            made(method=methods.LABELS, scale=0.1),
            made(method="image"),
            made(method="+ keypoints", scale=0.8),
        ],
        "second": [made(method="image", scale=1.5)],
    }


def test_names_tell_directories_apart():
    for directories, expected in {
        ("weights/a", "weights/b"): ["a", "b"],
        ("a/model", "b/model"): ["a-model", "b-model"],
        ("a-b/c", "a/b-c"): ["c", "b-c"],
        ("x/a-b/c", "x/d/c"): ["a-b-c", "d-c"],
    }.items():
        assert side_by_side.labels(list(map(Path, directories))) == expected
    found = side_by_side.labels([Path("x-y/m"), Path("z/x-y/m"), Path("z/m")])
    assert len(set(found)) == 3


def test_the_same_directory_twice_is_refused():
    with pytest.raises(InputError, match="b/../a is given twice"):
        side_by_side.labels([Path("a"), Path("b/../a")])


def test_rows_are_named_after_their_models():
    found = side_by_side.joined(models())
    names = [one.method for one in found]
    assert names == ["labels", "first: image", "first: + keypoints", "second"]
    np.testing.assert_array_equal(
        found[-1].scores.joints_mm, models()["second"][0].scores.joints_mm
    )


def test_the_last_rows_are_compared_in_pairs():
    given = models()
    (what, found), *more = side_by_side.differences(given).items()
    assert what == "second minus first" and not more
    expected = bootstrap.difference(given["second"][0], given["first"][-1])
    assert found == expected and found["MPJPE"].low > 0


def test_other_records_are_refused():
    given = models() | {"third": [made(records=20)]}
    with pytest.raises(InputError, match="Evaluate both on the same"):
        side_by_side.differences(given)


def test_table_record_and_page_show_the_differences():
    given = models()
    table = side_by_side.table(given, title="two")
    found = table.differences["second minus first"]["MPJPE"]
    assert f"{found.value:+.2f}" in table.summary()
    assert "second minus first" in table.markdown()
    kept = table.record()["differences"]["second minus first"]["MPJPE"]
    assert kept == found._asdict()
    page = table.page()
    assert "second minus first" in page and f"{found.value:,.2f}" in page
    alone = outputs.ResultTable(given["first"], title="one", rate=float("nan"))
    assert "differences" not in alone.record() and "minus" not in alone.page()
