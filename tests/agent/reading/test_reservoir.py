"""Readings to train with: whole segments of one device, nothing that was marked, and the same chance for each."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vedette_agent.reading.reservoir import Reservoir
from vedette_models.messages import Segment
from vedette_models.readings import Quality, ReadingBatch

PLENTY = 10_000
bounded = settings(max_examples=80, deadline=None, derandomize=True)


def name(row: int) -> str:
    return f"device-{row}"


def stream(device: list[int]) -> ReadingBatch:
    """Every reading has a time and values of its own; some channels are not reported."""
    n = len(device)
    values = np.column_stack([np.arange(n) + 0.5, -np.arange(n, dtype=float)])
    values[np.arange(n) % 3 == 1, 0] = np.nan
    values[np.arange(n) % 4 == 2, 1] = np.nan
    return ReadingBatch.of(device, np.arange(n, dtype=float), values)


def offer(reservoir: Reservoir, batch: ReadingBatch, bad: NDArray[np.bool_], cuts: list[int]) -> list[Segment]:
    edges = [0, *sorted(cut for cut in cuts if cut < len(batch)), len(batch)]
    for start, end in pairwise(edges):
        reservoir.offer(batch.take(slice(start, end)), bad[start:end], name)
    return reservoir.take()


def expected(batch: ReadingBatch, bad: NDArray[np.bool_], length: int) -> Counter[Segment]:
    """The same, reading by reading."""
    found: Counter[Segment] = Counter()
    part: dict[int, list[int]] = {}
    for row, device in enumerate(batch.device.tolist()):
        rows = part.setdefault(device, [])
        if bad[row]:
            rows.clear()
            continue
        rows.append(row)
        if len(rows) == length:
            values = tuple(tuple(None if np.isnan(v) else float(v) for v in batch.values[r]) for r in rows)
            found[Segment(name(device), tuple(float(batch.time[r]) for r in rows), values)] += 1
            rows.clear()
    return found


@bounded
@given(
    device=st.lists(st.integers(0, 4), max_size=150),
    bad=st.sets(st.integers(0, 149), max_size=15),
    length=st.integers(2, 6),
    cuts=st.lists(st.integers(0, 150), max_size=8),
)
def test_segments_are_the_consecutive_unmarked_readings_of_a_device_however_they_are_split(
    device: list[int], bad: set[int], length: int, cuts: list[int]
) -> None:
    batch = stream(device)
    marked = np.array([row in bad for row in range(len(device))], np.bool_)
    segments = offer(Reservoir(2, length, PLENTY), batch, marked, cuts)
    assert Counter(segments) == expected(batch, marked, length)


@bounded
@given(
    device=st.lists(st.integers(0, 4), max_size=150),
    bad=st.sets(st.integers(0, 149), max_size=10),
    striking=st.sets(st.integers(0, 149), max_size=10),
    length=st.integers(2, 6),
    cuts=st.lists(st.integers(0, 150), max_size=8),
)
def test_segments_with_something_suspect_in_them_are_kept_apart(
    device: list[int], bad: set[int], striking: set[int], length: int, cuts: list[int]
) -> None:
    batch = stream(device)
    marked, suspect = (np.array([row in rows for row in range(len(device))], np.bool_) for rows in (bad, striking))
    reservoir = Reservoir(2, length, PLENTY)
    for start, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(batch)), len(batch)]):
        reservoir.offer(batch.take(slice(start, end)), marked[start:end], name, suspect[start:end])
    apart, normal = reservoir.take_suspect(), reservoir.take()
    assert Counter([*apart, *normal]) == expected(batch, marked, length)
    times = set(batch.time[suspect].tolist())
    assert all(times & set(segment.times) for segment in apart)
    assert not any(times & set(segment.times) for segment in normal)


def test_a_quarter_as_many_suspect_segments_are_kept_and_a_forgotten_device_leaves_none() -> None:
    reservoir = Reservoir(1, 2, 8)
    device = np.arange(20).repeat(2)
    batch = ReadingBatch.of(device, device.astype(float), np.ones((40, 1)))
    reservoir.offer(batch, np.zeros(40, np.bool_), name, np.ones(40, np.bool_))
    assert len(reservoir) == 0
    kept = reservoir.take_suspect()
    assert len(kept) == 2
    reservoir.offer(batch.take(slice(0, 1)), np.zeros(1, np.bool_), name, np.ones(1, np.bool_))
    reservoir.forget(0, name(0))
    reservoir.offer(batch.take(slice(0, 2)), np.zeros(2, np.bool_), name, np.zeros(2, np.bool_))
    assert (len(reservoir.take()), reservoir.take_suspect()) == (1, [])


@bounded
@given(st.integers(1, 8), st.integers(0, 40))
def test_no_more_are_kept_than_there_is_room_for(capacity: int, offered: int) -> None:
    reservoir = Reservoir(1, 2, capacity)
    batch = ReadingBatch.of([0] * 2 * offered, range(2 * offered), np.ones((2 * offered, 1)))
    reservoir.offer(batch, np.zeros(2 * offered, np.bool_), name)
    assert len(reservoir) == min(capacity, offered)
    assert len(reservoir.take()) == min(capacity, offered)
    assert len(reservoir) == 0


def fill(reservoir: Reservoir, first: int, count: int) -> None:
    """A segment of two readings from each of so many devices."""
    device = np.arange(first, first + count).repeat(2)
    reservoir.offer(
        ReadingBatch.of(device, device.astype(float), np.ones((2 * count, 1))), np.zeros(2 * count, np.bool_), name
    )


def chosen(reservoir: Reservoir) -> list[int]:
    return [int(segment.times[0]) for segment in reservoir.take()]


def spread(counts: NDArray[np.intp], wanted: float, trials: int) -> float:
    """The largest distance from what was wanted, in standard deviations of a count."""
    share = wanted / trials
    return float(np.abs(counts - wanted).max() / np.sqrt(trials * share * (1.0 - share)))


def test_every_segment_has_the_same_chance() -> None:
    capacity, offered, trials = 5, 30, 3_000
    counts = np.zeros(offered, np.intp)
    reservoir = Reservoir(1, 2, capacity, seed=3)
    for _ in range(trials):
        fill(reservoir, 0, offered)
        counts[chosen(reservoir)] += 1
    assert counts.sum() == capacity * trials
    assert spread(counts, trials * capacity / offered, trials) < 4.0


def test_what_comes_after_a_forgotten_device_has_no_better_chance() -> None:
    trials, capacity, offered = 2_000, 4, 20
    counts = np.zeros(offered, np.intp)
    reservoir = Reservoir(1, 2, capacity, seed=5)
    for _ in range(trials):
        fill(reservoir, 0, 10)
        for device in range(5, 10):
            reservoir.forget(device, name(device))
        fill(reservoir, 10, 10)
        counts[chosen(reservoir)] += 1
    assert not counts[5:10].any()
    assert spread(np.delete(counts, range(5, 10)), trials * capacity / offered, trials) < 4.0


def test_a_forgotten_device_leaves_nothing_behind() -> None:
    reservoir = Reservoir(1, 3, 10)
    three = ReadingBatch.of([0, 1, 0, 1, 0, 1], range(6), [[1.0]] * 6)
    reservoir.offer(three, np.zeros(6, np.bool_), name)
    reservoir.offer(three.take(slice(0, 2)), np.zeros(2, np.bool_), name)  # unfinished
    reservoir.forget(0, name(0))
    reservoir.forget(99, "never seen")
    # Whoever is given its row does not inherit its unfinished segment.
    reservoir.offer(three.take(slice(0, 4)), np.zeros(4, np.bool_), lambda row: ["new", name(1)][row])
    assert [segment.device for segment in reservoir.take()].count("new") == 0
    reservoir.offer(three.take(slice(0, 1)), np.zeros(1, np.bool_), lambda _row: "new")
    assert [segment.device for segment in reservoir.take()] == ["new"]


def test_room_grows_with_the_devices_and_keeps_what_is_unfinished() -> None:
    reservoir = Reservoir(1, 2, 10)
    reservoir.offer(ReadingBatch.of([0], [0.0], [[1.0]]), np.zeros(1, np.bool_), name)
    reservoir.offer(ReadingBatch.of([999], [1.0], [[2.0]]), np.zeros(1, np.bool_), name)
    reservoir.offer(ReadingBatch.of([999, 0], [2.0, 3.0], [[3.0], [4.0]]), np.zeros(2, np.bool_), name)
    assert {(s.device, s.times) for s in reservoir.take()} == {("device-0", (0.0, 3.0)), ("device-999", (1.0, 2.0))}


def test_the_same_seed_chooses_the_same() -> None:
    samples = []
    for _ in range(2):
        reservoir = Reservoir(1, 2, 3, seed=7)
        fill(reservoir, 0, 50)
        samples.append(chosen(reservoir))
    assert samples[0] == samples[1]
    assert len(set(samples[0])) == 3


@pytest.mark.parametrize("value", [0.0, -1e300, 5e-324])
def test_values_come_out_as_they_went_in(value: float) -> None:
    reservoir = Reservoir(2, 2, 1)
    batch = ReadingBatch.of([0, 0], [0.0, 1.0], [[value, np.nan], [np.nan, value]])
    reservoir.offer(batch, np.zeros(2, np.bool_), name)
    assert reservoir.take()[0].values == ((value, None), (None, value))


def test_a_segment_says_what_is_known_of_its_times_and_the_next_one_does_not() -> None:
    reservoir = Reservoir(1, 2, 9)
    quality = [0, Quality.ARRIVAL_TIME, Quality.CLOCK_AHEAD, 0, 0, 0]
    batch = ReadingBatch.of([0] * 6, np.arange(6.0), np.ones((6, 1)), quality)
    reservoir.offer(batch, np.zeros(6, np.bool_), name)
    found = {segment.times[0]: segment.time_quality for segment in reservoir.take()}
    assert found == {0.0: Quality.ARRIVAL_TIME, 2.0: Quality.CLOCK_AHEAD, 4.0: 0}
