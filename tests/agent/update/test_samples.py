"""Samples: within the budget, in rows that every broker takes, and no profile in another's way."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading.reservoir import Reservoir
from vedette_agent.update.samples import DAY, ROW_BYTES, Budget, pack, pack_both
from vedette_models import messages
from vedette_models.messages import SampleBatch, Segment
from vedette_models.readings import ReadingBatch

CHANNELS = ("a", "b")


def segment(readings: int, device: str = "d", start: float = 0.0, channels: int = 2) -> Segment:
    times = tuple(start + i for i in range(readings))
    return Segment(device, times, tuple((i + 0.123456789,) * channels for i in range(readings)))


def batch(size: int, profile: str = "p") -> SampleBatch:
    return SampleBatch(profile, CHANNELS, (segment(1, "x" * size),), 0.0)


def size_of(sample: SampleBatch) -> int:
    return len(messages.to_bytes(sample))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 60), max_size=12), st.integers(1, 4_000))
def test_every_reading_is_packed_once_in_order_and_no_row_is_too_large(lengths: list[int], most: int) -> None:
    segments = [segment(length, f"d{i}", 1_000.0 * i) for i, length in enumerate(lengths)]
    rows = list(pack("p", CHANNELS, segments, 5.0, most))
    readings = [
        (s.device, time, values)
        for row in rows
        for s in row.segments
        for time, values in zip(s.times, s.values, strict=True)
    ]
    assert readings == [(s.device, t, v) for s in segments for t, v in zip(s.times, s.values, strict=True)]
    for row in rows:
        assert (row.profile, row.channels, row.time) == ("p", CHANNELS, 5.0)
        assert len(msgspec.json.encode(row.segments)) <= most + 2 or all(len(s.times) == 1 for s in row.segments)


def test_segments_that_fit_are_not_cut() -> None:
    segments = [segment(32, f"d{i}") for i in range(200)]
    rows = list(pack("p", CHANNELS, segments, 0.0))
    assert [s for row in rows for s in row.segments] == segments
    assert len(rows) > 1
    assert max(map(size_of, rows)) < 1.1 * ROW_BYTES


def test_the_widest_and_longest_segment_stays_a_message_that_is_taken() -> None:
    rows = list(pack("p", tuple(f"c{i}" for i in range(512)), [segment(1_000, channels=512)], 0.0))
    assert max(map(size_of, rows)) < messages.MAX_BYTES / 2
    assert sum(len(s.times) for row in rows for s in row.segments) == 1_000


def test_a_quarter_of_a_day_may_go_at_once_and_the_rest_as_time_passes() -> None:
    budget = Budget(4_000, 100.0)
    assert not budget.take(1_001, 100.0)
    assert budget.take(1_000, 100.0)
    assert not budget.take(1, 100.0)
    assert budget.take(2_000, 100.0 + DAY / 2) is False, "no more than a quarter is saved up"
    assert budget.take(1_000, 100.0 + DAY / 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 5_000), st.integers(1, 900)), max_size=60))
def test_no_day_takes_more_than_its_bytes_and_what_may_go_at_once(steps: list[tuple[float, int]]) -> None:
    budget, now, spent = Budget(2_000, 0.0), 0.0, 0
    for pause, size in steps:
        now += pause
        spent += size if budget.take(size, now) else 0
        assert spent <= 500 + 2_000 * now / DAY + 1e-6


def test_a_clock_that_goes_backwards_gives_nothing() -> None:
    budget = Budget(4_000, 1_000.0)
    assert budget.take(1_000, 1_000.0)
    assert not budget.take(1, 0.0)
    assert not budget.take(1, 1_000.0)


@pytest.mark.parametrize("bytes_per_day", [8 * 1024, 64 * 1024, 4 * 2**20])
def test_rows_fit_however_small_the_budget_is(bytes_per_day: int) -> None:
    budget = Budget(bytes_per_day, 0.0)
    segments = [segment(32, f"d{i}") for i in range(64)]
    assert budget.choose([pack("p", CHANNELS, segments, 0.0, budget.row_bytes)], 0.0)


def test_what_is_suspect_goes_first_and_says_so() -> None:
    reservoir = Reservoir(1, 2, 4)
    batch = ReadingBatch.of([0, 0, 1, 1], [0.0, 1.0, 0.0, 1.0], np.ones((4, 1)))
    reservoir.offer(batch, np.zeros(4, np.bool_), lambda row: f"d{row}", np.array([False, True, False, False]))
    rows = list(pack_both("p", CHANNELS[:1], reservoir, 0.0, ROW_BYTES))
    assert [(row.suspect, [segment.device for segment in row.segments]) for row in rows] == [
        (True, ["d0"]),
        (False, ["d1"]),
    ]
    assert list(pack_both("p", CHANNELS[:1], reservoir, 0.0, ROW_BYTES)) == []


def test_nothing_is_sent_where_nothing_may_be() -> None:
    assert Budget(0, 0.0).choose([[batch(1)]], DAY) == []


def test_profiles_take_turns() -> None:
    budget = Budget(4 * 6 * size_of(batch(100)), 0.0)
    offered = [[batch(100, profile)] * 5 for profile in "abc"]
    assert [sample.profile for sample in budget.choose(offered, 0.0)] == ["a", "b", "c", "a", "b", "c"]


def test_a_row_that_is_too_large_does_not_hold_up_the_next() -> None:
    budget = Budget(4 * 1_000, 0.0)
    assert budget.choose([[batch(2_000, "large")], [batch(100, "small")]], 0.0) == [batch(100, "small")]
