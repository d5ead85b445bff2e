"""Every page of the console in Chromium: on a phone, accessible in both colour schemes, and its charts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Plant
from tests.browser.pictures import LARGEST, SHOTS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = (
    "/",
    "/alerts?view=all",
    "/alerts/hall-a/0001",
    "/gateways",
    "/gateways/hall-b",
    "/devices",
    "/devices/hall-a/pump-2",
    "/devices/cold-store/freezer-2/forecast",
    "/models",
    "/models/pump/2",
    "/models/pump/compare",
    "/models/pump/train",
    "/models/pump/orders",
    "/settings",
    "/settings/severity",
    "/settings/quiet",
    "/settings/channels",
    "/settings/routes",
    "/settings/retention",
    "/settings/access",
    "/settings/audit",
    "/account",
)
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


def _open(page: Page, plant: Plant, path: str) -> None:
    page.goto(plant.url + path)
    if page.locator("[data-said]").count():
        expect(page.locator("[data-said]")).to_contain_text("samples")
    page.wait_for_load_state("load")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_are_accessible(filled_plant: Plant, open_page: OpenPage, dark: bool) -> None:
    page, axe, found = open_page(dark=dark), Axe(), []
    filled_plant.sign_in(page)
    for path in PAGES:
        _open(page, filled_plant, path)
        for violation in axe.run(page, options=RULES).response["violations"]:
            where = "; ".join(str(node["target"][0]) for node in violation["nodes"][:3])
            found.append(f"{path}: {violation['id']} ({violation['impact']}): {violation['help']}: {where}")
    assert found == []


def test_pages_fit_on_a_phone(filled_plant: Plant, open_page: OpenPage) -> None:
    page, wide = open_page(phone=True), []
    filled_plant.sign_in(page)
    for path in PAGES:
        _open(page, filled_plant, path)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > page.evaluate("window.innerWidth"):
            wide.append(f"{path}: {width}")
    assert wide == []
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Alerts").click()
    page.locator("tr[data-alert]").first.get_by_role("checkbox").check()
    expect(page.locator("#said")).to_have_text("1 picked")


def test_charts_are_read_off_and_zoomed(filled_plant: Plant, open_page: OpenPage) -> None:
    page = open_page()
    filled_plant.sign_in(page)
    _open(page, filled_plant, "/devices/hall-a/pump-2")
    expect(page.locator("svg[role=group]")).to_have_count(4)  # three channels, and the score of the gateway's model
    assert page.locator("svg .band").count() >= 3
    assert page.locator("svg .alert-span").count() >= 1
    before = page.locator("[data-said]").text_content() or ""
    chart = page.locator("svg[role=group]").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.4 * box["width"], middle)
    expect(page.locator(".readout").first).to_contain_text("UTC: ")
    expect(page.locator(".readout").first).to_contain_text("expected ")
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=4)
    page.mouse.up()
    expect(page.locator("[data-said]")).not_to_have_text(before)
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("[data-said]")).to_have_text(before)


def test_the_theme_is_chosen_and_kept(filled_plant: Plant, open_page: OpenPage) -> None:
    page = open_page()
    filled_plant.sign_in(page)
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", "light")
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.goto(f"{filled_plant.url}/alerts")
    expect(html).to_have_attribute("data-bs-theme", "dark")


def test_every_kind_of_alert_is_found_by_the_filters(filled_plant: Plant, open_page: OpenPage) -> None:
    page = open_page()
    filled_plant.sign_in(page)
    page.goto(f"{filled_plant.url}/alerts")
    expect(page.locator("tr[data-alert]")).to_have_count(4)
    page.keyboard.press("/")
    page.select_option("#filter-severity", "critical")
    expect(page.locator("tr[data-alert]")).to_have_count(1)
    expect(page.locator("tr[data-alert]")).to_contain_text("vibration 4.1 mm/s")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_pictures_for_the_readme_are_taken(filled_plant: Plant, open_page: OpenPage, tmp_path: Path) -> None:
    """Into docs/ with PICTURES=docs, which `make test-browser` sets; else they are thrown away."""
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    page = open_page()
    filled_plant.sign_in(page)
    page.set_viewport_size({"width": 1200, "height": 820})
    for path, name in SHOTS.items():
        _open(page, filled_plant, path)
        picture = page.screenshot()
        assert len(picture) <= LARGEST, f"{name}: {len(picture)} bytes"
        (folder / name).write_bytes(picture)
