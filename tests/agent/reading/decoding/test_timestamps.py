"""Times by magnitude and as text."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.config import TimePolicy
from vedette_agent.reading.decoding.timestamps import EARLIEST, Arrival, judge, seconds
from vedette_models.readings import Quality

NOW = 1_700_000_000.0


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.integers(100_000_000, 99_999_999_999), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_a_moment_after_march_1973_is_the_same_in_every_unit(moment: int, unit: int) -> None:
    assert seconds([float(moment * unit)])[0] == pytest.approx(moment, rel=1e-15)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.datetimes(datetime(1901, 1, 1), datetime(9998, 1, 1)), st.integers(-23 * 60, 23 * 60))
def test_iso_8601_with_offset_without_and_with_z(moment: datetime, offset: int) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert seconds([there.isoformat()])[0] == there.timestamp()
    utc = moment.replace(tzinfo=UTC).timestamp()
    assert seconds([moment.isoformat(), f"{moment.isoformat()}Z", moment.isoformat(" ")]).tolist() == [utc] * 3


@pytest.mark.parametrize(
    "text", ["", "now", "12:00", "20231114", "1700000000", "2023-13-01", "2023-11-14T25:00", "2023-", "x" * 10**6,
             "2023-11-14T22:13:20" + "0" * 100, "-023-01-01", "٢٠٢٣-١١-١٤", "0001-01-01T00:00:00+23:59"],
)  # fmt: skip
def test_other_texts_are_no_times(text: str) -> None:
    assert seconds([text])[0] == math.inf


@pytest.mark.parametrize("number", [1e20, 1e300, -1e13, EARLIEST - 1, math.inf, -math.inf])
def test_other_numbers_are_no_times(number: float) -> None:
    assert seconds([number])[0] == math.inf


def test_times_of_all_kinds_stand_in_one_column() -> None:
    found = seconds([NOW, None, "2023-11-14T22:13:20Z", NOW * 1e3, "no", "9000-01-01", -5.0])
    assert np.array_equal(found, [NOW, math.nan, NOW, NOW, math.inf, 221_845_392_000.0, -5.0], equal_nan=True)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.floats(NOW - 20, NOW + 20), min_size=1), st.booleans())
def test_the_short_cut_for_plain_seconds_decides_as_the_long_way(moments: list[float], limited: bool) -> None:
    policy = TimePolicy(max_age=10 if limited else None, max_ahead=10)
    short, long = judge(moments, Arrival(NOW), policy), judge([*moments, None], Arrival(NOW), policy)
    assert short.seconds.tolist() == long.seconds[:-1].tolist()
    assert short.quality.tolist() == long.quality[:-1].tolist()
    assert short.refused == long.refused
    for i, moment in enumerate(moments):
        assert (i in short.refused) == (limited and moment < NOW - 10)
        assert (short.quality[i] == Quality.CLOCK_AHEAD) == (moment > NOW + 10)


def test_while_our_own_clock_is_not_set_a_device_is_believed_where_it_can_be_right() -> None:
    unset = int(Quality.GATEWAY_UNSET)
    found = judge([1.79e9, None, 1e6, 9e9, "never", "2026-09-22T00:00:00Z"], Arrival(60.0, unset), TimePolicy())
    assert found.seconds.tolist()[:4] == [1.79e9, 60.0, 60.0, 60.0]
    assert found.quality.tolist()[:4] == [
        unset,
        unset | Quality.ARRIVAL_TIME,
        unset | Quality.CLOCK_WRONG,
        unset | Quality.CLOCK_WRONG,
    ]
    assert found.seconds[5] == datetime(2026, 9, 22, tzinfo=UTC).timestamp()
    assert list(found.refused) == [4]
    assert np.isnan(found.ahead).all(), "nobody is told that its clock is wrong by one that is not set"


def test_what_is_known_of_our_clock_goes_with_every_time() -> None:
    unsynced = int(Quality.GATEWAY_UNSYNCED)
    assert judge([NOW, NOW - 1], Arrival(NOW, unsynced), TimePolicy()).quality.tolist() == [unsynced, unsynced]
    assert judge([None], Arrival(NOW, unsynced), TimePolicy()).quality.tolist() == [unsynced | Quality.ARRIVAL_TIME]
