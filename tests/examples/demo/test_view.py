"""The demo's view: a page in a terminal, lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from examples.demo.findings import judge
from examples.demo.hub_alerts import HubAlert
from examples.demo.plant import Plant
from examples.demo.view import Lines, Page, Snapshot, open_view, page

PLANT = Plant(start=1_000_000.0)
ALERTS = [
    HubAlert(str(i), fault.device, "critical", PLANT.time_of(fault.first + 1), f"vibration {i} mm/s, usually 1–2; " * 4)
    for i, fault in enumerate(PLANT.faults[:12])
]


def snapshot(**changes: object) -> Snapshot:
    findings, others = judge(PLANT, 1_200, ALERTS)
    state: dict[str, object] = {
        "phase": "fast motion",
        "console_url": "http://127.0.0.1:8080",
        "password_file": ".demo/console-password",
        "broker": "Mosquitto",
        "devices": 15,
        "published": 12_345,
        "findings": findings,
        "other_alerts": others,
        "alerts": ALERTS,
        **changes,
    }
    return Snapshot(**state)  # type: ignore[arg-type]  # checked by what is shown


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20)])
def test_the_page_fits_the_terminal_and_says_what_matters(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(page(snapshot(problems=["the hub is away"]), width, height))

    text = capture.get()
    assert len(text.splitlines()) < height, text
    for part in ("12,345 published", "pump-1", "16, 12 found", "problem: the hub is away", "http://127.0.0.1:8080"):
        assert part in text


def test_a_page_leaves_what_it_showed_last() -> None:
    output = io.StringIO()
    live = Page(Console(file=output, force_terminal=True, width=80, height=24))
    live.show(snapshot(published=1))
    live.show(snapshot(published=2))
    live.close()

    assert "2 published" in output.getvalue().rpartition("Vedette")[2]


def test_without_a_terminal_each_thing_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.show(snapshot())
    lines.show(snapshot())

    said = capsys.readouterr().out
    assert said.count("fault injected: bearing wear on pump-1") == 1
    assert said.count("bearing wear on pump-1: found after 5 min") == 1
    assert said.count("vibration 3 mm/s") == 4  # one alert that says it four times


def test_standard_output_that_is_no_terminal_gets_lines() -> None:
    assert isinstance(open_view(), Lines)
