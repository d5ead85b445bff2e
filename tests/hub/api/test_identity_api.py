"""Users, tokens and the audit log over the API."""

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
from tests.hub.people import csrf_header, sign_in
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store import audit, tokens
from vedette_hub.store.audit import Entry
from vedette_hub.store.database import writing
from vedette_models import topics
from vedette_models.messages import Delivery, to_bytes

PASSWORD = people.PASSWORD


def take_alert(engine: Engine) -> None:
    rows = Delivery((row(1, alert(1)),))
    commit(engine, parse(topics.gateway_up("gw-1", "alerts"), to_bytes(rows)), 1.0, LimitsSection())


def deeds(call: Call, query: str = "") -> list[tuple[str, str, str, str]]:
    """(who, what, to what, outcome) from the API, the oldest first."""
    _, body = call("GET", f"audit?limit=500&{query}")
    return [(one["by"], one["action"], one["target"], one["outcome"]) for one in reversed(body["entries"])]


def test_a_user_is_added_changed_disabled_and_enabled(client: Any, call: Call) -> None:
    status, body = call("POST", "users", json={"name": "ben", "role": "operator", "password": PASSWORD})
    assert (status, body["password"], body["password_due"], body["role"]) == (201, None, False, "operator")
    assert sign_in(client.application.test_client(), "ben").status_code == 303
    assert call("PATCH", "users/ben", json={"role": "approver"})[1]["role"] == "approver"
    assert call("PATCH", "users/ben", json={"disabled": True})[1]["disabled"] is True
    assert sign_in(client.application.test_client(), "ben").status_code == 401
    assert call("PATCH", "users/ben", json={"disabled": False})[1]["disabled"] is False
    assert [one["name"] for one in call("GET", "users")[1]["users"]] == ["ben"]
    assert PASSWORD not in str(call("GET", "users")[1])
    assert deeds(call, "by=first (token)") == [
        ("first (token)", "user.add", "ben", "done"),
        ("first (token)", "user.role", "ben", "done"),
        ("first (token)", "user.disable", "ben", "done"),
        ("first (token)", "user.enable", "ben", "done"),
    ]


def test_a_password_that_is_made_is_shown_once_and_has_to_be_changed(client: Any, call: Call) -> None:
    _, body = call("POST", "users", json={"name": "ben"})
    first = body["password"]
    assert (len(first) >= 30, body["password_due"], body["role"]) == (True, True, "viewer")
    second = call("POST", "users/ben/password", json={})[1]["password"]
    assert second not in {None, first}
    other = client.application.test_client()
    assert sign_in(other, "ben", first).status_code == 401
    assert sign_in(other, "ben", second).status_code == 303
    own = {"current": second, "password": PASSWORD}
    assert other.get("/api/v1/alerts").status_code == 403
    assert other.post("/api/v1/me/password", json=own, headers=csrf_header(other)).status_code == 204
    assert other.get("/api/v1/alerts").status_code == 200
    assert first not in str(call("GET", "audit")[1])
    assert second not in str(call("GET", "audit")[1])


