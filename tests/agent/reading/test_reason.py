from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading import reason
from vedette_models.messages import ChannelReason
from vedette_models.profile import Channel

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "resolution", "said"),
    [
        (21.4567, 0.8, "21.46"),
        (1013.2512, 0.02, "1013.251"),
        (123456.7, 3000.0, "123457"),
        (0.0, 0.0, "0"),
        (-0.0001, 1.0, "0"),
        (100.0, 0.0, "100"),
        (-40.0, 165.0, "-40"),
        (5e-324, 0.0, "4.941e-324"),
        (1e100, 5.0, "1e+100"),
        (1.3e-18, 0.98, "0"),
        (2e-9, 4e-9, "2e-09"),
    ],
)
def test_a_number_has_the_digits_worth_reading(value: float, resolution: float, said: str) -> None:
    assert reason.number(value, resolution) == said


@settings(max_examples=300, derandomize=True, deadline=None)
@given(finite, finite, finite)
def test_any_finite_numbers_make_a_short_sentence(value: float, low: float, high: float) -> None:
    one = ChannelReason("t", value, min(low, high), max(low, high), 1.0, unit="°C")
    assert len(reason.anomaly([one])) < 120
    assert len(reason.impossible(Channel("t", low=min(low, high), high=max(low, high)), value)) < 200
    assert json.loads(msgspec.json.encode(one))["value"] == value


@pytest.mark.parametrize(
    ("aspect", "value", "said"),
    [
        ("value", 4.2, "flow 4.2 l/s, usually 1–2"),
        ("value, in the last 6 h", 4.2, "flow 4.2 l/s, between 1 and 2 in the last 6 h"),
        ("value, given the 2 h before", 4.2, "flow 4.2 l/s, usually 1–2 given the 2 h before"),
        ("average over the last 2 h", 4.2, "flow averages 4.2 l/s over the last 2 h, usually 1–2"),
        (
            "average over the last 2 h, in the last 28 days",
            4.2,
            "flow averages 4.2 l/s over the last 2 h, usually 1–2 in the last 28 days",
        ),
        (
            "step from one reading to the next over the last 1 h",
            4.2,
            "flow swings more than usual: 4.2 l/s from one reading to the next over the last 1 h, usually 1–2",
        ),
        (
            "step from one reading to the next over the last 4 h",
            0.5,
            "flow moves less than usual: 0.5 l/s from one reading to the next over the last 4 h, usually 1–2",
        ),
        (
            "distance to the most similar moment of the last 25 h",
            4.2,
            "flow moves as it never did in the last 25 h: 4.2 l/s from the most similar moment, usually 1–2",
        ),
        ("swing over the last day", 4.2, "flow: swing over the last day 4.2 l/s, usually 1–2"),
    ],
)
def test_the_sentence_says_what_was_looked_at_and_what_usual_refers_to(aspect: str, value: float, said: str) -> None:
    assert reason.anomaly([ChannelReason("flow", value, 1.0, 2.0, 1.0, aspect=aspect, unit="l/s")]) == said


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.00012, 1e-7, 2e-7, "t 1.2e-4, usually 1e-7 to 2e-7"),
        (1013.25, 1013.2, 1013.2, "t 1013.25, usually 1013.2"),
        (-4.0, -2.0, 1.0, "t -4, usually -2 to 1"),
    ],
)
def test_small_numbers_and_narrow_ranges_read_well(value: float, low: float, high: float, said: str) -> None:
    assert reason.anomaly([ChannelReason("t", value, low, high, 1.0)]) == said


def test_what_never_changed_of_late_is_said_to_be_always_so() -> None:
    one = ChannelReason("t", 4.0, 1.0, 1.0, 1.0, aspect="value, in the last 6 h")
    assert reason.anomaly([one]) == "t 4, always 1 in the last 6 h"


def test_what_the_value_usually_is_at_such_a_time_is_said_behind_it() -> None:
    one = ChannelReason("flow", 4.2, 1.0, 2.0, 1.0, aspect="value at this hour of the week", unit="l/s")
    assert reason.anomaly([one]) == "flow 4.2 l/s, usually 1–2 at this hour of the week"


def test_channel_names_are_said_as_they_are() -> None:
    reasons = [ChannelReason(name, 4.0, 1.0, 2.0, 0.25) for name in ("hum%", "100%", "c", "d")]
    assert reason.anomaly(reasons) == "hum% 4, usually 1–2; 25 % of the score, with 100%, c and 1 more"


def test_a_series_that_never_changed_has_one_usual_value() -> None:
    assert reason.anomaly([ChannelReason("t", 4.0, 1.0, 1.0, 1.0)]) == "t 4, usually 1"


def test_one_open_end_is_said_as_such() -> None:
    assert "at most 5;" in reason.impossible(Channel("t", high=5.0), 9.0)
    assert "at least 0;" in reason.impossible(Channel("t", low=0.0), -9.0)


def test_without_reasons_there_is_still_a_sentence() -> None:
    assert reason.anomaly([]) == "unusual readings"


def test_what_a_range_holds_for_is_said_behind_it() -> None:
    aspect = "average over the last few readings, by what the other channels show"
    one = ChannelReason("flow", 4.2, 1.0, 2.0, 1.0, aspect=aspect, unit="l/s")
    said = "flow averages 4.2 l/s over the last few readings, usually 1–2 by what the other channels show"
    assert reason.anomaly([one]) == said


def test_channels_that_hardly_count_are_not_named() -> None:
    reasons = [ChannelReason(name, 4.0, 1.0, 2.0, share) for name, share in (("a", 0.96), ("b", 0.03), ("c", 0.01))]
    assert reason.anomaly(reasons) == "a 4, usually 1–2"
