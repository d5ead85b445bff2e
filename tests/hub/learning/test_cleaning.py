"""What is left out of training data, and that it is said."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_hub.learning.cleaning import Series, channel_notes, clean

NAN = np.nan


def series(device: str, times: list[float], values: list[list[float]]) -> Series:
    return Series(device, np.array(times, float), np.array(values, float).reshape(len(times), -1))


def test_unordered_times_are_sorted_and_repeated_ones_dropped_across_segments() -> None:
    parts = [series("a", [3, 1, 2, 2], [[3], [1], [2], [9]]), series("a", [3, 4], [[7], [4]]), series("b", [3], [[5]])]
    cleaned, notes = clean(parts)
    assert [(one.device, one.times.tolist(), one.values[:, 0].tolist()) for one in cleaned] == [
        ("a", [1, 2, 3], [1, 2, 3]),
        ("a", [4], [4]),
        ("b", [3], [5]),
    ]
    assert sorted((note.count, note.reason.split(":")[0]) for note in notes) == [
        (1, "older than the one before it"),
        (2, "its device has another reading at that time"),
    ]


def test_what_is_not_finite_or_empty_is_dropped_and_said() -> None:
    cleaned, notes = clean([series("a", [1, NAN, 3, 4], [[1, NAN], [1, 1], [np.inf, 1], [NAN, NAN]])])
    assert [one.times.tolist() for one in cleaned] == [[1]]
    assert {note.reason: note.count for note in notes} == {
        "its time or a value is not finite: left out": 2,
        "reports no channel: left out": 1,
    }


def test_constant_and_silent_channels_are_named() -> None:
    notes = channel_notes([series("a", [1, 2], [[1, NAN, 5], [2, NAN, 5]])], ["flow", "heat", "level"])
    assert [(note.name, note.count) for note in notes] == [("heat", 0), ("level", 2)]
    assert "always 5" in notes[1].reason


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), max_size=4))
def test_every_time_of_a_device_is_there_once_in_order(times: list[list[int]]) -> None:
    cleaned, notes = clean([series("a", [float(t) for t in part], [[1.0]] * len(part)) for part in times])
    found = [time for one in cleaned for time in one.times.tolist()]
    assert sorted(found) == sorted({float(t) for part in times for t in part})
    assert all((np.diff(one.times) > 0).all() for one in cleaned)
    left_out = sum(note.count for note in notes if note.reason.endswith("left out"))
    assert len(found) + left_out == sum(map(len, times))
