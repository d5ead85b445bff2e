"""Channels, routes and deliveries over the API: set up and tried; wrong ones refused by field, secrets kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.notify.told import arrive, followed, queued
from vedette_hub import state
from vedette_hub.config import Config
from vedette_hub.notify.channels import ChannelSetup, add_channel
from vedette_hub.notify.sealing import Seal
from vedette_hub.store import audit, deliveries
from vedette_hub.store.audit import AuditFilter
from vedette_hub.store.channels import get_channel, note_failure
from vedette_hub.store.database import reading, writing

HOOK = {"name": "hook", "kind": "webhook", "settings": {"url": "https://hooks.example/services/T0PSECRET"}}
MAIL = {
    "name": "mail",
    "kind": "email",
    "settings": {
        "host": "mail.example",
        "sender": "h@p.example",
        "to": ["a@p.example"],
        "username": "h",
        "password": "pw-1",
    },
}


def fields(body: Any) -> dict[str, str]:
    return {found["field"]: " ".join(found["problems"]) for found in body["error"]["fields"]}


def removed(client: Any, path: str) -> int:
    """The status of a DELETE, whose answer has no body when it is done."""
    header = {"Authorization": f"Bearer {client.token}"}
    return int(client.delete(f"/api/v1/{path}", headers=header).status_code)


def secrets_kept(config: Config, engine: Engine, name: str) -> dict[str, Any]:
    with reading(engine) as connection:
        return Seal(state.channel_key(config.state_dir)).open(get_channel(connection, name).sealed)


def test_a_channel_is_added_shown_changed_and_removed_and_its_secrets_are_shown_once(
    client: Any, call: Call, config: Config, engine: Engine
) -> None:
    status, made = call("POST", "channels", json=HOOK)
    assert (status, made["address"], made["state"]) == (201, "https://hooks.example/…", "untried")
    assert made["secret"].startswith("whsec_")
    assert made["secrets"] == ["url", "secret"]
    assert made["settings"] == {}
    assert call("POST", "channels", json=MAIL)[1]["secret"] is None
    kept = secrets_kept(config, engine, "hook")
    assert kept == {"url": HOOK["settings"]["url"], "secret": made["secret"]}  # type: ignore[index]  # a dict

    status, changed = call(
        "PATCH", "channels/mail", json={"settings": {"port": 465, "security": "tls"}, "enabled": False}
    )
    assert (status, changed["settings"]["port"], changed["state"]) == (200, 465, "disabled")
    assert secrets_kept(config, engine, "mail") == {"password": "pw-1"}
    status, renewed = call("PATCH", "channels/hook", json={"name": "Hook.2", "settings": {"secret": ""}})
    assert (status, renewed["name"]) == (200, "Hook.2")
    assert renewed["secret"] not in (None, made["secret"])
    assert secrets_kept(config, engine, "Hook.2")["url"] == kept["url"]

    status, listed = call("GET", "channels")
    with reading(engine) as connection:
        entries = [one.entry for one in audit.list_entries(connection, AuditFilter(action="channel."), limit=50)]
    said = json.dumps([listed, call("GET", "channels/Hook.2")[1], [entry.__dict__ for entry in entries]])
    for secret in ("T0PSECRET", "pw-1", made["secret"], renewed["secret"]):
        assert secret not in said
    assert [one["name"] for one in listed["channels"]] == ["Hook.2", "mail"]
    assert {entry.action for entry in entries} == {"channel.add", "channel.change"}

    assert removed(client, "channels/mail") == 204
    assert call("GET", "channels/mail")[0] == 404


@pytest.mark.parametrize(
    ("kind", "settings", "field", "problem"),
    [
        ("webhook", {}, "settings.url", "required"),
        ("webhook", {"url": "ftp://h/x"}, "settings.url", "https://HOST/PATH"),
        ("webhook", {"url": "http://hooks.example/x"}, "settings.url", "notify.allow_http"),
        ("webhook", {"url": "https://u:p@h.example/x"}, "settings.url", "no user or password"),
        ("webhook", {"url": "https://h.example:99999/"}, "settings.url", "ort"),
        ("webhook", {"url": "https://h.example/a b"}, "settings.url", "percent-encoded"),
        ("webhook", {"url": "https://h.example/\r\nX: y"}, "settings.url", "percent-encoded"),
        ("webhook", {"url": "https://h.example/", "secret": "short"}, "settings.secret", "whsec_"),
        ("webhook", {"url": "https://h.example/", "retries": 3}, "settings.retries", "unknown field"),
        ("webhook", {"url": 7}, "settings.url", "string"),
        ("email", {"host": "h", "sender": "a@b.c"}, "settings.to", "required"),
        ("email", {"host": "h", "sender": "a", "to": ["c@d.e"]}, "settings.sender", "NAME@DOMAIN"),
        ("email", {"host": "h", "sender": "a@b.c", "to": ["c@d.e\r\nBcc: x@y.z"]}, "settings.to.0", "NAME@DOMAIN"),
        ("email", {"host": "h/x", "sender": "a@b.c", "to": ["c@d.e"]}, "settings.host", "alone"),
        (
            "email",
            {"host": "h", "sender": "a@b.c", "to": ["c@d.e"], "security": "none"},
            "settings.security",
            "unencrypted",
        ),
        ("mqtt", {"topic": "plant/+/x"}, "settings.topic", "without"),
        ("mqtt", {"topic": "vedette/v1/gw/gw-1/down/desired"}, "settings.topic", "Vedette's own"),
        ("log", {"level": "debug"}, "settings.level", "'info', 'warning' or 'error'"),
        ("apprise", {"url": "slack"}, "settings.url", "slack://"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_field(
    call: Call, kind: str, settings: dict[str, Any], field: str, problem: str
) -> None:
    status, body = call("POST", "channels", json={"name": "c", "kind": kind, "settings": settings})
    assert status == 422
    assert problem in fields(body)[field]
    assert call("GET", "channels")[1] == {"channels": []}


def test_names_kinds_and_unknown_fields_are_refused(call: Call) -> None:
    for body, field in (
        ({**HOOK, "name": "no/slash"}, "name"),
        ({**HOOK, "kind": "pigeon"}, "kind"),
        ({**HOOK, "colour": "red"}, "colour"),
        ({**HOOK, "enabled": "yes"}, "enabled"),
    ):
        status, answer = call("POST", "channels", json=body)
        assert (status, list(fields(answer))) == (422, [field])
    assert call("POST", "channels", json=HOOK)[0] == 201
    assert call("POST", "channels", json=HOOK)[0] == 409
    assert call("PATCH", "channels/nobody", json={"enabled": True})[0] == 404


def test_a_route_leads_to_channels_that_there_are_and_keeps_them(client: Any, call: Call) -> None:
    wrong = {"name": "r", "channels": ["nobody"]}
    status, body = call("POST", "routes", json=wrong)
    assert (status, fields(body)) == (422, {"channels": "there is no channel 'nobody'"})
    assert call("GET", "routes")[1] == {"routes": []}, "nothing half-written"
    call("POST", "channels", json=HOOK)
    given = {
        "name": "night",
        "channels": ["hook", "hook"],
        "matchers": {"severity": ["critical"], "gateway": ["gw-*"]},
        "hours": {"days": ["mon", "sun"], "start": "20:00", "end": "06:00", "timezone": "Europe/Berlin"},
        "bounds": {"device_cooldown": 600, "per_hour": 30},
    }
    status, made = call("POST", "routes", json=given)
    assert (status, made["channels"]) == (201, ["hook"])
    assert made["hours"] == given["hours"]
    assert made["bounds"] == {"cooldown": 0.0, "device_cooldown": 600.0, "per_hour": 30, "device_per_hour": 0}
    status, changed = call("PATCH", "routes/night", json={"matchers": {"profile": ["pump"]}, "tell_worse": False})
    assert (status, changed["tell_worse"], changed["tell_cleared"]) == (200, False, True)
    assert changed["matchers"] == {"gateway": [], "device": [], "profile": ["pump"], "kind": [], "severity": []}
    assert changed["hours"] == given["hours"]
    refused = client.delete("/api/v1/channels/hook", headers={"Authorization": f"Bearer {client.token}"})
    body = refused.get_json()
    assert refused.status_code == 409
    assert "the routes night lead to it" in body["error"]["message"]
    assert removed(client, "routes/night") == 204
    assert removed(client, "routes/night") == 404
    assert removed(client, "channels/hook") == 204


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hours": {"start": "24:00"}}, "hours.start"),
        ({"hours": {"timezone": "Mars/Base"}}, "hours.timezone"),
        ({"hours": {"timezone": "../../etc/passwd"}}, "hours.timezone"),
        ({"hours": {"days": ["someday"]}}, "hours.days.0"),
        ({"matchers": {"severity": ["severe"]}}, "matchers.severity.0"),
        ({"matchers": {"colour": ["red"]}}, "matchers.colour"),
        ({"bounds": {"per_hour": -1}}, "bounds.per_hour"),
        ({"bounds": {"cooldown": 1e300}}, "bounds.cooldown"),
        ({"channels": "hook"}, "channels"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused_by_field(call: Call, change: dict[str, Any], field: str) -> None:
    status, body = call("POST", "routes", json={"name": "r", "channels": [], **change})
    assert (status, list(fields(body))) == (422, [field])


def test_a_test_that_nobody_sends_says_so_and_has_its_row(call: Call) -> None:
    call("POST", "channels", json=HOOK)
    status, found = call("POST", "channels/hook/test", json={"wait": 0})
    assert (status, found["status"], found["cause"], found["title"]) == (200, "queued", "test", "[test] Vedette")
    assert call("GET", f"deliveries/{found['number']}")[1] == found
    assert call("POST", "channels/nobody/test", json={})[0] == 404
    assert call("POST", "channels/hook/test", json={"wait": 31})[0] == 422


def test_deliveries_are_listed_page_by_page_and_tried_again(call: Call, config: Config, engine: Engine) -> None:
    followed(engine)
    call("POST", "channels", json=HOOK)
    call("POST", "routes", json={"name": "all", "channels": ["hook"]})
    for number in (1, 2, 3):
        arrive(engine, number)
    followed(engine)
    status, page = call("GET", "deliveries?limit=2")
    assert (status, [one["alert"] for one in page["deliveries"]]) == (200, ["a-3", "a-2"])
    status, rest = call("GET", f"deliveries?limit=2&before={page['next']}&status=queued&channel=hook&gateway=gw-1")
    assert ([one["alert"] for one in rest["deliveries"]], rest["next"]) == (["a-1"], None)
    number = queued(engine)[0].number
    assert call("POST", f"deliveries/{number}/retry")[0] == 409
    with writing(engine) as connection:
        deliveries.finish(connection, number, "failed", "answered 422", 20.0)
    status, again = call("POST", f"deliveries/{number}/retry")
    assert (status, again["status"], again["tries"]) == (200, "queued", 0)
    assert call("GET", "deliveries/99999")[0] == 404
    assert call("GET", "deliveries/99999999999999999999999")[0] == 404
    assert call("GET", "deliveries?status=lost")[0] == 422


def test_metrics_say_how_each_channel_fares(client: Any, config: Config, engine: Engine) -> None:
    setup = ChannelSetup(Seal(state.channel_key(config.state_dir)), allow_http=False)
    with writing(engine) as connection:
        made = add_channel(connection, setup, "ops", "log", {}, now=1.0, by="ana")
        note_failure(connection, made.channel.number, 2.0, failures=5, open_until=1e12, error="x", given_up=True)
    text = client.get("/metrics", headers={"Authorization": f"Bearer {client.token}"}).get_data(as_text=True)
    assert 'vedette_hub_messages_failed_total{channel="ops",kind="log"} 1.0' in text
    assert 'vedette_hub_channel_resting{channel="ops",kind="log"} 1.0' in text
    assert 'vedette_hub_messages_queued{channel="ops",kind="log"} 0.0' in text
