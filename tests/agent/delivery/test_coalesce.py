"""Storms become few rows that say what they stand for."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.alerts import alert, cleared
from vedette_agent.delivery import coalesce as module
from vedette_agent.delivery.coalesce import Merged, Waiting, coalesce
from vedette_models.messages import SEVERITIES, Alert


def waiting(*alerts: Alert, first: int = 1) -> list[Waiting]:
    return [Waiting(100 + i, first + i, one) for i, one in enumerate(alerts)]


def whole(name: str, at: float, **changes: Any) -> list[Alert]:
    """An alert that was raised, and cleared a second later."""
    common = {"id": name, "opened": at, **changes}
    return [alert(time=at, **common), cleared(time=at + 1, **common)]


def covered(rows: list[Waiting], merged: list[Merged]) -> dict[int, list[int]]:
    """Sequence of each row that is left → those it stands for."""
    gone = {row_id for one in merged for row_id in one.gone}
    changed = {one.id: one.alert for one in merged}
    left = {}
    for row in rows:
        if row.id not in gone:
            several = changed.get(row.id, row.alert).coalesced
            left[row.sequence] = [n for a, b in (several.rows if several else ()) for n in range(a, b + 1)]
    return left


def test_alerts_that_came_and_went_unseen_become_one_as_severe_as_the_worst() -> None:
    rows = waiting(
        *whole("a", 10.0), *whole("b", 20.0, severity="critical", score=9.0, reason="worst"), *whole("c", 30.0)
    )
    (one,) = coalesce(rows)
    assert (one.id, one.gone) == (105, (100, 101, 102, 103, 104))
    assert (one.alert.id, one.alert.revision, one.alert.state) == ("c", 2, "cleared")
    assert (one.alert.severity, one.alert.score, one.alert.reason) == ("critical", 9.0, "worst")
    several = one.alert.coalesced
    assert several is not None
    assert (several.alerts, several.events, several.first, several.last) == (3, 6, 10.0, 31.0)
    assert several.rows == ((1, 5),)


def test_what_is_open_stays_for_itself_and_keeps_its_newest_revision() -> None:
    rows = waiting(*whole("a", 1.0), *whole("b", 3.0), alert(id="c"), alert(id="c", revision=2, severity="high"))
    ended, open_one = sorted(coalesce(rows), key=lambda one: one.alert.id)
    assert (ended.alert.id, ended.alert.coalesced and ended.alert.coalesced.alerts) == ("b", 2)
    assert (open_one.alert.id, open_one.alert.revision, open_one.alert.state) == ("c", 2, "active")
    assert (open_one.alert.coalesced and open_one.alert.coalesced.alerts) == 1


def test_an_alert_that_the_hub_has_seen_begin_is_ended_by_itself() -> None:
    rows = waiting(cleared(id="a"), *whole("b", 5.0), *whole("c", 7.0))
    (one,) = coalesce(rows)
    assert one.alert.id == "c"
    assert 100 not in {one.id, *one.gone}


def test_a_row_that_stands_for_several_stands_for_more_the_next_time() -> None:
    first = waiting(*whole("a", 1.0), *whole("b", 2.0))
    (one,) = coalesce(first)
    again = [Waiting(one.id, 4, one.alert), *waiting(*whole("c", 3.0), first=7)]
    (two,) = coalesce(again)
    several = two.alert.coalesced
    assert several is not None
    assert (several.alerts, several.events, several.first, several.rows) == (3, 6, 1.0, ((1, 4), (7, 7)))


def test_others_and_other_kinds_stay_apart() -> None:
    rows = waiting(*whole("a", 1.0), *whole("b", 2.0, kind="stuck"), *whole("c", 3.0, profile="fan"))
    assert all(len(one.gone) == 1 for one in coalesce(rows))


def test_a_row_names_no_more_ranges_than_fit_a_message() -> None:
    rows = [
        Waiting(i, 3 * i, one) for i, one in enumerate((e for n in range(2_000) for e in whole(f"a{n}", n)), start=1)
    ]
    merged = coalesce(rows)
    assert len(merged) > 1
    assert all(len(one.alert.coalesced.rows) <= 2 * module.MOST_RANGES for one in merged if one.alert.coalesced)
    assert sum(one.alert.coalesced.alerts for one in merged if one.alert.coalesced) == 2_000


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.data())
def test_every_number_and_every_alert_is_counted_once(data: st.DataObject) -> None:
    """Storms of several devices, put together now and then, some rows sent in between."""
    rows: list[Waiting] = []
    finished: list[Alert] = []
    numbers = 0
    open_alerts: dict[str, Alert] = {}
    raised = 0
    sent: set[int] = set()
    for _ in range(data.draw(st.integers(1, 25))):
        for _ in range(data.draw(st.integers(1, 8))):
            device = data.draw(st.sampled_from(("d1", "d2")))
            current = open_alerts.pop(device, None)
            numbers += 1
            if current is None:
                raised += 1
                event = alert(id=f"a{raised}", device=device, opened=float(raised), score=float(numbers))
                open_alerts[device] = event
            elif data.draw(st.booleans()):
                event = cleared(id=current.id, device=device, revision=current.revision + 1, opened=current.opened)
            else:
                worse = data.draw(st.sampled_from(SEVERITIES))
                event = alert(id=current.id, device=device, revision=current.revision + 1, severity=worse)
                open_alerts[device] = event
            rows.append(Waiting(numbers, numbers, event))
        if data.draw(st.booleans()):
            merged = {one.id: one for one in coalesce(rows)}
            gone = {row_id for one in merged.values() for row_id in one.gone}
            rows = [row._replace(alert=merged[row.id].alert) if row.id in merged else row
                    for row in rows if row.id not in gone]  # fmt: skip
        elif data.draw(st.booleans()):
            count = data.draw(st.integers(0, len(rows)))
            finished += [row.alert for row in rows[:count]]
            sent |= {n for row in rows[:count] for n in (row.sequence, *covered([row], []).get(row.sequence, []))}
            rows = rows[count:]
    there = [n for row in rows for n in (row.sequence, *covered([row], [])[row.sequence])]
    assert sorted([*there, *sent]) == list(range(1, numbers + 1)), "each number once"
    newest: dict[str, Alert] = {}
    for event in [*finished, *(row.alert for row in rows)]:
        if event.id not in newest or event.revision > newest[event.id].revision:
            newest[event.id] = event
    assert sum(event.coalesced.alerts if event.coalesced else 1 for event in newest.values()) == raised
    for device, event in open_alerts.items():
        assert (newest[event.id].state, newest[event.id].revision) == ("active", event.revision), device
