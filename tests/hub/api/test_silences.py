"""Silences and maintenance windows by the API, and what becomes of alerts that outlast them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.gateway import alert, row
from vedette_hub.alerts.actions import act
from vedette_hub.alerts.maintenance import Window
from vedette_hub.alerts.matching import Matchers
from vedette_hub.alerts.release import NOTE_SECONDS, release
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store import audit, maintenance, silences
from vedette_hub.store.alerts import Action, alerts_changed, last_change
from vedette_hub.store.audit import AuditFilter
from vedette_hub.store.database import reading, writing
from vedette_models import topics
from vedette_models.messages import Delivery, to_bytes

GW = {"gateway": ["gw-1"]}
DAY = 86_400.0


def deliver(engine: Engine, *numbers: int, **fields: Any) -> None:
    rows = tuple(row(number, alert(number, **fields)) for number in numbers)
    commit(engine, parse(topics.gateway_up("gw-1", "alerts"), to_bytes(Delivery(rows))), 1.0, LimitsSection())


def changed(engine: Engine, after: int) -> list[str]:
    with reading(engine) as connection:
        return [one.record.event.id for one in alerts_changed(connection, after, limit=100)]


def newest(engine: Engine) -> int:
    with reading(engine) as connection:
        return last_change(connection)


def noted(engine: Engine) -> list[tuple[str, str]]:
    with reading(engine) as connection:
        entries = audit.list_entries(connection, AuditFilter(), limit=100)
    return [(one.entry.action, one.entry.target) for one in reversed(entries)]


def problems(body: Any) -> set[str]:
    return {item["field"].split(".")[0] for item in body["error"]["fields"]}


def test_a_silence_shows_on_alerts_until_it_is_ended(call: Call, engine: Engine) -> None:
    deliver(engine, 1, 2)
    end = time.time() + 600.0
    wanted = {"matchers": {"device": ["pump-1"]}, "end": end, "comment": "belt is being changed"}
    status, made = call("POST", "silences", json=wanted)
    assert (status, made["holds"], made["end"], made["created_by"]) == (201, True, end, "first (token)")
    shown = {one["id"]: one["suppressed_by"] for one in call("GET", "alerts")[1]["alerts"]}
    assert shown["a-2"] is None
    assert {**shown["a-1"], "end_at": ""} == {
        "what": "silence", "number": made["number"], "name": "belt is being changed", "end": end, "end_at": "",
    }  # fmt: skip
    assert call("GET", "alerts/gw-1/a-1")[1]["suppressed_by"] == shown["a-1"]
    assert call("GET", f"silences/{made['number']}")[1] == made
    before = newest(engine)
    status, ended = call("POST", f"silences/{made['number']}/end")
    assert (status, ended["holds"], ended["ended_by"]) == (200, False, "first (token)")
    assert changed(engine, before) == ["a-1"], "whoever tells people looks at it again"
    assert call("POST", f"silences/{made['number']}/end")[1] == ended
    assert call("GET", "alerts/gw-1/a-1")[1]["suppressed_by"] is None
    assert call("GET", "silences")[1] == {"silences": []}
    assert [one["number"] for one in call("GET", "silences?past=true")[1]["silences"]] == [made["number"]]
    number = str(made["number"])
    assert noted(engine) == [("silence.add", number), ("silence.end", number)]
    assert call("POST", "silences/99/end")[0] == 404


def test_a_silence_that_is_ended_before_it_began_never_holds(call: Call, engine: Engine) -> None:
    now = time.time()
    body = {"matchers": GW, "start": now + 500.0, "end": now + 900.0}
    made = call("POST", "silences", json=body)[1]
    assert not made["holds"]
    ended = call("POST", f"silences/{made['number']}/end")[1]
    assert ended["start"] == ended["end"] < now + 500.0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"matchers": {}}, "matchers"),
        ({"matchers": {"gateway": []}}, "matchers"),
        ({"matchers": {"gateway": "gw-1"}}, "matchers"),
        ({"matchers": {"gateway": [""]}}, "matchers"),
        ({"matchers": {"gateway": ["x" * 257]}}, "matchers"),
        ({"matchers": {"gateway": ["x"] * 101}}, "matchers"),
        ({"matchers": {"severity": ["loud"]}}, "matchers"),
        ({"matchers": {"device": ["*"], "colour": ["red"]}}, "matchers"),
        ({"end": None}, "end"),
        ({"end": 3.0}, "end"),
        ({"end": "tomorrow"}, "end"),
        ({"end": 1e300}, "end"),
        ({"end": time.time() + 400 * DAY}, "end"),
        ({"start": time.time() + 9 * DAY}, "end"),
        ({"start": -1}, "start"),
        ({"start": True}, "start"),
        ({"comment": "x" * 4_001}, "comment"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_silence_names_the_field(call: Call, change: Any, field: str) -> None:
    body = {"matchers": GW, "end": time.time() + 600.0}
    status, answer = call("POST", "silences", json={**body, **change})
    assert (status, problems(answer)) == (422, {field})
    assert call("GET", "silences")[1] == {"silences": []}


def test_there_are_so_many_silences_and_no_more(call: Call, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "MAX_SILENCES", 2)
    now = time.time()
    for number in range(4):
        with writing(engine) as connection:
            silences.add_silence(connection, Matchers(), number, number + 1.0, by="ana", now=float(number + 2))
    for _ in range(2):
        assert call("POST", "silences", json={"matchers": GW, "end": now + 60.0})[0] == 201
    status, body = call("POST", "silences", json={"matchers": GW, "end": now + 60.0})
    assert (status, "2 silences" in body["error"]["message"]) == (409, True)
    with reading(engine) as connection:
        assert [one.start for one in silences.list_silences(connection, now, past=True)] == [3.0, 2.0]


def window(**change: Any) -> dict[str, Any]:
    start = time.time() - 60.0
    return {"name": "Sunday", "matchers": GW, "start": start, "end": start + 3600.0, **change}


def test_a_window_is_made_changed_and_deleted(call: Call, client: Any, engine: Engine) -> None:
    deliver(engine, 1)
    body = window(weekly=True, timezone="Europe/Berlin", comment="filters")
    status, made = call("POST", "maintenance", json=body)
    assert (status, made["holds"], made["timezone"], made["created_by"]) == (
        201,
        True,
        "Europe/Berlin",
        "first (token)",
    )
    # A week later at the same time of day, which may be an hour more or less.
    assert abs(made["next"] - made["start"] - 7 * DAY) <= 3600.0
    shown = call("GET", "alerts/gw-1/a-1")[1]["suppressed_by"]
    assert (shown["what"], shown["number"], shown["name"]) == ("maintenance", made["number"], "Sunday")
    path = f"maintenance/{made['number']}"
    assert call("GET", path)[1] == made
    assert call("GET", "maintenance")[1] == {"windows": [made]}
    before = newest(engine)
    status, after = call("PUT", path, json=window(name="Monday", matchers={"gateway": ["gw-2"]}))
    assert (status, after["name"], after["weekly"], after["created"]) == (200, "Monday", False, made["created"])
    assert changed(engine, before) == ["a-1"]
    assert call("GET", "alerts/gw-1/a-1")[1]["suppressed_by"] is None
    header = {"Authorization": f"Bearer {client.token}"}
    assert client.delete(f"/api/v1/{path}", headers=header).status_code == 204
    gone: list[tuple[str, dict[str, Any]]] = [("GET", {}), ("DELETE", {}), ("PUT", {"json": body})]
    assert {call(method, path, **sent)[0] for method, sent in gone} == {404}
    number = str(made["number"])
    assert noted(engine) == [(f"maintenance.{verb}", number) for verb in ("add", "change", "delete")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"matchers": {}}, "matchers"),
        ({"end": 5.0}, "end"),
        ({"start": None}, "start"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"weekly": "yes"}, "weekly"),
        ({"weekly": True, "start": 0.0, "end": 8 * DAY}, "weekly"),
        ({"until": 5.0}, "until"),
        ({"end": 1e12}, "end"),
        ({"number": 3}, "number"),
    ],
)
def test_a_wrong_window_names_the_field(call: Call, change: Any, field: str) -> None:
    status, answer = call("POST", "maintenance", json=window(**change))
    assert (status, problems(answer)) == (422, {field})
    assert call("GET", "maintenance")[1] == {"windows": []}


def test_there_are_so_many_windows_and_no_more(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "MAX_WINDOWS", 1)
    assert call("POST", "maintenance", json=window())[0] == 201
    assert call("POST", "maintenance", json=window())[0] == 409


def test_alerts_that_outlast_what_held_them_back_are_looked_at_again(engine: Engine) -> None:
    deliver(engine, 1, 2, 3, 4)
    deliver(engine, 5, state="cleared", cleared=9.0)
    act(engine, ("gw-1", "a-4"), Action("acknowledge", 2.0, "ana"))
    with writing(engine) as connection:
        one = Matchers(device=("pump-1", "pump-4", "pump-5"))
        silences.add_silence(connection, one, 100.0, 200.0, by="ana", now=100.0)
        maintenance.add_window(connection, Window(0, "w", Matchers(device=("pump-2",)), 100.0, 300.0))
    start = newest(engine)
    assert [release(engine, now) for now in (100.0, 199.0)] == [0, 0]
    assert changed(engine, start) == []
    assert release(engine, 200.0) == 1
    assert changed(engine, start) == ["a-1"], "a-4 has been seen, a-5 is over"
    assert release(engine, 299.0) == 0
    assert release(engine, 301.0 + 3 * NOTE_SECONDS) == 1
    assert changed(engine, start) == ["a-1", "a-2"]
    assert release(engine, 9_000.0) == 0


def test_what_ended_while_the_hub_was_away_is_looked_at_when_it_is_back(engine: Engine) -> None:
    deliver(engine, 1)
    release(engine, 100.0)
    with writing(engine) as connection:
        maintenance.add_window(connection, Window(0, "w", Matchers(), 1_000.0, 2_000.0, weekly=True))
    assert release(engine, 50 * 7 * DAY) == 1


def test_a_clock_that_was_ahead_releases_nothing_twice(engine: Engine) -> None:
    deliver(engine, 1)
    with writing(engine) as connection:
        silences.add_silence(connection, Matchers(), 0.0, 150.0, by="ana", now=10.0)
    release(engine, 9_000.0)
    assert release(engine, 100.0) == 0
    assert release(engine, 160.0) == 1
