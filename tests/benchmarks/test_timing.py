"""Programs are timed in turns, by the clock that is asked for."""

import itertools

from twohand_jax.benchmarks import report


def test_programs_take_turns():
    order = []
    programs = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = report.interleaved(programs, repetitions=3, warmup=1)
    assert "".join(order) == "ab" + "ab" * 3
    assert set(timings) == {"a", "b"}
    order.clear()
    report.interleaved(programs, repetitions=2, warmup=0, untimed=1)
    assert "".join(order) == "aabb" * 2
    assert all(0 <= t.minimum_ms <= t.median_ms for t in timings.values())


def test_times_are_of_the_given_clock():
    """A clock that runs 1 s between any two looks: every call takes a second."""
    clock = itertools.count().__next__
    timings = report.interleaved({"a": int}, repetitions=3, clock=clock)
    assert timings == {"a": report.Timing(1000.0, 1000.0)}
