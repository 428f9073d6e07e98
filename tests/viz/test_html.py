import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from twohand_jax.viz import html as page

VOID = {"meta", "img", "input", "br", "wbr"}
NASTY = "<script>alert('x')</script> & \"quotes\""


class Balanced(HTMLParser):
    """Checks that every element is closed by its own end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def tags(text: str) -> list[str]:
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    return parser.seen


EDGES, COUNTS = np.linspace(0, 1, 6), np.array([1, 0, 4, 2, 8])
PARTS = {
    "element": lambda: page.element("p", NASTY),
    "table": lambda: page.table((NASTY, "n"), [(NASTY, "3"), ("b", "4")]),
    "shares": lambda: page.shares(NASTY, [(NASTY, 3), ("", 1)], 4),
    "histogram": lambda: page.histogram(NASTY, EDGES, COUNTS, NASTY),
    "figure": lambda: page.figure(np.zeros((4, 4, 3), np.uint8), NASTY),
    "card": lambda: page.card(NASTY, ""),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_are_balanced_and_escape_what_they_are_given(part):
    text = PARTS[part]()
    assert "script" not in tags(text)
    assert "<script" not in text


def test_a_page_needs_nothing_from_outside():
    text = page.page(NASTY, [make() for make in PARTS.values()])
    assert {"html", "head", "style", "body"} <= set(tags(text))
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "prefers-color-scheme: dark" in text
    assert text.startswith("<!doctype html>")


def test_bars_are_as_high_as_their_counts():
    text = page.histogram("x", EDGES, COUNTS, "")
    heights = [float(h) for h in re.findall(r"<rect[^>]*height=\"([\d.]+)\"", text)]
    expected = COUNTS / COUNTS.max() * max(heights)
    np.testing.assert_allclose(heights, expected, atol=0.06)
    assert "0.4 to 0.6: 4" in text


def test_a_histogram_of_nothing_says_so():
    text = page.histogram("x", EDGES[:1], COUNTS[:0], "note")
    assert "none" in text
    assert "svg" not in tags(text)


def test_a_figure_holds_its_picture():
    image = np.zeros((16, 32, 3), np.uint8)
    image[..., 0] = 200
    code = re.search(r"base64,([^\"]+)", page.figure(image, "red"))
    data = np.frombuffer(base64.b64decode(code.group(1)), np.uint8)
    found = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert found.shape == image.shape
    assert abs(found[8, 16].astype(int) - [200, 0, 0]).max() < 8


def test_numbers_are_set_as_numbers():
    text = page.table(("name", "count"), [("a", "1,234")])
    assert '<th class="n">count</th>' in text
    assert '<td class="n">1,234</td>' in text
    assert "<td>a</td>" in text
    assert page.table(("name", "count"), []).count("<tr>") == 1
    assert (
        page.table((), [("3D", "x")]) == "<table><tr><td>3D</td><td>x</td></tr></table>"
    )


def test_names_break_between_their_parts_and_not_in_a_word():
    text = page.element("td", "hands/joints_2d <a-b> -5 1,234.5")
    assert text == "<td>hands/<wbr>joints_<wbr>2d &lt;a-<wbr>b&gt; -5 1,234.5</td>"
    assert "anywhere" not in page.STYLE and "break-all" not in page.STYLE
