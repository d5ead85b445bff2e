"""The API: every route, every wrong request, in one error shape."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tests.hub.api.test_access import ROUTES
from tests.hub.conftest import Call
from tests.hub.gateway import alert, row
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store import tokens
from vedette_hub.store.database import writing
from vedette_models import topics
from vedette_models.messages import Alert, Delivery, Status, to_bytes


@pytest.fixture
def take(engine: Engine) -> Any:
    """Commit alerts as if gateways had sent them."""
    sequences: dict[str, int] = {}

    def take(*events: Alert, now: float = 1_800_000_000.0) -> None:
        for event in events:
            sequences[event.gateway] = sequences.get(event.gateway, 0) + 1
            rows = Delivery((row(sequences[event.gateway], event),))
            topic = topics.gateway_up(event.gateway, "alerts")
            commit(engine, parse(topic, to_bytes(rows)), now, LimitsSection())

    return take


def ids(body: Any) -> list[str]:
    return [item["id"] for item in body["alerts"]]


def test_health_needs_no_token_and_tells_no_secret(client: Any) -> None:
    for path in ("/health", "/api/v1/health"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.get_json() == {
            "status": "degraded",
            "version": answer.get_json()["version"],
            "database": "ok",
            "ingest": "not running",
        }


def test_an_alert_is_answered_in_full(call: Call, take: Any) -> None:
    take(alert(1))
    status, body = call("GET", "alerts/gw-1/a-1")
    assert status == 200
    assert body["opened_at"] == "2023-11-14T22:13:21.000Z"
    assert body["channels"] == [
        {"channel": "vibration", "value": 4.1, "low": 1.2, "high": 2.0, "share": 1.0, "aspect": "value", "unit": "mm/s"}
    ]
    assert (body["state"], body["acknowledged"], body["label"]) == ("active", False, None)
    assert [item["what"] for item in body["history"]] == ["event"]


def test_alerts_are_filtered_and_counted(call: Call, take: Any) -> None:
    take(
        alert(1, severity="low", device="a", profile="pump"),
        alert(2, severity="high", device="b", profile="fan", kind="stuck"),
        alert(3, severity="critical", gateway="gw-2", state="cleared", cleared=9.0),
    )
    call("POST", "alerts/gw-1/a-1/acknowledge", json={})
    call("POST", "alerts/gw-1/a-2/label", json={"label": "false"})
    for query, expected in {
        "": ["a-3", "a-2", "a-1"],
        "gateway=gw-1": ["a-2", "a-1"],
        "device=a": ["a-1"],
        "profile=fan": ["a-2"],
        "kind=stuck": ["a-2"],
        "kind=anomaly": ["a-3", "a-1"],
        "kind=stuck,anomaly": ["a-3", "a-2", "a-1"],
        "kind=stuck&gateway=gw-2": [],
        "kind=silent": [],
        "kind=no-such-kind": [],
        "severity=low,critical": ["a-3", "a-1"],
        "state=cleared": ["a-3"],
        "acknowledged=true": ["a-1"],
        "acknowledged=false": ["a-3", "a-2"],
        "label=false": ["a-2"],
        "label=none": ["a-3", "a-1"],
        "label=false,none": ["a-3", "a-2", "a-1"],
        "since=1700000002": ["a-3", "a-2"],
        "until=2023-11-14T22:13:22Z": ["a-1"],
        "gateway=gw-1&severity=critical": [],
        "device=nobody": [],
    }.items():
        status, body = call("GET", f"alerts?{query}")
        assert (status, ids(body), body["total"]) == (200, expected, len(expected)), query


def test_pages_follow_each_other_while_new_alerts_arrive(call: Call, take: Any) -> None:
    take(*(alert(number) for number in range(1, 8)))
    _, first = call("GET", "alerts?limit=3")
    take(alert(99))
    _, second = call("GET", f"alerts?limit=3&before={first['next']}")
    _, third = call("GET", f"alerts?limit=3&before={second['next']}")
    assert ids(first) + ids(second) + ids(third) == [f"a-{n}" for n in range(7, 0, -1)]
    assert third["next"] is None
    assert ids(call("GET", "alerts?limit=2&offset=1")[1]) == ["a-7", "a-6"]


def test_what_people_do_is_kept_with_who_when_and_why(call: Call, take: Any) -> None:
    take(alert(1))
    status, body = call("POST", "alerts/gw-1/a-1/acknowledge", json={"comment": "on my way"})
    assert (status, body["acknowledged"], body["acknowledgement"]["by"]) == (200, True, "first (token)")
    assert call("POST", "alerts/gw-1/a-1/acknowledge")[0] == 200
    _, body = call("POST", "alerts/gw-1/a-1/label", json={"label": "true", "comment": "bearing"})
    assert body["label"]["value"] == "true"
    _, body = call("POST", "alerts/gw-1/a-1/resolve", json={})
    assert (body["state"], body["cleared_by"]) == ("cleared", "resolved")
    take(alert(1, revision=2, severity="critical"))
    _, body = call("GET", "alerts/gw-1/a-1")
    assert (body["state"], body["acknowledged"]) == ("active", False)
    acts = [(item["what"], item["by"], item["comment"]) for item in body["history"] if item["what"] != "event"]
    assert acts == [
        ("acknowledge", "first (token)", "on my way"),
        ("acknowledge", "first (token)", ""),
        ("label", "first (token)", "bearing"),
        ("resolve", "first (token)", ""),
    ]


def test_any_name_can_be_addressed(call: Call, take: Any) -> None:
    gateway, alert_id = "hall 1/gw+2%2F", "e1/7?x#y"
    take(alert(1, gateway=gateway, id=alert_id))
    path = f"alerts/{topics.encode(gateway)}/{topics.encode(alert_id)}"
    assert call("GET", path)[1]["id"] == alert_id
    assert call("POST", f"{path}/acknowledge", json={})[1]["acknowledged"] is True
    assert call("GET", f"gateways/{topics.encode(gateway)}")[1]["gateway"] == gateway


def test_impossible_times_are_answered_without_a_date(call: Call, take: Any) -> None:
    take(alert(1, opened=1e300, time=-1e300))
    status, body = call("GET", "alerts")
    assert status == 200
    assert body["alerts"][0]["opened_at"] is None


def test_gateways_say_how_they_are(call: Call, take: Any, engine: Engine) -> None:
    take(alert(1), now=1.0)
    status = Status("gw-2", online=True, outbox_rows=3, problems=("clock is wrong",))
    commit(engine, parse(topics.gateway_up("gw-2", "status"), to_bytes(status)), time.time(), LimitsSection())
    _, body = call("GET", "gateways")
    assert [(item["gateway"], item["state"]) for item in body["gateways"]] == [("gw-1", "unknown"), ("gw-2", "online")]
    assert body["gateways"][1]["problems"] == ["clock is wrong"]
    assert body["gateways"][1]["status"]["outbox_rows"] == 3
    _, page = call("GET", "gateways?limit=1")
    assert page["next"] == "gw-1"
    assert [item["gateway"] for item in call("GET", "gateways?after=gw-1")[1]["gateways"]] == ["gw-2"]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "field"),
    [
        ("GET", "alerts?severity=mild", {}, 422, "severity"),
        ("GET", "alerts?state=gone", {}, 422, "state"),
        ("GET", "alerts?limit=0", {}, 422, "limit"),
        ("GET", "alerts?limit=501", {}, 422, "limit"),
        ("GET", "alerts?limit=many", {}, 422, "limit"),
        ("GET", "alerts?before=-1", {}, 422, "before"),
        ("GET", "alerts?before=99999999999999999999", {}, 422, "before"),
        ("GET", "alerts?since=yesterday", {}, 422, "since"),
        ("GET", "alerts?since=nan", {}, 422, "since"),
        ("GET", "alerts?until=inf", {}, 422, "until"),
        ("GET", "alerts?acknowledged=perhaps", {}, 422, "acknowledged"),
        ("GET", "alerts?sevrity=low", {}, 422, "sevrity"),
        ("GET", "alerts?severity=low&severity=high", {}, 422, "severity"),
        ("GET", "gateways?limit=x", {}, 422, "limit"),
        ("GET", "gateways?colour=red", {}, 422, "colour"),
        ("GET", "gateways/nobody", {}, 404, None),
        ("GET", "alerts/gw-1/none", {}, 404, None),
        ("GET", "nothing", {}, 404, None),
        ("POST", "alerts/gw-1/none/acknowledge", {"json": {}}, 404, None),
        ("POST", "alerts/gw-1/none/resolve", {"json": {}}, 404, None),
        ("POST", "alerts/gw-1/none/label", {"json": {"label": "true"}}, 404, None),
        ("POST", "alerts/gw-1/a-1/label", {"json": {}}, 422, "label"),
        ("POST", "alerts/gw-1/a-1/label", {"json": {"label": "maybe"}}, 422, "label"),
        ("POST", "alerts/gw-1/a-1/label", {"json": {"label": True}}, 422, "label"),
        ("POST", "alerts/gw-1/a-1/label", {"json": {"label": "true", "by": "me"}}, 422, "by"),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"json": {"comment": 3}}, 422, "comment"),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"json": {"comment": "x" * 4001}}, 422, "comment"),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"json": [1]}, 422, ""),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"json": "text"}, 422, ""),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"data": "comment=hi"}, 400, None),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"data": b"\xff\xfe"}, 400, None),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"data": "[" * 50_000}, 400, None),
        ("POST", "alerts/gw-1/a-1/acknowledge", {"data": b" " * 70_000}, 413, None),
        ("DELETE", "alerts/gw-1/a-1", {}, 405, None),
        ("POST", "alerts", {"json": {}}, 405, None),
        ("PUT", "gateways/gw-1", {"json": {}}, 405, None),
    ],
)
def test_a_wrong_request_is_answered_in_one_shape(
    call: Call, take: Any, method: str, path: str, options: Any, status: int, field: str | None
) -> None:
    take(alert(1))
    answer, body = call(method, path, **options)
    assert answer == status
    assert set(body) == {"error"}
    assert set(body["error"]) == {"status", "code", "message", "fields"}
    assert body["error"]["status"] == status
    assert body["error"]["message"]
    if field is not None:
        assert [item["field"] for item in body["error"]["fields"]] == [field]
        assert all("Value error" not in text for item in body["error"]["fields"] for text in item["problems"])
    _, after = call("GET", "alerts/gw-1/a-1")
    assert len(after["history"]) == 1


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/alerts"),
        ("GET", "/api/v1/alerts/g/a"),
        ("POST", "/api/v1/alerts/g/a/acknowledge"),
        ("POST", "/api/v1/alerts/g/a/resolve"),
        ("POST", "/api/v1/alerts/g/a/label"),
        ("GET", "/api/v1/gateways"),
        ("GET", "/api/v1/gateways/g"),
        ("GET", "/metrics"),
    ],
)
def test_without_a_valid_token_there_is_no_answer(client: Any, method: str, path: str, header: dict[str, str]) -> None:
    answer = client.open(path, method=method, headers=header)
    assert answer.status_code == 401
    assert answer.get_json()["error"]["code"] == "unauthorized"
    assert "WWW-Authenticate" in answer.headers


def test_a_revoked_token_is_worth_nothing(call: Call, engine: Engine) -> None:
    assert call("GET", "alerts")[0] == 200
    with writing(engine) as connection:
        tokens.revoke_token(connection, "first", 2.0)
    assert call("GET", "alerts")[0] == 401


def test_metrics_count_what_is_stored(client: Any, call: Call, take: Any) -> None:
    take(alert(1), alert(2, severity="high"), alert(2, severity="high", revision=2))
    call("POST", "alerts/gw-1/a-1/acknowledge", json={})
    text = client.get("/metrics", headers={"Authorization": f"Bearer {client.token}"}).get_data(as_text=True)
    lines = text.splitlines()
    assert 'vedette_hub_alerts{acknowledged="true",severity="medium",state="active"} 1.0' in lines
    assert 'vedette_hub_alerts{acknowledged="false",severity="high",state="active"} 1.0' in lines
    assert "vedette_hub_rows_total 3.0" in lines
    assert "vedette_hub_alert_events_total 3.0" in lines
    assert 'vedette_hub_gateways{state="unknown"} 1.0' in lines


def test_an_unexpected_error_shows_no_stack_trace(client: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("vedette_hub.store.alert_search.Search.page", broken)
    status, body = call("GET", "alerts")
    assert status == 500
    assert "secret" not in str(body)


def test_a_busy_database_asks_to_try_again(client: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object, **__: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("database is locked"))

    monkeypatch.setattr("vedette_hub.store.alert_search.Search.page", locked)
    answer = client.get("/api/v1/alerts", headers={"Authorization": f"Bearer {client.token}"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "secret" not in answer.get_data(as_text=True)


def test_openapi_describes_every_route_with_its_errors(client: Any) -> None:
    spec = client.get("/openapi.json").get_json()
    assert spec["openapi"] == "3.1.0"
    of_the_api = {re.sub(r"<([^>]+)>", r"{\1}", rule) for _, rule in ROUTES if rule.startswith("/api/")}
    assert set(spec["paths"]) == of_the_api | {"/health", "/ready", "/metrics"}
    text = str(spec)
    for name in {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in spec["components"]["schemas"]
    assert set(spec["paths"]["/api/v1/alerts/{gateway}/{alert}/label"]["post"]["responses"]) >= {
        "200", "400", "401", "404", "413", "422",
    }  # fmt: skip
