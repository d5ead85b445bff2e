"""What a channel is told, and when: the difference between an alert and what the channel knows of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.gateway import alert
from vedette_hub.alerts.lifecycle import AlertRecord, acknowledge, label, resolve
from vedette_hub.alerts.matching import Matchers
from vedette_hub.notify.decision import HOUR, Cause, Hold, Past, Told, cause_of, hold, wanted
from vedette_hub.notify.retrying import BREAK_AFTER, BREAK_FIRST, BREAK_LONGEST, Breaker, wait
from vedette_hub.notify.routing import DAYS, Bounds, Hours, Route
from vedette_models.messages import Severity

ACTIVE = AlertRecord(alert(1))
WORSE = AlertRecord(alert(1, revision=2, severity="critical"))
CLEARED = AlertRecord(alert(1, revision=3, state="cleared", cleared=1_700_000_050.0, cleared_by="quiet"))
SEEN = acknowledge(ACTIVE, "ana", 5.0)
ROUTE = Route("r", ("ops",), number=1)


def told(severity: Severity = "medium", **more: object) -> Told:
    return replace(Told(severity, "active", 1), **more)  # type: ignore[arg-type]  # fields of it


@pytest.mark.parametrize(
    ("record", "known", "new", "cause"),
    [
        (ACTIVE, None, True, "opened"),
        (ACTIVE, None, False, "opened"),
        (ACTIVE, told(), False, None),
        (ACTIVE, Told(None, held_until=9.0), False, "opened"),
        (WORSE, told(), False, "worse"),
        (WORSE, told("critical"), False, None),
        (ACTIVE, told("critical"), False, None),
        (CLEARED, told(), False, "cleared"),
        (CLEARED, told(state="cleared"), False, None),
        (CLEARED, None, True, "over"),
        (CLEARED, None, False, None),
        (CLEARED, Told(None, held_until=9.0), False, None),
        (ACTIVE, told(state="cleared"), False, "again"),
        (SEEN, None, True, None),
        (acknowledge(CLEARED, "ana", 5.0), None, True, None),
        (acknowledge(CLEARED, "ana", 5.0), told(), False, "cleared"),
        (replace(SEEN, event=WORSE.event), told(), False, "worse"),
        (label(ACTIVE, "false", "ana", 5.0), None, True, None),
        (label(ACTIVE, "true", "ana", 5.0), None, True, "opened"),
        (resolve(ACTIVE, "ana", 5.0), told(), False, "cleared"),
    ],
)
def test_the_cause_is_what_the_channel_does_not_know(
    record: AlertRecord, known: Told | None, new: bool, cause: Cause | None
) -> None:
    assert cause_of(record, known, new=new) == cause


def test_what_is_told_is_known_and_not_told_again() -> None:
    for record in (ACTIVE, WORSE, CLEARED):
        assert cause_of(record, Told(record.severity, record.state, 1), new=True) is None


def test_a_route_passes_on_what_matches_and_an_end_only_to_whom_it_told() -> None:
    pumps = replace(ROUTE, matchers=Matchers(profile=("pump",), severity=("critical",)))
    assert not wanted(pumps, ACTIVE, None, "opened")
    assert wanted(pumps, WORSE, told(), "worse")
    assert not wanted(replace(pumps, tell_worse=False), WORSE, told(), "worse")
    assert not wanted(replace(pumps, enabled=False), WORSE, None, "opened")
    assert wanted(pumps, CLEARED, told(), "cleared"), "though its severity matches no more"
    assert not wanted(pumps, CLEARED, told(route=2), "cleared")
    assert not wanted(replace(pumps, tell_cleared=False), CLEARED, told(), "cleared")


@pytest.mark.parametrize(
    ("bounds", "past", "cause", "expected"),
    [
        (Bounds(), Past(), "opened", None),
        (Bounds(cooldown=60), Past(last=970.0), "opened", Hold(1030.0, "cooldown")),
        (Bounds(cooldown=60), Past(last=940.0), "opened", None),
        (Bounds(cooldown=60), Past(last=970.0), "worse", None),
        (Bounds(cooldown=60), Past(last=970.0), "cleared", None),
        (Bounds(device_cooldown=60), Past(last_of_device=990.0), "again", Hold(1050.0, "cooldown of the device")),
        (Bounds(cooldown=60), Past(last=5000.0), "opened", None),
        (Bounds(per_hour=2), Past(at_bound=500.0), "opened", Hold(500.0 + HOUR, "messages per hour")),
        (Bounds(per_hour=2), Past(at_bound=500.0), "cleared", Hold(500.0 + HOUR, "messages per hour")),
        (Bounds(per_hour=2), Past(at_bound=1000.0 - HOUR), "opened", None),
        (
            Bounds(cooldown=60, device_per_hour=1),
            Past(last=990.0, at_device_bound=990.0),
            "opened",
            Hold(990.0 + HOUR, "messages of the device per hour"),
        ),
    ],
)
def test_bounds_hold_back_until_there_is_room(bounds: Bounds, past: Past, cause: Cause, expected: Hold | None) -> None:
    assert hold(replace(ROUTE, bounds=bounds), cause, past, 1000.0) == expected


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_outside_of_its_hours_a_route_waits_for_them_but_an_end_is_told() -> None:
    office = replace(ROUTE, hours=Hours(("mon", "tue", "wed", "thu", "fri"), "08:00", "17:00", "Europe/Berlin"))
    friday = at("2026-01-30T18:00", "Europe/Berlin")
    assert hold(office, "opened", Past(), friday) == Hold(at("2026-02-02T08:00", "Europe/Berlin"), "hours")
    assert hold(office, "opened", Past(), at("2026-01-30T08:00", "Europe/Berlin")) is None
    assert hold(office, "cleared", Past(), friday) is None


def test_hours_past_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = Hours(("fri",), "22:00", "06:00")
    assert night.contains(at("2026-01-31T05:59"))
    assert not night.contains(at("2026-01-31T06:00"))
    assert not night.contains(at("2026-01-30T05:00"))


@settings(derandomize=True, max_examples=150)
@given(
    st.lists(st.sampled_from(DAYS), unique=True),
    st.integers(0, 23),
    st.integers(0, 23),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati"]),
    st.integers(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())),
)
def test_the_next_start_lies_ahead_and_within_the_hours(
    days: list[str], start: int, end: int, zone: str, now: int
) -> None:
    hours = Hours(tuple(days), f"{start:02}:00", f"{end:02}:00", zone)  # type: ignore[arg-type]  # days of the list
    following = hours.next_start(now)
    assert now < following <= now + 8 * 86_400.0
    assert hours.contains(following)


def test_a_channel_rests_after_failures_in_a_row_and_longer_each_time() -> None:
    breaker, now, rests = Breaker(), 1000.0, []
    for _ in range(BREAK_AFTER + 8):
        breaker = breaker.after_failure(now)
        rests.append(breaker.open_until - now if breaker.is_open(now) else 0.0)
        now = max(now, breaker.open_until)
    assert rests[: BREAK_AFTER - 1] == [0.0] * (BREAK_AFTER - 1)
    assert rests[BREAK_AFTER - 1 : BREAK_AFTER + 1] == [BREAK_FIRST, 2 * BREAK_FIRST]
    assert rests[-1] == BREAK_LONGEST


@settings(derandomize=True)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_up_to_the_longest(tries: int, chance: float) -> None:
    found = wait(tries, 10.0, 1800.0, chance)
    assert 9.0 <= found <= 1981.0
    assert wait(tries + 20, 10.0, 1800.0, chance) >= 1620.0
