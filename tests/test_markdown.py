"""Tables: aligned in Markdown, without bars and no wider than a terminal."""

from twohand_jax import markdown

HEAD = ("", "MPJPE", "note")
ROWS = [("image", "27.95", "a"), ("+ depth", "–", "much longer")]


def test_columns_are_aligned_and_numbers_stand_to_the_right():
    lines = markdown.table(HEAD, ROWS).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------- | ----: | ----------- |"
    assert lines[2] == "| image   | 27.95 | a           |"
    assert lines[3] == "| + depth |     – | much longer |"


def test_a_terminal_sees_no_bars_and_text_as_it_is():
    text = f"title\n\n{markdown.table(HEAD, ROWS)}\n\nnote | with a bar"
    shown = markdown.for_terminal(text, 80).splitlines()
    assert shown[0] == "title" and shown[-1] == "note | with a bar"
    assert shown[2].split() == ["MPJPE", "note"]
    assert shown[4] == "image    27.95  a"
    assert not any("|" in line for line in shown[:-1])


def test_what_is_too_wide_goes_on_below_with_the_first_column():
    head = ("", *(f"column {n}" for n in range(12)))
    rows = [("row", *(f"{n}.50" for n in range(12)))]
    shown = markdown.for_terminal(markdown.table(head, rows), 40).splitlines()
    assert max(map(len, shown)) <= 40
    found = [line for line in shown if line.startswith("row")]
    assert len(found) > 1
    cells = [cell for line in found for cell in line.split()[1:]]
    assert cells == [f"{n}.50" for n in range(12)]
