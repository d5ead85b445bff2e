"""The console's first page and signing in to it; nothing a device is called becomes part of it but text."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tests.hub.gateway import alert, row
from tests.hub.people import csrf_token
from vedette_hub import state
from vedette_hub.config import Config, LimitsSection
from vedette_hub.fleet import ingest_state
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.fleet.ingest_state import IngestState
from vedette_models import topics
from vedette_models.messages import ChannelReason, Delivery, Status, to_bytes
from vedette_models.readings import Quality

HOSTILE = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"


def page(browser: Any) -> str:
    answer = browser.get("/")
    assert answer.status_code == 200
    return str(answer.get_data(as_text=True))


def raise_alert(engine: Engine, **fields: Any) -> None:
    event = alert(**fields)
    rows = Delivery((row(1, event, epoch=f"e{time.monotonic_ns()}"),))
    commit(engine, parse(topics.gateway_up(event.gateway, "alerts"), to_bytes(rows)), time.time(), LimitsSection())


def report_status(engine: Engine, name: str = "gw-1", **fields: Any) -> None:
    status = Status(**{"gateway": name, "online": True, "time": time.time(), **fields})
    commit(engine, parse(topics.gateway_up(name, "status"), to_bytes(status)), time.time(), LimitsSection())


def hear_the_broker(config: Config, **fields: Any) -> None:
    ingest_state.write(config.state_dir, IngestState(**{"written": time.time(), "connected": True, **fields}))


def test_without_signing_in_there_is_only_the_form(client: Any) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    assert client.get("/overview").status_code == 401
    assert client.post("/alerts/g/a/acknowledge").status_code == 401
    assert "Password" in client.get("/login").get_data(as_text=True)


def test_signing_out_needs_the_form_and_ends_the_session(browser: Any) -> None:
    assert browser.post("/logout").status_code == 400
    assert browser.post("/logout", data={"csrf_token": csrf_token(page(browser))}).status_code == 303
    assert browser.get("/").status_code == 302


def test_without_data_it_says_what_to_do_next(browser: Any, config: Config) -> None:
    hear_the_broker(config)
    text = page(browser)
    assert "No data yet" in text
    assert "vedette-agent run" in text
    assert "Nothing needs attention" not in text


def test_it_says_all_is_well_only_when_it_would_know(browser: Any, engine: Engine, config: Config) -> None:
    hear_the_broker(config)
    report_status(engine)
    assert "Nothing needs attention" in page(browser)
    hear_the_broker(config, connected=False, problem="broker mqtt://x: refused")
    text = page(browser)
    assert "Nothing needs attention" not in text
    assert "broker mqtt://x: refused" in text
    hear_the_broker(config)
    report_status(engine, "gw-2", online=False, reason="lost")
    text = page(browser)
    assert "Nothing needs attention" not in text
    assert "1 of 2 gateways is not online" in text


def test_a_gateway_that_hears_nothing_is_not_well(browser: Any, engine: Engine, config: Config) -> None:
    hear_the_broker(config)
    report_status(engine, ingest="stalled")
    text = page(browser)
    assert "Nothing needs attention" not in text
    assert "no data is not the same as all well" in text


def test_alerts_show_severity_state_and_reason(browser: Any, engine: Engine, config: Config) -> None:
    hear_the_broker(config)
    report_status(engine, outbox_rows=12, ingest="receiving", problems=("The clock is wrong.",))
    raise_alert(engine, severity="critical")
    raise_alert(engine, number=2, severity="low")
    text = page(browser)
    assert "2 alerts need attention" in text
    assert text.index("severity-critical") < text.index("severity-low")
    assert "vibration 4.1 mm/s, usually 1.2–2.0" in text
    assert "<b>12</b> <span>rows wait on gateways" in text
    assert "The clock is wrong." in text


def test_acknowledging_from_the_page_needs_its_form(browser: Any, engine: Engine) -> None:
    raise_alert(engine, gateway="hall/1", id="e/1")
    text = page(browser)
    action = re.search(r'action="(/alerts/[^"]+)"', text)
    assert action
    assert browser.post(action[1]).status_code == 400
    answer = browser.post(action[1], data={"csrf_token": csrf_token(text)})
    assert answer.status_code == 303
    assert "1 alert needs attention" not in page(browser)
    assert "acknowledged by ana" in browser.get("/alerts/hall%2F1/e%2F1").get_data(as_text=True)


def test_hostile_names_stay_text(browser: Any, engine: Engine) -> None:
    report_status(engine, f"gw{HOSTILE}", ingest=HOSTILE, problems=(HOSTILE,))
    raise_alert(
        engine,
        gateway=f"gw{HOSTILE}",
        id=HOSTILE,
        device=HOSTILE,
        kind=HOSTILE,
        profile=HOSTILE,
        reason=HOSTILE,
        cleared_by=HOSTILE,
        channels=(ChannelReason(HOSTILE, 1.0, 0.0, 1.0, 1.0, aspect=HOSTILE, unit=HOSTILE),),
    )
    for path in ("/", "/overview"):
        text = browser.get(path).get_data(as_text=True)
        assert "<script>alert" not in text
        assert "<img" not in text
        assert text.count("&lt;script&gt;alert") >= 8


def test_restricted_devices_and_times_nobody_knows_are_seen(browser: Any, engine: Engine) -> None:
    report_status(engine, devices=9, quarantined=2, rate_limited=1)
    raise_alert(engine, time_quality=int(Quality.GATEWAY_UNSET | Quality.ARRIVAL_TIME))
    text = browser.get("/gateways").get_data(as_text=True)
    assert "2 in quarantine" in text
    assert "1 beyond rate" in text
    assert "time not known" in page(browser)
    report_status(engine, devices=9)
    assert "in quarantine" not in browser.get("/gateways").get_data(as_text=True)


def test_impossible_times_do_not_break_the_page(browser: Any, engine: Engine) -> None:
    raise_alert(engine, opened=1e300)
    report_status(engine, outbox_oldest=-1e300, time=1e300)
    assert "at an impossible time" in page(browser)


def test_the_refreshed_part_is_sent_only_when_it_has_changed(browser: Any, engine: Engine, config: Config) -> None:
    hear_the_broker(config)
    report_status(engine)
    first = browser.get("/overview")
    again = browser.get("/overview", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    raise_alert(engine)
    assert browser.get("/overview", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(browser: Any, engine: Engine) -> None:
    raise_alert(engine)
    answer = browser.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    text = answer.get_data(as_text=True)
    for link in re.findall(r'(?:src|href)="([^"#]+)"', text):
        assert link.startswith("/")
        assert browser.get(link).status_code == 200, link
    assert not re.search(r"<script(?![^>]*src=)", text)
    assert "style=" not in text
    assert not re.search(r"\son\w+=", text)


def test_a_wrong_address_is_a_page_for_people(client: Any) -> None:
    answer = client.get("/nothing/here")
    assert answer.status_code == 404
    assert "text/html" in answer.headers["Content-Type"]


def test_secrets_are_for_the_owner_only(client: Any, config: Config, engine: Engine) -> None:
    state.first_user(config.state_dir, engine, 1.0)
    for name in ("api-token", "admin-password", "session-key"):
        assert (Path(config.state_dir) / name).stat().st_mode & 0o777 == 0o600
