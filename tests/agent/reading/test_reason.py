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


def test_the_sentence_names_what_was_looked_at_when_it_is_not_the_value() -> None:
    one = ChannelReason("flow", 4.2, 1.0, 2.0, 1.0, aspect="mean of the last 24 readings", unit="l/s")
    assert reason.anomaly([one]) == "flow: mean of the last 24 readings 4.2 l/s, usually 1–2"


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
    aspect = "mean of the last few readings, by what the other channels show"
    one = ChannelReason("flow", 4.2, 1.0, 2.0, 1.0, aspect=aspect, unit="l/s")
    said = "flow: mean of the last few readings 4.2 l/s, usually 1–2 by what the other channels show"
    assert reason.anomaly([one]) == said


def test_channels_that_hardly_count_are_not_named() -> None:
    reasons = [ChannelReason(name, 4.0, 1.0, 2.0, share) for name, share in (("a", 0.96), ("b", 0.03), ("c", 0.01))]
    assert reason.anomaly(reasons) == "a 4, usually 1–2"
