"""How right alerts were."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_hub.alerts.accuracy import Accuracy, interval


def test_precision_is_the_share_of_true_among_labelled() -> None:
    found = Accuracy("pump", true=6, false=1, normal=1, unlabelled=92, device_weeks=4.0)
    assert (found.precision, found.false_alarms, found.labelled) == (0.75, 2, 8)
    assert found.false_per_device_week == 0.5
    assert found.fields()["alerts"] == 100


def test_nothing_is_said_of_what_nobody_labelled_or_watched() -> None:
    fields = Accuracy("pump", unlabelled=3).fields()
    nothing = ("precision", "precision_low", "precision_high", "device_weeks", "false_per_device_week")
    assert [fields[name] for name in nothing] == [None] * 5
    assert Accuracy("pump", false=3, device_weeks=0.0).false_per_device_week is None


def test_false_alarms_of_the_time_watched_come_before_labels() -> None:
    assert Accuracy("pump", false=1, device_weeks=2.0, false_in_weeks=5.0).false_per_device_week == 2.5


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.integers(1, 100_000), st.data())
def test_the_interval_holds_the_share_and_narrows_with_more(number: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, number))
    low, high = interval(hits, number)
    assert 0.0 <= low <= hits / number <= high <= 1.0
    four_low, four_high = interval(4 * hits, 4 * number)
    assert four_high - four_low < high - low


def test_the_interval_is_wilsons() -> None:
    # With no hits it ends at z²/(n + z²).
    assert interval(0, 10) == pytest.approx((0.0, 3.8415 / 13.8415), abs=1e-4)
    assert interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
