"""What people said about alerts, and what sensors had, decides which readings are learnt as normal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.learning.readings import START, series, source
from vedette_hub.learning import hygiene
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.hygiene import LEFT_OUT, Mark, Period

MINUTE = 60.0
WIDTH = 16


def period(first: float, last: float, mark: Mark, device: str = "pump-1") -> Period:
    """Minutes after the series' first reading."""
    return Period(device, START + MINUTE * first, START + MINUTE * last, mark)


def marks(*periods: Period, readings: int = 200) -> list[Mark]:
    (found,) = hygiene.mark([series(1, readings)], periods, WIDTH)
    return [Mark.NORMAL] * readings if found.marks is None else [Mark(int(value)) for value in found.marks]


def places(found: list[Mark], mark: Mark) -> tuple[int, int]:
    """First and last of an unbroken stretch."""
    where = [i for i, value in enumerate(found) if value is mark]
    assert where == list(range(where[0], where[-1] + 1))
    return where[0], where[-1]


def test_an_alert_labelled_true_is_marked_with_a_window_before_and_after_it() -> None:
    found = marks(period(100, 120, Mark.ANOMALOUS))
    assert places(found, Mark.ANOMALOUS) == (100, 120)
    assert [i for i, value in enumerate(found) if value is Mark.NEAR] == [*range(84, 100), *range(121, 137)]


def test_an_alert_labelled_false_is_marked_alone() -> None:
    found = marks(period(100, 120, Mark.FALSE_ALARM))
    assert places(found, Mark.FALSE_ALARM) == (100, 120)
    assert set(found) == {Mark.NORMAL, Mark.FALSE_ALARM}


def test_what_is_known_better_wins_whatever_came_first() -> None:
    known = [period(90, 130, Mark.SUSPECT), period(100, 120, Mark.FALSE_ALARM), period(110, 112, Mark.FAULT)]
    first, second = marks(*known), marks(*reversed(known))
    assert first == second
    assert [first[i] for i in (80, 95, 105, 111)] == [Mark.SUSPECT, Mark.SUSPECT, Mark.FALSE_ALARM, Mark.FAULT]


def test_what_goes_on_reaches_to_the_end_and_other_devices_are_untouched() -> None:
    assert places(marks(replace(period(150, 0, Mark.FAULT), last=math.inf)), Mark.FAULT) == (150, 199)
    assert set(marks(period(0, 199, Mark.FAULT, device="pump-2"))) == {Mark.NORMAL}


def test_a_fault_between_two_segments_reaches_a_window_into_both() -> None:
    before, after = series(1, 100), series(1, 100, start=START + 150 * MINUTE)
    found = hygiene.mark([before, after], [period(100, 149, Mark.FAULT)], WIDTH)
    assert [int((one.marks == Mark.MARGIN).sum()) for one in found if one.marks is not None] == [16, 16]


def test_a_segment_sent_because_of_an_alert_is_suspect_until_a_label_says_more() -> None:
    sent = hygiene.suspected(series(1, 32))
    assert set(hygiene.mark([sent], [], WIDTH)[0].marks.tolist()) == {Mark.SUSPECT}  # type: ignore[union-attr]
    (known,) = hygiene.mark([sent], [period(10, 31, Mark.FALSE_ALARM)], WIDTH)
    assert known.marks is not None
    assert set(known.marks[:10].tolist()) == {Mark.NORMAL}
    assert set(known.marks[10:].tolist()) == {Mark.FALSE_ALARM}


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(list(Mark)), max_size=40))
def test_cutting_loses_nothing_but_what_is_to_be_left_out(found: list[Mark]) -> None:
    one = Series("d", np.arange(float(len(found))), np.arange(float(len(found)))[:, None], np.array(found, np.uint8))
    pieces = hygiene.cut([one], LEFT_OUT)
    kept = [time for piece in pieces for time in piece.times.tolist()]
    assert kept == [i for i, mark in enumerate(found) if mark not in LEFT_OUT]
    assert all(len(piece) and (np.diff(piece.times) == 1).all() for piece in pieces)
    assert sum(note.count for note in hygiene.notes([one], LEFT_OUT)) == sum(mark is not Mark.NORMAL for mark in found)


def dataset(*periods: Period, at_least: int = 200):  # type: ignore[no-untyped-def]
    known = replace(source(series(1, 1000), series(2, 1000)), periods=periods)
    return build(known, width=WIDTH, at_least=at_least, at_most=10**6)


def reasons(found) -> dict[str, int]:  # type: ignore[no-untyped-def]
    return {note.reason: note.count for note in found.notes}


@pytest.mark.parametrize("mark", [Mark.FAULT, Mark.SUSPECT])
def test_windows_in_and_around_faults_and_open_questions_are_not_there_at_all(mark: Mark) -> None:
    found = dataset(period(300, 399, mark))
    for number, last in zip(found.vectors.series, found.vectors.position, strict=True):
        one = found.series[number]
        minutes = (one.times[last - WIDTH + 1 : last + 1] - START) / MINUTE
        assert one.device != "pump-1" or not ((minutes >= 284) & (minutes < 416)).any()
    assert any(note.endswith("left out") for note in reasons(found))
    assert found.sha256 != dataset().sha256


def test_windows_labelled_true_are_judged_and_those_labelled_false_are_normal_time() -> None:
    found = dataset(period(300, 319, Mark.ANOMALOUS), period(600, 639, Mark.FALSE_ALARM))
    assert found.anomalous.sum() == 20 + WIDTH - 1
    near = [one.times[last] for one, last in _newest(found) if one.device == "pump-1"]
    minutes = (np.array(near) - START) / MINUTE
    assert not ((minutes >= 284) & (minutes < 300)).any()
    assert not (minutes == 335).any()
    assert (minutes == 336).any()
    assert 0 < found.excused.sum() <= 40 + WIDTH - 1
    assert not (found.trained & found.anomalous).any()
    assert (found.trained & found.excused).any()
    assert reasons(found)["during alerts labelled false or normal: kept as normal time"] == 40
    learnable = [(one.device, one.times[rows]) for one, rows in zip(found.series, found.learnable, strict=True)]
    assert 0.6 * found.readings < sum(len(times) for _, times in learnable) < 0.9 * found.readings
    at = START + 310 * MINUTE
    assert not any(device == "pump-1" and (times == at).any() for device, times in learnable)


def _newest(found):  # type: ignore[no-untyped-def]
    return [(found.series[s], p) for s, p in zip(found.vectors.series, found.vectors.position, strict=True)]


def test_unlabelled_alerts_are_kept_when_too_little_would_be_left_and_that_is_said() -> None:
    everything = [period(0, 999, Mark.SUSPECT), period(0, 899, Mark.SUSPECT, device="pump-2")]
    assert dataset(*everything, at_least=50).readings < 100
    found = dataset(*everything)
    assert found.readings == 2000
    assert any("too little would be left" in reason for reason in reasons(found))


def test_faults_are_left_out_even_when_too_little_is_left_and_the_refusal_says_so() -> None:
    with pytest.raises(TrainingRefusedError, match=r"during faults of the sensor: left out"):
        dataset(period(0, 999, Mark.FAULT), period(0, 899, Mark.FAULT, device="pump-2"))
