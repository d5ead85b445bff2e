"""What people do with a hub, in Chromium: a real broker, hub and agent, and a device that has faults."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Line, OpenPage
from tests.hub.learning.readings import deliver, samples
from tests.hub.web.test_console import HOSTILE, raise_alert
from vedette_hub import state
from vedette_models.messages import ChannelReason

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_first_sign_in_leads_to_a_password_of_ones_own(line: Line, open_page: OpenPage) -> None:
    page, hub = open_page(), line.hub
    first = (hub.state_dir / state.PASSWORD_FILE).read_text().strip()
    page.goto(hub.url)
    expect(page.get_by_text(str(hub.state_dir / state.PASSWORD_FILE))).to_be_visible()
    page.fill("#user", "admin")
    page.fill("#password", first)
    page.click("button[type=submit]")
    expect(page.get_by_text("Choose a password of your own")).to_be_visible()
    page.goto(hub.url)  # there is no way around it
    page.fill("#current", first)
    page.fill("#password", "a long enough password")
    page.fill("#again", "a long enough password")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert not (hub.state_dir / state.PASSWORD_FILE).exists()


def test_a_fault_appears_without_a_reload_and_is_acknowledged_and_labelled_by_keyboard(
    line: Line, open_page: OpenPage
) -> None:
    page = open_page()
    line.hub.sign_in(page)
    page.goto(f"{line.hub.url}/alerts")
    page.evaluate("window.untouched = true")
    _until_alerted(line, page)
    page.keyboard.press("j")
    expect(page.locator(".row-link:focus")).to_have_text("pump-7")
    page.keyboard.press("t")
    expect(page.locator("#said")).to_have_text("1 alert labelled")
    expect(page.locator("tr[data-alert]").first).to_contain_text("real fault")
    page.keyboard.press("a")
    expect(page.locator("#said")).to_have_text("1 alert acknowledged")
    expect(page.locator("tr[data-alert]")).to_have_count(0)  # it needs no attention any more
    assert page.evaluate("window.untouched")
    page.get_by_role("link", name="All", exact=True).click()
    page.get_by_role("link", name="pump-7").first.click()
    history = page.get_by_role("region", name="History")
    expect(history).to_contain_text("ana acknowledged it")
    expect(history).to_contain_text("ana labelled it: a real fault")
    page.fill("#comment", "Sensor replaced")
    page.get_by_role("button", name="Add the comment").click()
    expect(history).to_contain_text("Sensor replaced")


def _until_alerted(line: Line, page: Page) -> None:
    """The device says what its sensor cannot measure; the agent may have to be connected first."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not page.get_by_role("link", name="pump-7").count():
        assert time.monotonic() < deadline, "no alert appeared"
        line.say(400.0)
        page.wait_for_timeout(500)


def test_a_version_is_trained_compared_pushed_and_rolled_back(line: Line, open_page: OpenPage) -> None:
    page, hub = open_page(), line.hub
    channels = {"channels": ("vibration", "temperature")}
    deliver(hub.engine, samples(1, readings=500, **channels), samples(2, readings=500, **channels), gateway="line-1")
    hub.sign_in(page)
    for number in (1, 2):
        page.goto(f"{hub.url}/models/pump/train")
        page.select_option("#algorithm", "isolation_forest")
        page.get_by_role("button", name="Train").click()
        expect(page.get_by_role("link", name=f"version {number}")).to_be_visible()  # the page refreshes itself
        if number == 1:
            # Another version needs other data.
            deliver(hub.engine, samples(3, readings=500, **channels), first=3, gateway="line-1")
    for number in (1, 2):
        page.goto(f"{hub.url}/models/pump/{number}")
        page.select_option("select[name=target]", "gateway:line-1")
        page.get_by_role("button", name=f"Push version {number}").click()
        _runs(page, number)
    page.get_by_role("link", name="Compare two versions").click()
    expect(page.get_by_role("columnheader", name="Version 1").first).to_be_visible()
    expect(page.get_by_role("columnheader", name="Version 2").first).to_be_visible()
    expect(page.get_by_role("table", name="Backtest")).to_contain_text("Alerts per device-week")
    page.goto(f"{hub.url}/models/pump/2")
    page.get_by_role("button", name="Roll back pump everywhere").click()
    _runs(page, 1)


def _runs(page: Page, number: int) -> None:
    """The agent has verified a version, and runs it."""
    row = page.get_by_role("row").filter(has_text="line-1")
    expect(row.get_by_role("cell").nth(1)).to_have_text(f"version {number}")
    expect(row).to_contain_text("runs it")


def test_readings_are_live_while_somebody_looks(line: Line, open_page: OpenPage) -> None:
    page, hub = open_page(), line.hub
    raise_alert(hub.engine, gateway="line-1", device="pump-7", id="live")  # the hub knows the device
    hub.sign_in(page)
    page.goto(f"{hub.url}/devices/line-1/pump-7")
    expect(page.locator("#freshness-text")).to_have_text("live")
    page.get_by_role("button", name="Live readings").click()
    deadline = time.monotonic() + PATIENCE / 1000
    while not page.locator("svg .line").count():
        assert time.monotonic() < deadline, page.locator("[data-said]").text_content()
        line.say(1.5)
        page.wait_for_timeout(300)
    expect(page.locator("figcaption").first).to_contain_text("vibration")


def test_names_that_want_to_be_markup_stay_text(line: Line, open_page: OpenPage) -> None:
    page, hub = open_page(), line.hub
    opened: list[str] = []
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    raise_alert(
        hub.engine,
        gateway=f"gw{HOSTILE}",
        id=HOSTILE,
        device=HOSTILE,
        kind=HOSTILE,
        reason=HOSTILE,
        severity="critical",
        channels=(ChannelReason(HOSTILE, 1.0, 0.0, 1.0, 1.0, unit=HOSTILE),),
    )
    hub.sign_in(page)
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    page.goto(f"{hub.url}/alerts?view=active")
    page.locator(".row-link", has_text=HOSTILE).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    page.get_by_role("link", name="The device").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    expect(page.locator("[data-said]")).to_contain_text("samples")
    assert opened == []


def test_a_page_that_cannot_be_refreshed_says_so_and_recovers(line: Line, open_page: OpenPage) -> None:
    page = open_page()
    line.hub.sign_in(page)
    expect(page.locator("#freshness-text")).to_have_text("live")
    page.context.set_offline(True)
    expect(page.locator("#freshness-text")).to_contain_text("disconnected, retrying")
    page.context.set_offline(False)
    expect(page.locator("#freshness-text")).to_have_text("live")