def test_the_last_admin_stays_one(call: Call, engine: Engine) -> None:
    people.add(engine, "ana", "admin")
    people.add(engine, "ben", "operator")
    for change in ({"role": "viewer"}, {"disabled": True}):
        status, body = call("PATCH", "users/ana", json=change)
        assert (status, "the only admin" in body["error"]["message"]) == (409, True)
    call("PATCH", "users/ben", json={"role": "admin"})
    assert call("PATCH", "users/ana", json={"role": "viewer"})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "users", {"name": "ANA MARIA"}, 422, "name"),
        ("POST", "users", {"name": ""}, 422, "name"),
        ("POST", "users", {"name": "x" * 65}, 422, "name"),
        ("POST", "users", {"name": "ben\n"}, 422, "name"),
        ("POST", "users", {"name": "ben", "role": "god"}, 422, "role"),
        ("POST", "users", {"name": "ben", "password": "short"}, 422, "password"),
        ("POST", "users", {"name": "ben", "password": "x" * 257}, 422, "password"),
        ("POST", "users", {"name": "benjaminus", "password": "Benjaminus"}, 422, "password"),
        ("POST", "users", {"name": "ben", "admin": True}, 422, "admin"),
        ("POST", "users", {}, 422, "name"),
        ("POST", "users", {"name": "ana"}, 409, None),
        ("PATCH", "users/ana", {"disabled": "yes"}, 422, "disabled"),
        ("PATCH", "users/ana", {"name": "eve"}, 422, "name"),
        ("PATCH", "users/nobody", {"role": "admin"}, 404, None),
        ("POST", "users/nobody/password", {}, 404, None),
        ("POST", "users/nobody/sign-out", {}, 404, None),
        ("POST", "tokens", {}, 422, "name"),
        ("POST", "tokens", {"name": " "}, 422, "name"),
        ("POST", "tokens", {"name": "x" * 257}, 422, "name"),
        ("POST", "tokens", {"name": "t", "role": "root"}, 422, "role"),
        ("POST", "tokens", {"name": "t", "scopes": ["everything"]}, 422, "scopes.0"),
        ("POST", "tokens", {"name": "t", "role": "viewer", "scopes": ["push"]}, 422, "scopes"),
        ("POST", "tokens", {"name": "t", "expires_in": 0}, 422, "expires_in"),
        ("POST", "tokens", {"name": "t", "expires_in": 1e12}, 422, "expires_in"),
        ("POST", "tokens", {"name": "first"}, 409, None),
        ("POST", "tokens/nothing/revoke", {}, 404, None),
        ("GET", "audit?outcome=good", None, 422, "outcome"),
        ("GET", "audit?limit=501", None, 422, "limit"),
        ("GET", "audit?since=soon", None, 422, "since"),
        ("GET", "audit?user=ana", None, 422, "user"),
        ("GET", "audit.csv?limit=1", None, 422, "limit"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_changed(
    call: Call, engine: Engine, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    people.add(engine, "ana", "admin")
    found, answer = call(method, path, **({} if body is None else {"json": body}))
    assert found == status
    if field is not None:
        assert [item["field"] for item in answer["error"]["fields"]] == [field]
    assert deeds(call) == []
    assert [one["name"] for one in call("GET", "users")[1]["users"]] == ["ana"]
    assert [one["name"] for one in call("GET", "tokens")[1]["tokens"]] == ["first"]


def test_a_token_is_made_narrow_works_until_it_expires_and_is_revoked(
    client: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"name": "night shift", "role": "operator", "scopes": ["read", "alerts"], "expires_in": 60}
    status, made = call("POST", "tokens", json=wanted)
    assert (status, made["by"], made["scopes"]) == (201, "first (token)", ["read", "alerts"])
    header = {"Authorization": f"Bearer {made['secret']}"}
    assert client.get("/api/v1/alerts", headers=header).status_code == 200
    me = client.get("/api/v1/me", headers=header).get_json()
    assert (me["kind"], me["name"], me["role"]) == ("token", "night shift", "operator")
    assert made["secret"] not in str(call("GET", "tokens")[1])
    now = time.time()
    monkeypatch.setattr("vedette_hub.api.context.Context.now", lambda _: now + 61.0)
    expired = client.get("/api/v1/alerts", headers=header)
    assert (expired.status_code, 'error="invalid_token"' in expired.headers["WWW-Authenticate"]) == (401, True)
    monkeypatch.setattr("vedette_hub.api.context.Context.now", lambda _: now)
    assert client.get("/api/v1/alerts", headers=header).status_code == 200
    assert call("POST", "tokens/night%20shift/revoke")[0] == 200
    assert client.get("/api/v1/alerts", headers=header).status_code == 401
    assert deeds(call, "action=token.")[-1] == ("first (token)", "token.revoke", "night shift", "done")


def test_a_token_that_is_worth_nothing_is_refused_though_there_is_a_session(client: Any, engine: Engine) -> None:
    people.add(engine, "ana", "admin")
    people.begin_session(client, engine, "ana")
    assert client.get("/api/v1/me").status_code == 200
    for header in ("Bearer nonsense", "Basic YTpi", "Bearer", "nonsense", ""):
        assert client.get("/api/v1/me", headers={"Authorization": header}).status_code == 401, header


def test_tokens_are_bounded_and_those_that_work_stay(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_TOKENS", 3)
    with writing(engine) as connection:
        for name in ("a", "b", "c"):
            tokens.add_token(connection, name, tokens.new_secret(), 1.0, role="viewer")
        with pytest.raises(tokens.TokenError, match="revoke one"):
            tokens.add_token(connection, "d", tokens.new_secret(), 1.0, role="viewer")
        tokens.revoke_token(connection, "b", 2.0)
        tokens.add_token(connection, "d", tokens.new_secret(), 3.0, role="viewer")
        assert [token.name for token in tokens.list_tokens(connection)] == ["a", "c", "d"]


def test_what_is_done_is_in_the_log_with_who_when_and_from_where(client: Any, call: Call, engine: Engine) -> None:
    take_alert(engine)
    before = time.time()
    call("POST", "alerts/gw-1/a-1/acknowledge", json={"comment": "coming"})
    call("POST", "alerts/gw-1/a-1/label", json={"label": "false"})
    call("PUT", "gateways/gw-1/group", json={"group": "roof"})
    call("POST", "models/train", json={"profile": "pump"})
    _, body = call("GET", "audit")
    assert body["total"] == 4
    entry = body["entries"][-1]
    assert before - 1.0 < entry["time"] < time.time() + 1.0
    assert (entry["address"], entry["at"][:4].isdigit()) == ("127.0.0.1", True)
    assert [(one["action"], one["target"], one["detail"]) for one in reversed(body["entries"])] == [
        ("alert.acknowledge", "gw-1/a-1", ""),
        ("alert.label", "gw-1/a-1", "false"),
        ("gateway.group", "gw-1", "group 'roof'"),
        ("model.train", "pump", "job 1"),
    ]


def test_what_was_not_done_is_not_in_the_log_as_done(
    client: Any, call: Call, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry and effect are one transaction: when one fails, the other is not there."""
    take_alert(engine)
    assert call("POST", "alerts/gw-1/none/acknowledge")[0] == 404
    assert deeds(call) == []

    def broken(*_: object) -> None:
        raise RuntimeError("the log is full")

    monkeypatch.setattr("vedette_hub.store.audit.note", broken)
    assert call("POST", "alerts/gw-1/a-1/acknowledge")[0] == 500
    assert call("POST", "users", json={"name": "ben", "password": PASSWORD})[0] == 500
    monkeypatch.undo()
    assert call("GET", "alerts/gw-1/a-1")[1]["acknowledged"] is False
    assert call("GET", "users")[1]["users"] == []


def test_a_refusal_is_in_the_log(client: Any, call: Call, engine: Engine) -> None:
    secret = people.make_token(engine, "eyes", "viewer")
    client.post("/api/v1/models/train", headers={"Authorization": f"Bearer {secret}"}, json={"profile": "pump"})
    assert deeds(call) == [("eyes (token)", "request.refuse", "/api/v1/models/train", "refused")]
    _, body = call("GET", "audit?outcome=refused")
    assert "role approver" in body["entries"][0]["detail"]


def fill(engine: Engine, *entries: tuple[str, str, str]) -> None:
    with writing(engine) as connection:
        for number, (by, action, target) in enumerate(entries):
            audit.note(connection, Entry(float(number), by, "192.0.2.1", action, target))


def test_the_log_is_filtered_and_read_page_by_page(call: Call, engine: Engine) -> None:
    fill(engine, *((f"user-{n % 2}", ("model.push", "modelled.thing", "user.add")[n % 3], f"t{n}") for n in range(12)))
    assert [one[2] for one in deeds(call, "by=user-1&action=user.add")] == ["t5", "t11"]
    assert {one[1] for one in deeds(call, "action=model.")} == {"model.push"}
    assert [one[2] for one in deeds(call, "since=3&until=5")] == ["t3", "t4"]
    assert [one[2] for one in deeds(call, "target=t7")] == ["t7"]
    seen: list[int] = []
    more = ""
    while True:
        _, body = call("GET", f"audit?limit=5{more}")
        seen += [one["number"] for one in body["entries"]]
        fill(engine, ("later", "user.add", "x"))
        if body["next"] is None:
            break
        more = f"&before={body['next']}"
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 12


def test_the_log_as_csv_has_it_all_and_no_formulas(
    client: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vedette_hub.api.audit.CSV_PAGE", 3)
    hostile = '=HYPERLINK("http://evil.example"),"a"\r\n'
    fill(engine, *(("ana", "user.add", f"t{n}") for n in range(7)), ("+ana", "user.add", hostile))
    answer = client.get("/api/v1/audit.csv", headers={"Authorization": f"Bearer {client.token}"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True), newline="")))
    assert [one["target"] for one in rows] == [f"'{hostile}", *(f"t{n}" for n in range(6, -1, -1))]
    assert rows[0]["by"] == "'+ana"
