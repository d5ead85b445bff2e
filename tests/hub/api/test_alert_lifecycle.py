"""What people do about alerts: assignees, comments, several at once, CSV, and the severity that counts."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub import people
from tests.hub.conftest import Call
from tests.hub.gateway import alert, row
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store import alerts as alert_store
from vedette_hub.store import audit
from vedette_hub.store.audit import AuditFilter
from vedette_hub.store.database import reading, writing
from vedette_models import topics
from vedette_models.messages import Alert, AlertRate, Delivery, Status, to_bytes


@pytest.fixture
def take(engine: Engine) -> Any:
    """Commit alerts as if gateways had sent them."""
    sequences: dict[str, int] = {}

    def take(*events: Alert, now: float = 1_800_000_000.0) -> None:
        for gateway in dict.fromkeys(event.gateway for event in events):
            mine = [event for event in events if event.gateway == gateway]
            first = sequences.get(gateway, 0) + 1
            sequences[gateway] = first + len(mine) - 1
            rows = [row(first + place, event) for place, event in enumerate(mine)]
            for start in range(0, len(rows), 100):
                body = to_bytes(Delivery(tuple(rows[start : start + 100])))
                commit(engine, parse(topics.gateway_up(gateway, "alerts"), body), now, LimitsSection())

    return take


def noted(engine: Engine) -> list[tuple[str, str, str]]:
    with reading(engine) as connection:
        entries = audit.list_entries(connection, AuditFilter(), limit=100)
    return [(one.entry.action, one.entry.target, one.entry.detail) for one in reversed(entries)]


def fields(body: Any) -> dict[str, list[str]]:
    return {item["field"]: item["problems"] for item in body["error"]["fields"]}


def test_an_alert_is_given_to_somebody_and_taken_back(call: Call, take: Any, engine: Engine) -> None:
    take(alert(1), alert(2))
    people.add(engine, "ana", "operator")
    status, body = call("POST", "alerts/gw-1/a-1/assign", json={"assignee": "ana", "comment": "yours"})
    assert (status, body["assignment"]["to"], body["assignment"]["by"]) == (200, "ana", "first (token)")
    assert [one["id"] for one in call("GET", "alerts?assignee=ana")[1]["alerts"]] == ["a-1"]
    assert [one["id"] for one in call("GET", "alerts?assignee=none")[1]["alerts"]] == ["a-2"]
    assert call("POST", "alerts/gw-1/a-1/assign", json={"assignee": None})[1]["assignment"] is None
    history = call("GET", "alerts/gw-1/a-1")[1]["history"]
    acts = [(one["what"], one["assignee"], one["comment"]) for one in history if one["what"] != "event"]
    assert acts == [("assign", "ana", "yours"), ("assign", None, "")]
    assert [entry for entry in noted(engine) if entry[0] == "alert.assign"] == [
        ("alert.assign", "gw-1/a-1", "ana"),
        ("alert.assign", "gw-1/a-1", "taken back"),
    ]


@pytest.mark.parametrize("name", ["nobody", "bob"])
def test_an_alert_is_given_only_to_who_can_sign_in(call: Call, take: Any, engine: Engine, name: str) -> None:
    take(alert(1))
    people.add(engine, "bob", "operator")
    call("PATCH", "users/bob", json={"disabled": True})
    for path, body in (
        ("alerts/gw-1/a-1/assign", {"assignee": name}),
        ("alerts/bulk", {"action": "assign", "assignee": name, "alerts": [{"gateway": "gw-1", "id": "a-1"}]}),
    ):
        status, answer = call("POST", path, json=body)
        assert (status, list(fields(answer))) == (422, ["assignee"])
    assert len(call("GET", "alerts/gw-1/a-1")[1]["history"]) == 1


def test_an_acknowledgement_and_a_label_are_taken_back(call: Call, take: Any) -> None:
    take(alert(1))
    call("POST", "alerts/gw-1/a-1/acknowledge")
    assert call("GET", "alerts?attention=false")[1]["total"] == 1
    status, body = call("POST", "alerts/gw-1/a-1/unacknowledge", json={"comment": "wrong one"})
    assert (status, body["acknowledged"], body["acknowledgement"]) == (200, False, None)
    assert call("GET", "alerts?attention=true")[1]["total"] == 1
    call("POST", "alerts/gw-1/a-1/label", json={"label": "false"})
    assert call("POST", "alerts/gw-1/a-1/label", json={"label": None})[1]["label"] is None
    assert call("GET", "alerts?label=none")[1]["total"] == 1
    status, body = call("POST", "alerts/gw-1/a-1/label", json={})
    assert (status, list(fields(body))) == (422, ["label"])


def test_a_comment_changes_nothing_but_the_history(call: Call, take: Any, engine: Engine) -> None:
    take(alert(1))
    with reading(engine) as connection:
        before = alert_store.last_change(connection)
    assert call("POST", "alerts/gw-1/a-1/comment", json={"comment": "heard it too"})[0] == 200
    for empty in ({}, {"comment": " \n"}):
        status, body = call("POST", "alerts/gw-1/a-1/comment", json=empty)
        assert (status, list(fields(body))) == (422, ["comment"])
    history = call("GET", "alerts/gw-1/a-1")[1]["history"]
    assert [one["comment"] for one in history if one["what"] == "comment"] == ["heard it too"]
    with reading(engine) as connection:
        assert alert_store.last_change(connection) == before
    assert call("POST", "alerts/gw-1/no-such/comment", json={"comment": "x"})[0] == 404


def test_of_the_history_of_actions_the_newest_stay(engine: Engine, take: Any) -> None:
    take(alert(1), alert(2))
    with writing(engine) as connection:
        for number in range(alert_store.ACTIONS_KEPT + 3):
            said = alert_store.Action("comment", float(number), "ana", str(number))
            alert_store.add_actions(connection, [("gw-1", "a-1")], said)
        alert_store.add_actions(connection, [("gw-1", "a-2")], alert_store.Action("comment", 1.0, "ana", "one"))
        _, actions = alert_store.history(connection, ("gw-1", "a-1"))
        _, others = alert_store.history(connection, ("gw-1", "a-2"))
    assert [one.comment for one in actions] == [str(number) for number in range(3, alert_store.ACTIONS_KEPT + 3)]
    assert len(others) == 1


def bulk(*names: str, **body: Any) -> dict[str, Any]:
    return {"json": {**body, "alerts": [{"gateway": "gw-1", "id": name} for name in names]}}


def test_the_same_is_done_about_several_alerts(call: Call, take: Any, engine: Engine) -> None:
    take(*(alert(number) for number in range(1, 5)))
    wanted = bulk("a-3", "no-such", "a-1", "a-1", action="label", label="false", comment="a door")
    status, body = call("POST", "alerts/bulk", **wanted)
    assert status == 200
    assert [one["id"] for one in body["alerts"]] == ["a-3", "a-1"], "in the order asked for, each once"
    assert body["missing"] == [{"gateway": "gw-1", "id": "no-such"}]
    assert call("GET", "alerts?label=false")[1]["total"] == 2
    for action in ("acknowledge", "resolve", "comment", "unacknowledge"):
        assert call("POST", "alerts/bulk", **bulk("a-2", "a-4", action=action, comment="done"))[0] == 200
    assert call("GET", "alerts?state=cleared&acknowledged=false")[1]["total"] == 2
    history = call("GET", "alerts/gw-1/a-4")[1]["history"]
    assert sorted(one["what"] for one in history if one["what"] != "event") == [
        "acknowledge",
        "comment",
        "resolve",
        "unacknowledge",
    ]
    assert noted(engine)[0] == ("alert.label", "2 alerts", "false: gw-1/a-3, gw-1/a-1")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (bulk("a-1", action="dance"), "action"),
        (bulk("a-1", action="label"), "label"),
        (bulk("a-1", action="assign"), "assignee"),
        (bulk("a-1", action="comment"), "comment"),
        (bulk("a-1", action="acknowledge", label="true"), "label"),
        (bulk("a-1", action="acknowledge", assignee="ana"), "assignee"),
        (bulk(action="acknowledge"), "alerts"),
        (bulk(*(f"a-{number}" for number in range(501)), action="acknowledge"), "alerts"),
        ({"json": {"alerts": [{"gateway": "gw-1", "id": "a-1"}]}}, "action"),
        ({"json": {"action": "acknowledge", "alerts": [{"gateway": "gw-1"}]}}, "alerts"),
        (bulk("a-1", action="acknowledge", colour="red"), "colour"),
    ],
)
def test_a_wrong_request_about_several_names_the_field(call: Call, take: Any, body: Any, field: str) -> None:
    take(alert(1))
    status, answer = call("POST", "alerts/bulk", **body)
    assert status == 422
    assert [name.split(".")[0] for name in fields(answer)] == [field]
    assert len(call("GET", "alerts/gw-1/a-1")[1]["history"]) == 1


def test_several_are_done_once_with_a_key(call: Call, take: Any) -> None:
    take(alert(1))
    options = {**bulk("a-1", action="comment", comment="once"), "headers": {"Idempotency-Key": "k"}}
    assert call("POST", "alerts/bulk", **options) == call("POST", "alerts/bulk", **options)
    assert len(call("GET", "alerts/gw-1/a-1")[1]["history"]) == 2


def test_csv_has_all_that_fit_and_runs_nothing(call: Call, client: Any, take: Any) -> None:
    hostile = '=HYPERLINK("http://x")'
    take(
        alert(1, device=hostile, reason="@sum", severity="high"),
        alert(2, device="-1+1", reason="line\nbreak, and a comma", score=-1.5),
        alert(3, device="\uff1d1", kind="stuck"),
        *(alert(number) for number in range(4, 1_010)),
    )
    answer = client.get("/api/v1/alerts.csv", headers={"Authorization": f"Bearer {client.token}"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="alerts.csv"'
    rows = {one["id"]: one for one in csv.DictReader(io.StringIO(answer.get_data(as_text=True)))}
    assert len(rows) == 1_009
    assert (rows["a-1"]["device"], rows["a-1"]["reason"]) == (f"'{hostile}", "'@sum")
    assert (rows["a-2"]["device"], rows["a-2"]["score"]) == ("'-1+1", "-1.5"), "a number is a number"
    assert rows["a-2"]["reason"] == "line\nbreak, and a comma"
    assert rows["a-3"]["device"] == "'\uff1d1"
    assert rows["a-4"]["opened_at"] == "2023-11-14T22:13:24.000Z"
    some = client.get("/api/v1/alerts.csv?severity=high", headers={"Authorization": f"Bearer {client.token}"})
    assert len(some.get_data(as_text=True).splitlines()) == 2
    assert call("GET", "alerts.csv?limit=3")[0] == 422
    assert call("GET", "alerts.csv?severity=loud")[0] == 422


def rule(name: str, severity: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "severity": severity, **more}


def test_a_rule_changes_severity_from_the_next_event_on(call: Call, take: Any, engine: Engine) -> None:
    take(alert(1))
    rules = [
        rule("boiler", "critical", matchers={"device": ["pump-1", "pump-2"]}),
        rule("rest", "low", score_at_least=9, enabled=False),
    ]
    status, body = call("PUT", "severity-rules", json={"rules": rules})
    assert (status, [one["name"] for one in body["rules"]]) == (200, ["boiler", "rest"])
    assert call("GET", "severity-rules")[1] == body
    assert call("GET", "alerts/gw-1/a-1")[1]["severity"] == "medium"
    take(alert(2), alert(3), alert(1, revision=2))
    found = {one["id"]: one for one in call("GET", "alerts")[1]["alerts"]}
    assert {name: (one["severity"], one["gateway_severity"], one["severity_rule"]) for name, one in found.items()} == {
        "a-1": ("critical", "medium", "boiler"),
        "a-2": ("critical", "medium", "boiler"),
        "a-3": ("medium", "medium", None),
    }
    assert call("GET", "alerts?severity=critical")[1]["total"] == 2
    call("PUT", "severity-rules", json={"rules": [rules[1]]})
    after = call("GET", "severity-rules")[1]["rules"]
    assert [one["changed"] for one in after] == [body["rules"][1]["changed"]], "it was not written anew"
    take(alert(2, revision=2))
    assert call("GET", "alerts/gw-1/a-2")[1]["severity"] == "medium"
    assert ("severity_rules.replace", "", "boiler: critical, rest: low") in noted(engine)


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ([rule("a", "low"), rule("a", "high")], "rules"),
        ([rule("a", "loud")], "rules"),
        ([rule("", "low")], "rules"),
        ([rule("a", "low", score_at_least="9")], "rules"),
        ([rule("a", "low", matchers={"gateways": ["x"]})], "rules"),
        ([rule("a", "low", matchers={"severity": ["loud"]})], "rules"),
        ([rule(str(number), "low") for number in range(101)], "rules"),
        (None, "rules"),
    ],
)
def test_wrong_rules_change_nothing(call: Call, rules: Any, field: str) -> None:
    call("PUT", "severity-rules", json={"rules": [rule("kept", "high")]})
    status, body = call("PUT", "severity-rules", json={} if rules is None else {"rules": rules})
    assert status == 422
    assert {name.split(".")[0] for name in fields(body)} == {field}
    assert [one["name"] for one in call("GET", "severity-rules")[1]["rules"]] == ["kept"]


def test_labels_tell_how_right_alerts_are(call: Call, take: Any, engine: Engine) -> None:
    now = time.time()
    take(
        *(alert(n, device=f"d{n % 2}", opened=now - 60.0 * n, detector="lof" if n < 4 else "") for n in range(1, 7)),
        alert(7, kind="test", opened=now - 60.0),
        alert(8, opened=now - 200 * 86_400.0),
    )
    for number, label in ((1, "true"), (2, "false"), (3, "true"), (4, "normal"), (7, "false"), (8, "false")):
        call("POST", f"alerts/gw-1/a-{number}/label", json={"label": label})
    status = Status("gw-1", online=True, time=now, alert_rates={"pump": AlertRate(0.5, 12, 4.0)})
    commit(engine, parse(topics.gateway_up("gw-1", "status"), to_bytes(status)), now, LimitsSection())
    _, body = call("GET", "alerts/accuracy")
    (pump,) = body["groups"]
    counts = [pump[name] for name in ("name", "alerts", "true", "false", "normal", "unlabelled", "precision")]
    assert counts == ["pump", 6, 2, 1, 1, 2, 0.5]
    assert pump["precision_low"] < 0.5 < pump["precision_high"]
    assert (pump["device_weeks"], pump["false_per_device_week"]) == (4.0, 2.5), "12 alerts, 2 of them true"
    _, body = call("GET", "alerts/accuracy?by=detector")
    assert {one["name"]: (one["true"], one["false"]) for one in body["groups"]} == {"lof": (2, 1), "": (0, 0)}
    _, body = call("GET", "alerts/accuracy?by=device")
    assert [(one["gateway"], one["name"], one["true"], one["false"] + one["normal"]) for one in body["groups"]] == [
        ("gw-1", "d0", 0, 2),
        ("gw-1", "d1", 2, 0),
    ]
    assert call("GET", "alerts/accuracy?since=0")[1]["groups"][0]["alerts"] == 7
    assert call("GET", "alerts/accuracy?by=colour")[0] == 422
    assert list(fields(call("GET", "alerts/accuracy?since=9&until=3")[1])) == ["since"]
