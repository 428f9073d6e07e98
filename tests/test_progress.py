"""Progress: bars on terminals alone, and a few plain lines in what becomes a log."""

import io
import sys

import pytest

from twohand_jax import progress
from twohand_jax.progress import MIB, Bar


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines(capsys) -> list[str]:
    text = capsys.readouterr().err
    assert "\r" not in text  # of a bar that is drawn again
    return text.splitlines()


def work(bar: Bar, clock: Clock, *, steps: int, seconds: float) -> None:
    with bar:
        for _ in range(steps):
            clock.now += seconds
            bar.update()


def test_short_work_leaves_no_line(capsys, clock):
    work(Bar(total=100, unit="img", clock=clock), clock, steps=100, seconds=0.2)
    assert lines(capsys) == []


def test_a_log_gets_a_line_every_tenth_and_one_at_the_end(capsys, clock):
    bar = Bar(total=1000, unit="img", name="evaluate", clock=clock)
    work(bar, clock, steps=995, seconds=1.0)
    found = lines(capsys)
    assert len(found) == 10
    assert found[0] == "evaluate: 100 of 1,000 (10%) img, 1.0 img/s, 15:00 left"
    assert found[-1].startswith("evaluate: 995 of 1,000 (100%) img")


def test_fast_work_waits_and_slow_work_is_heard_of(capsys, clock):
    work(Bar(total=1000, unit="img", clock=clock), clock, steps=1000, seconds=0.1)
    assert len(lines(capsys)) == 4  # three times 30 s, and the end
    work(Bar(total=100_000, unit="img", clock=clock), clock, steps=20, seconds=100)
    assert len(lines(capsys)) == 7  # every 300 s, and the end


def test_without_a_total_lines_grow_rare(capsys, clock):
    work(Bar(total=None, unit="frame", clock=clock), clock, steps=600, seconds=2.0)
    found = lines(capsys)
    assert found[0] == "15 frame, 0.5 frame/s"
    assert 20 < len(found) < 40  # of 600, the later the rarer


def test_what_an_earlier_run_did_counts_but_not_as_speed(clock):
    bar = Bar(total=100, done=40, unit="img", clock=clock)
    clock.now = 10.0
    bar.update(20)
    bar.note("loss 0.500")
    assert bar.line() == "60 of 100 (60%) img, 2.0 img/s, 0:20 left, loss 0.500"


def test_bytes_are_shown_in_mebibytes(clock):
    bar = Bar(total=8 * MIB, unit=progress.BYTES, clock=clock)
    clock.now = 2.0
    bar.update(4 * MIB)
    assert bar.line() == "4 of 8 (50%) MiB, 2.0 MiB/s, 0:02 left"


def test_hours_are_told_as_hours():
    assert progress.duration(3 * 3600 + 62) == "3:01:02"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_unless_it_is_quiet(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(Bar(total=3, unit="img", name="cues").count("abc")) == list("abc")
    drawn = sys.stderr.getvalue()
    assert "\r" in drawn and "cues" in drawn and "3/3" in drawn
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.quiet():
        assert list(Bar(total=3, unit="img").count("abc")) == list("abc")
        with progress.quiet(False):  # a command in a command stays quiet
            list(Bar(total=3, unit="img").count("abc"))
    assert sys.stderr.getvalue() == ""


def test_quiet_leaves_results_and_no_notes(capsys, clock):
    with progress.quiet():
        progress.say("wrote a.md")
        progress.show("| table |")
        bar = Bar(total=10, unit="img", clock=clock)
        work(bar, clock, steps=10, seconds=100.0)
    assert capsys.readouterr() == ("| table |\n", "")
    progress.say("wrote a.md")
    assert capsys.readouterr().out == "wrote a.md\n"


def test_tables_have_no_bars_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    progress.show("| a |\n| --- |\n| 1 |")
    assert sys.stdout.getvalue().splitlines() == ["a", "───", "1"]
