"""The console's pages about alerts: the table, its filters, what is done about several at once, and the page of one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub import people
from tests.hub.people import csrf_header
from tests.hub.web.test_console import HOSTILE, raise_alert
from vedette_models.messages import ChannelReason


def page(browser: Any, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    return str(answer.get_data(as_text=True))


def shown(browser: Any, **parameters: str) -> list[str]:
    """Devices in the table."""
    address = "&".join(f"{name}={value}" for name, value in parameters.items())
    return re.findall(r'class="row-link"[^>]*>([^<]+)<', page(browser, f"/alerts?{address}"))


def test_without_alerts_it_says_how_to_try_the_whole_way(browser: Any) -> None:
    assert "vedette-agent test-alert" in page(browser, "/alerts")


def test_views_and_filters_choose_what_is_shown(browser: Any, engine: Engine) -> None:
    raise_alert(engine, number=1, severity="critical")
    raise_alert(engine, number=2, severity="low", kind="silent", gateway="gw-2")
    raise_alert(engine, number=3, state="cleared", cleared=1_700_000_100.0)
    assert shown(browser) == ["pump-2", "pump-1"]
    assert shown(browser, view="all") == ["pump-3", "pump-2", "pump-1"]
    assert shown(browser, view="all", severity="low") == ["pump-2"]
    assert shown(browser, view="all", kind="silent") == ["pump-2"]
    assert shown(browser, view="all", gateway="gw-2") == ["pump-2"]
    assert shown(browser, view="all", device="pump-3") == ["pump-3"]
    assert shown(browser, view="all", since="1") == []
    assert shown(browser, view="nonsense", severity="nonsense", before="x", since="-1") == ["pump-2", "pump-1"]
    export = re.search(r'href="(/api/v1/alerts\.csv[^"]*)"', page(browser, "/alerts?severity=low&kind=silent"))
    assert export
    lines = page(browser, export[1].replace("&amp;", "&")).splitlines()
    assert [("pump-2" in line) for line in lines[1:]] == [True]
    assert "No alert is like that" in page(browser, "/alerts?view=all&device=fan-1")


def test_pages_follow_each_other_by_a_cursor(browser: Any, engine: Engine) -> None:
    for number in range(55):
        raise_alert(engine, number=number)
    text = page(browser, "/alerts")
    older = re.search(r'href="(/alerts\?[^"]*before=[^"]*)"', text)
    assert older
    assert "55 alerts" in text
    assert len(shown(browser)) == 50
    rest = page(browser, older[1].replace("&amp;", "&"))
    assert rest.count('class="row-link"') == 5


def test_the_same_is_done_about_all_that_are_picked(browser: Any, engine: Engine) -> None:
    for number in (1, 2, 3):
        raise_alert(engine, number=number, gateway="hall/1")
    keys = re.findall(r'name="alert" value="([^"]+)"', page(browser, "/alerts"))
    assert len(keys) == 3
    form = {"do": "label:false", "alert": keys[:2]}
    header = {**csrf_header(browser), "Accept": "application/json"}
    answer = browser.post("/alerts/bulk", data=form, headers=header)
    assert answer.get_json() == {"done": 2, "words": "2 alerts labelled"}
    assert page(browser, "/alerts").count("false alarm</span>") == 2
    form = {"do": "acknowledge", "alert": [*keys, "gone/gone", "nonsense"]}
    assert browser.post("/alerts/bulk?view=active", data=form, headers=csrf_header(browser)).status_code == 303
    assert shown(browser) == []
    audit = page(browser, "/settings/audit?action=alert.")
    assert audit.count(">alert.acknowledge<") == 3
    assert audit.count(">alert.label<") == 2


@pytest.mark.parametrize(
    "form",
    [{"do": "nonsense"}, {"do": "label:maybe"}, {"do": "comment"}, {"do": "assign", "assignee": "nobody"}, {},
     {"do": "comment", "comment": "x" * 4_001}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_changes_nothing(browser: Any, engine: Engine, form: dict[str, str]) -> None:
    raise_alert(engine)
    before = page(browser, "/part/alerts/gw-1/a-1").partition('<ol class="history">')[2]
    for path in ("/alerts/gw-1/a-1/act", "/alerts/bulk"):
        data = {**form, "alert": "gw-1/a-1"}
        assert browser.post(path, data=data, headers=csrf_header(browser)).status_code == 422
    assert page(browser, "/part/alerts/gw-1/a-1").partition('<ol class="history">')[2] == before


def test_an_alert_shows_why_and_what_was_done_about_it(browser: Any, engine: Engine) -> None:
    raise_alert(engine, severity="high")
    for form in (
        {"do": "acknowledge"},
        {"do": "label:normal"},
        {"do": "comment", "comment": "Bearing ordered"},
        {"do": "assign", "assignee": "ana"},
    ):
        done = browser.post("/alerts/gw-1/a-1/act", data=form, headers=csrf_header(browser))
        assert done.status_code == 303
    text = page(browser, "/alerts/gw-1/a-1")
    for words in ("vibration 4.1 mm/s, usually 1.2–2.0", "acknowledged by ana", "normal for this device",
                  "Bearing ordered", "Looked after by</dt><dd>ana", "Take the label back"):  # fmt: skip
        assert words in text
    assert "assigned it to ana" in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))
    browser.post("/alerts/gw-1/a-1/act", data={"do": "label:none"}, headers=csrf_header(browser))
    assert "none yet" in page(browser, "/alerts/gw-1/a-1")
    assert browser.get("/alerts/gw-1/gone").status_code == 404
    gone = browser.post("/alerts/gw-1/gone/act", data={"do": "acknowledge"}, headers=csrf_header(browser))
    assert gone.status_code == 404


def test_a_viewer_sees_everything_and_is_offered_nothing_to_do(client: Any, engine: Engine) -> None:
    people.add(engine, "vera", "viewer")
    people.begin_session(client, engine, "vera")
    raise_alert(engine)
    for path in ("/", "/alerts", "/alerts/gw-1/a-1"):
        text = page(client, path)
        assert "pump-1" in text
        assert 'name="do"' not in text
        assert "Acknowledge" not in text


def test_hostile_names_stay_text(browser: Any, engine: Engine) -> None:
    raise_alert(
        engine,
        gateway=f"gw{HOSTILE}",
        id=HOSTILE,
        device=HOSTILE,
        kind=HOSTILE,
        profile=HOSTILE,
        reason=HOSTILE,
        detector=HOSTILE,
        channels=(ChannelReason(HOSTILE, 1.0, 0.0, 1.0, 1.0, aspect=HOSTILE, unit=HOSTILE),),
    )
    links = set(re.findall(r'href="(/(?:alerts|devices|gateways)/[^"]+)"', page(browser, "/alerts?view=all")))
    links |= set(re.findall(r'href="(/(?:alerts|devices|gateways)/[^"]+)"', page(browser, "/")))
    assert links
    for path in ("/alerts?view=all", "/part/alerts?view=all", "/devices", *links):
        text = page(browser, path)
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "style=" not in text


def test_the_refreshed_part_says_how_many_wait(browser: Any, engine: Engine) -> None:
    raise_alert(engine)
    first = browser.get("/part/alerts")
    assert first.headers["X-Attention"] == "1"
    again = browser.get("/part/alerts", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["X-Attention"]) == (304, "1")
