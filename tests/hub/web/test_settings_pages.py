"""The console's settings: each form does what it says, or says what is wrong with it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub import people
from tests.hub.people import csrf_header
from tests.hub.web.test_console import HOSTILE, report_status
from vedette_models.messages import AlertRate


def page(browser: Any, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    return str(answer.get_data(as_text=True))


def post(browser: Any, path: str, **form: Any) -> tuple[int, str]:
    answer = browser.post(path, data=form, headers=csrf_header(browser))
    return answer.status_code, answer.get_data(as_text=True)


def test_profiles_show_their_budget_and_what_it_came_to(browser: Any, engine: Engine) -> None:
    report_status(engine, "gw-1", alert_rates={"pump": AlertRate(0.5, 9, 3.0)})
    report_status(engine, "gw-2", alert_rates={"pump": AlertRate(0.5, 1, 2.0), "fan": AlertRate(0.5, 0, 0.1)})
    text = page(browser, "/settings")
    assert "2.00" in text  # 10 alerts in 5 device-weeks
    assert "more than wanted" in text
    assert "too early to say" in text


def test_alerts_are_silenced_and_told_again(browser: Any) -> None:
    status, _ = post(browser, "/settings/silences", device="pump-*, fan-1", lasting="4", comment=HOSTILE)
    assert status == 303
    text = page(browser, "/settings/quiet")
    assert "pump-*, fan-1" in text
    assert "<script>alert" not in text
    number = re.search(r"/settings/silences/(\d+)/end", text)
    assert number
    assert post(browser, f"/settings/silences/{number[1]}/end")[0] == 303
    assert "Nothing is silenced" in page(browser, "/settings/quiet")
    assert post(browser, "/settings/silences/999/end")[0] == 404


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"lasting": "4"}, "say which alerts"),
        ({"device": "x"}, "Say for how long"),
        ({"device": "x", "lasting": "-1"}, "how long"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(browser: Any, form: dict[str, str], words: str) -> None:
    status, text = post(browser, "/settings/silences", **form)
    assert (status, words in text) == (422, True)


def test_a_maintenance_window_is_planned_and_deleted(browser: Any) -> None:
    form = {"name": "Service", "gateway": "hall-*", "start": "2040-01-02T08:00", "end": "2040-01-02T10:00",
            "timezone": "Europe/Berlin", "weekly": "on"}  # fmt: skip
    assert post(browser, "/settings/maintenance", **form)[0] == 303
    text = page(browser, "/settings/quiet")
    assert "2040-01-02 07:00:00 UTC" in text
    assert "every week, Europe/Berlin" in text
    for wrong, words in (
        ({"end": "2040-01-02T07:00"}, "must be later than start"),
        ({"timezone": "Mars/Base"}, "Europe/Berlin"),
        ({"start": "tomorrow"}, "write a time"),
        ({"gateway": ""}, "say which alerts"),
    ):
        status, text = post(browser, "/settings/maintenance", **{**form, **wrong})
        assert (status, words in text) == (422, True), wrong
    assert post(browser, "/settings/maintenance/1/delete")[0] == 303
    assert "No window is planned" in page(browser, "/settings/quiet")


def test_rules_of_severity_are_added_ordered_and_removed(browser: Any) -> None:
    assert post(browser, "/settings/severity", do="add", name="cold", profile="freezer", to="critical")[0] == 303
    assert post(browser, "/settings/severity", do="add", name="big", score="8", to="high")[0] == 303

    def names() -> list[str]:
        return re.findall(r'name="name" value="([a-z]+)"', page(browser, "/settings/severity"))

    assert names() == ["cold", "big"]
    assert post(browser, "/settings/severity", do="up", name="big")[0] == 303
    assert names() == ["big", "cold"]
    assert post(browser, "/settings/severity", do="switch", name="big")[0] == 303
    assert "switched off" in page(browser, "/settings/severity")
    assert post(browser, "/settings/severity", do="remove", name="big")[0] == 303
    assert names() == ["cold"]
    for form, words in (
        ({"do": "add", "name": "cold", "to": "low"}, "already"),
        ({"do": "add", "name": "x", "to": "worst"}, "severity"),
        ({"do": "add", "name": "x", "to": "low", "score": "many"}, "is no number"),
        ({"do": "remove", "name": "gone"}, "There is no rule"),
        ({"do": "nonsense", "name": "cold"}, "Say what"),
    ):
        status, text = post(browser, "/settings/severity", **form)
        assert (status, words in text) == (422, True), form


def test_a_channel_is_added_switched_and_removed_and_its_secret_shown_once(browser: Any) -> None:
    form = {"name": "ops", "kind": "webhook", "webhook-url": "https://hooks.example.org/secret-path"}
    status, text = post(browser, "/settings/channels", **form)
    secret = re.search(r'id="secret">(whsec_[^<]+)<', text)
    assert status == 200
    assert secret
    text = page(browser, "/settings/channels")
    assert secret[1] not in text
    assert "secret-path" not in text
    assert "https://hooks.example.org/" in text
    status, text = post(browser, "/settings/channels", **{**form, "name": "two words"})
    assert (status, "name" in text) == (422, True)
    status, text = post(browser, "/settings/channels", **{**form, "name": "other", "webhook-url": "ftp://x"})
    assert (status, "https://HOST/PATH" in text) == (422, True)
    assert post(browser, "/settings/channels", name="x", kind="pigeon")[0] == 422
    assert post(browser, "/settings/channels/ops/switch", enabled="false")[0] == 303
    assert "Switch on" in page(browser, "/settings/channels")
    assert post(browser, "/settings/channels/ops/remove")[0] == 303
    assert "Nobody is told" in page(browser, "/settings/channels")
    assert post(browser, "/settings/channels/ops/test")[0] == 404


def test_a_route_leads_alerts_to_a_channel(browser: Any) -> None:
    assert "No alert is told anywhere" in page(browser, "/settings/routes")
    assert post(browser, "/settings/channels", name="book", kind="log")[0] == 303
    form = {"name": "night", "channel": "book", "severity": ["critical", "high"], "gateway": "hall-*",
            "day": ["mon", "tue"], "start": "22:00", "end": "06:00",
            "timezone": "Europe/Berlin", "cooldown": "10"}  # fmt: skip
    assert post(browser, "/settings/routes", **form)[0] == 303
    text = page(browser, "/settings/routes")
    for words in ("critical, high", "hall-*", "mon, tue 22:00–06:00", "at most one in 10 min"):
        assert words in text
    for wrong, words in (
        ({"name": "night"}, "already"),
        ({"name": "day", "channel": "gone"}, "gone"),
        ({"name": "day", "start": "late"}, "Hours start"),
        ({"name": "day", "cooldown": "often"}, "is no number"),
    ):
        status, text = post(browser, "/settings/routes", **{**form, **wrong})
        assert (status, words in text) == (422, True), wrong
    assert post(browser, "/settings/routes/night/switch", enabled="false")[0] == 303
    assert "switched off" in page(browser, "/settings/routes")
    assert post(browser, "/settings/routes/night/remove")[0] == 303
    assert post(browser, "/settings/routes/night/remove")[0] == 404
    assert post(browser, "/settings/deliveries/9/retry")[0] == 404


def test_retention_is_shown_set_and_left_to_the_configuration_again(browser: Any) -> None:
    assert post(browser, "/settings/retention", name="alerts", value="5000")[0] == 303
    text = page(browser, "/settings/retention")
    assert "5,000" in text
    assert "1,000,000 in hub.toml" in text
    assert post(browser, "/settings/retention", name="alerts", value="")[0] == 303
    assert "in hub.toml</span>" not in page(browser, "/settings/retention")
    for form in ({"name": "alerts", "value": "0"}, {"name": "alerts", "value": "1.5"}, {"name": "alerts", "value": "x"},
                 {"name": "gone", "value": "1"}, {}):  # fmt: skip
        assert post(browser, "/settings/retention", **form)[0] == 422


def test_the_audit_log_says_who_did_what(browser: Any) -> None:
    post(browser, "/settings/silences", device="pump-1", lasting="1", comment=HOSTILE)
    post(browser, "/settings/retention", name="jobs", value="77")
    text = page(browser, "/settings/audit")
    assert "silence.add" in text
    assert "jobs from" in text
    assert "<script>alert" not in text
    only = page(browser, "/settings/audit?action=silence.&by=ana&outcome=done")
    assert "silence.add" in only
    assert "retention.set" not in only
    assert "Nothing is like that" in page(browser, "/settings/audit?by=nobody")
    assert browser.get("/settings/audit?before=x&action=nonsense&outcome=maybe").status_code == 200


def test_settings_are_offered_to_those_who_may(client: Any, engine: Engine) -> None:
    people.add(engine, "vera", "viewer")
    people.begin_session(client, engine, "vera")
    text = page(client, "/settings")
    assert "Silences and maintenance" in text
    assert "Channels" not in text
    for path in ("/settings/quiet", "/settings/severity", "/settings/retention"):
        assert '<form method="post" action="/settings' not in page(client, path)
