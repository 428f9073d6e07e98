import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.inspection import report
from twohand_jax.inspection.check import Violation
from twohand_jax.inspection.report import SplitReport, Strip
from twohand_jax.inspection.summary import Summary, measure_errors


@pytest.fixture
def part(fields, hand_model) -> SplitReport:
    fields["subset"][:] = b"<b>bold</b>"
    summary = Summary()
    summary.add(fields, measure_errors(fields, hand_model))
    strips = [Strip(np.full((32, 140, 3), 99, np.uint8), f"<i>{n}") for n in range(3)]
    violation = Violation("an <odd> kind", 1234, ("record 3 of a shard",))
    return SplitReport("train", summary, strips, [violation], 2.0)


def test_the_page_tells_all_and_escapes_it(part, consistent_set, tmp_path):
    out = tmp_path / "report.html"
    report.write(out, consistent_set, [part], model="a & b")
    text = out.read_text()
    for expected in (
        "Pairs &amp; &lt;nothing&gt; else.",
        "train: 5 records",
        "an &lt;odd&gt; kind",
        "1,234",
        "&lt;b&gt;bold&lt;/b&gt;",
        "ground truth 1",
        "hands/<wbr>joints_<wbr>3d_<wbr>valid",
        "IoU of the two hands&#x27; boxes",
        "a &amp; b",
    ):
        assert expected in text, expected
    assert text.count("<figure") == 3
    flat = [one for one in part.summary.histograms.values() if one.is_flat]
    assert text.count("<svg") == len(part.summary.histograms) - len(flat) > 0
    assert all(one.ends() in text for one in flat)
    assert "<i>0" not in text
    assert list(tmp_path.iterdir()) == [out]


def test_a_set_without_violations_says_so(part, consistent_set, tmp_path):
    for violations, sentence in (([], "no violation"), (None, None)):
        out = tmp_path / "report.html"
        changed = part._replace(violations=violations)
        report.write(out, consistent_set, [changed], model="m")
        assert ("no violation" in out.read_text()) == (sentence is not None)


def test_what_the_build_left_out_is_told(part, tmp_path):
    entry = {"reason": "not <sharp>", "count": 7, "examples": ["a", "b"]}
    (tmp_path / "rejections.json").write_text(json.dumps([entry]))
    rejections = report.read_rejections(tmp_path)
    text = report.html({}, [part], model="m", rejections=rejections)
    assert "not &lt;sharp&gt;" in text
    assert "a, b" in text


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', None])
def test_rejections_that_cannot_be_read_are_none(tmp_path, content):
    if content is not None:
        (tmp_path / "rejections.json").write_text(content)
    assert report.read_rejections(tmp_path) == []


def test_the_sheet_is_a_picture_of_all_strips(part, consistent_set, tmp_path):
    out = tmp_path / "sheet.png"
    parts = [part, part._replace(split="test")]
    report.write(out, consistent_set, parts, model="m")
    assert cv2.imread(str(out)).shape == (3 * 38 + 6, 2 * 146 + 6, 3)


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("report.pdf", 3, "must end with"),
        ("nowhere/report.html", 3, "folder that exists"),
        ("sheet.png", 0, "would be empty"),
    ],
)
def test_reports_that_cannot_be_are_refused(tmp_path: Path, name, count, message):
    with pytest.raises(InputError, match=message):
        report.check_path(tmp_path / name, count)
    report.check_path(tmp_path / "REPORT.HTML", 0)


def test_a_file_that_cannot_be_written(part, consistent_set, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        report.write(tmp_path / "report.html", consistent_set, [part], model="m")
