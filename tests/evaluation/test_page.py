"""The page of an evaluation: all of it in one file, and nothing unescaped."""

import dataclasses
import re

import numpy as np
import pytest

from tests.evaluation.made_results import made
from tests.viz.test_html import tags
from twohand_jax.evaluation import outputs, worst
from twohand_jax.evaluation.outputs import ResultTable
from twohand_jax.viz import charts
from twohand_jax.viz.charts import Axis, Series


@pytest.fixture(scope="module")
def table() -> ResultTable:
    results = [made(method="image"), made(method="<b>ours</b>", scale=0.8)]
    return ResultTable(results, title="A & B", rate=3.0, note="A note.")


def test_the_page_has_figures_intervals_curves_and_parts(table):
    text = table.page()
    assert tags(text).count("svg") > 4 and "<b>" not in text
    shown = re.sub(r"<[^>]*>", "", text)
    for method, row in table.rows.items():
        low, high = table.intervals[method]["MPJPE"]
        assert f"{row['MPJPE']:.2f}{low:.2f} – {high:.2f}" in shown
    assert "A &amp; B" in text and "A note." in text and "60 records" in text
    for title in ("Joints within a threshold", "MPJPE by IoU", "Error of each joint"):
        assert title in text
    assert "subset: clasped (n\u00a0=\u00a015)" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)


def test_the_worst_records_come_first_and_are_told_by_name_without_pictures(table):
    result = table.results[-1]
    found = worst.find(result, 3)
    errors = worst.errors_mm(result)
    assert [one.record for one in found] == np.argsort(-errors)[:3].tolist()
    text = table.page(found)
    places = [text.index(one.name.replace("-", "-<wbr>")) for one in found]
    assert places == sorted(places) and "<figure" not in text
    image = np.full((8, 8, 3), 200, np.uint8)
    text = table.page([found[0]._replace(image=image, subset="<i>")])
    assert text.count("<figure") == 1 and "&lt;i&gt;" in text


def test_records_that_a_protocol_skips_are_not_the_worst():
    result = made()
    joints = result.scores.joints_mm.copy()
    joints[:-2] = np.nan
    scores = result.scores._replace(joints_mm=joints)
    found = worst.find(dataclasses.replace(result, scores=scores), 8)
    assert sorted(one.record for one in found) == [58, 59]


def test_the_page_lies_beside_the_tables(table, tmp_path):
    paths = outputs.write(table, tmp_path, plots=False)
    assert {path.name for path in paths} == {"wrist.md", "wrist.json", "wrist.html"}
    assert (tmp_path / "wrist.html").read_text() == table.page()


LINE = Series("a", np.array([0.0, 1, 2]), np.array([0.0, np.nan, 10]), *np.ones((2, 3)))


def test_lines_are_drawn_where_their_numbers_are():
    axes = Axis("x", 0.0, 2.0), Axis("y", 0.0, 10.0)
    text = charts.lines("t", [LINE._replace(is_dotted=True)], *axes, note="n")
    (points,) = re.findall(r'<polyline points="([^"]*)"', text)
    first, last = (tuple(map(float, p.split(","))) for p in points.split())
    assert first == (charts.LEFT, charts.HEIGHT - charts.BOTTOM)
    assert last == (charts.WIDTH - charts.RIGHT, charts.TOP)
    assert text.count("<circle") == 2 and text.count('class="whisker"') == 2


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [((0, 100), [0, 20, 40, 60, 80, 100]), ((0, 0.07), [0, 0.02, 0.04, 0.06])],
)
def test_ticks_are_round_numbers(ends, ticks):
    np.testing.assert_allclose(charts.nice_ticks(*ends), ticks)
