"""The account that the examples print."""

from __future__ import annotations

import pytest

from examples.injected import DAY, HOUR, WEEK, Injected, account, duration, show
from vedette_models.messages import Alert

FAULT = Injected("pump runs dry", "p1", 10 * DAY, 10 * DAY + HOUR)


def alert(opened: float, device: str = "p1", kind: str = "anomaly", revision: int = 1) -> Alert:
    return Alert(
        "id", revision, "gw", device, "pump", kind, "active", "high", opened, opened, 2.0, "pressure 1, usually 4"
    )


@pytest.mark.parametrize(
    ("said", "found", "false"),
    [
        ([], 0, 0),
        ([alert(10 * DAY)], 1, 0),
        ([alert(10 * DAY + HOUR)], 1, 0),
        ([alert(10 * DAY - 1.0)], 0, 1),
        ([alert(11 * DAY)], 0, 0),  # in the aftermath: neither right nor wrong
        ([alert(11 * DAY + HOUR + 1.0)], 0, 1),
        ([alert(10 * DAY, device="p2")], 0, 1),
        ([alert(10 * DAY, kind="stuck")], 0, 0),
        ([alert(10 * DAY + 60.0, revision=2)], 0, 0),
        ([alert(10 * DAY + 60.0), alert(10 * DAY + 120.0)], 1, 0),
    ],
)
def test_an_alert_counts_by_device_time_and_kind(said: list[Alert], found: int, false: int) -> None:
    result = account([FAULT], said, {"p1": (0.0, 3 * WEEK), "p2": (0.0, 3 * WEEK)})

    assert (result.found, len(result.false)) == (found, false)


def test_only_normal_time_and_only_anomalies_count_for_the_rate() -> None:
    result = account(
        [FAULT], [alert(5 * DAY), alert(6 * DAY, kind="stuck")], {"p1": (0.0, 3 * WEEK), "p2": (0.0, 3 * WEEK)}
    )

    assert result.device_weeks == pytest.approx(6.0 - (DAY + HOUR) / WEEK)
    assert result.rate == pytest.approx(1.0 / result.device_weeks)
    assert len(result.false) == 2


def test_what_ends_beyond_the_readings_takes_only_their_time() -> None:
    late = Injected("late", "p1", 20.5 * DAY, 21 * DAY)

    assert account([late], [], {"p1": (0.0, 3 * WEEK)}).device_weeks == pytest.approx(20.5 / 7)


def test_the_account_reads_as_text() -> None:
    text = show("A plant", account([FAULT], [alert(10 * DAY + 1500.0), alert(DAY)], {"p1": (0.0, 3 * WEEK)}), 0.5)

    assert "pump runs dry" in text
    assert "25 min" in text
    assert "» pressure 1, usually 4" in text
    assert "found: 1 of 1" in text
    assert "1 in 2.9 device-weeks of normal time, 0.35 per device-week (target: at most 0.5)" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "at once"), (1500.0, "25 min"), (9000.0, "2.5 h"), (200_000.0, "2.3 days")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
