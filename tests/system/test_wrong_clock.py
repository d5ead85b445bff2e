"""A gateway without a battery wakes up in 1970, and is told the time later."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, eventually
from tests.system.delivery import check_that_nothing_is_lost
from tests.system.devices import Devices
from tests.system.gateway import Gateway
from tests.system.program import Program
from vedette_models.readings import Quality

RATE = 200.0
Observed = Callable[[str, object], None]


def status(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((gateway.folder / "agent" / "status.json").read_text())
    return found


def set_clock(file: Path, off: float) -> None:
    """In one step: the program reads it all the time."""
    new = file.with_suffix(".new")
    new.write_text(str(off))
    new.replace(file)


def is_there(gateway: Gateway) -> bool:
    """By what it says of itself, whenever it believes that to be."""
    return (gateway.folder / "agent" / "status.json").exists() and status(gateway)["hub"] == "connected"


def unset(alert: dict[str, Any]) -> bool:
    return bool(alert["time_quality"] & Quality.GATEWAY_UNSET)


@pytest.mark.slow
@pytest.mark.fault(
    fault="the gateway wakes up in 1970; its clock is set while it runs, and again after a restart in 1970",
    expected="readings are scored and alerts delivered all the time; records say that their times were not sure",
)
def test_nothing_waits_for_the_time_and_records_say_what_theirs_is_worth(
    new_gateway: Callable[..., Gateway], new_devices: Callable[..., Devices], record_property: Observed
) -> None:
    gateway = new_gateway()
    clock = gateway.folder / "clock"
    in_1970 = 60.0 - time.time()
    set_clock(clock, in_1970)
    gateway.agent = Program(
        str(ROOT / "tests" / "system" / "clock_set_by_file.py"),
        *("run", "--config", gateway.configuration, "--trace", gateway.trace),
        log=gateway.folder / "agent.log",
        environment={"TEST_CLOCK_FILE": str(clock), "PYTHONPATH": str(ROOT)},
    )
    gateway.devices_broker.start()
    gateway.hub_broker.start()
    gateway.hub.start()
    gateway.agent.start()
    eventually(gateway.api.is_well, "the hub is up", 60.0)
    eventually(lambda: is_there(gateway), f"the agent is connected; its log:\n{gateway.agent.said()[-2000:]}", 60.0)
    devices = new_devices(gateway, rate=RATE)
    devices.start()

    def alerts_more_than(number: int, sure: bool) -> bool:
        return sum(unset(alert) != sure for alert in gateway.api.alerts()) > number

    eventually(lambda: alerts_more_than(5, sure=False), "alerts of 1970 are at the hub", 120.0)
    assert status(gateway).get("time_quality", 0) & Quality.GATEWAY_UNSET
    assert any("the clock of this machine is not set" in problem for problem in status(gateway).get("problems", []))

    set_clock(clock, 0.0)
    eventually(lambda: not status(gateway).get("time_quality", 0) & Quality.GATEWAY_UNSET, "the clock is believed")
    eventually(lambda: alerts_more_than(5, sure=True), "alerts of today are at the hub", 120.0)
    assert not any("the clock of this machine" in problem for problem in status(gateway).get("problems", []))

    gateway.agent.kill()
    set_clock(clock, in_1970)
    first = sum(map(unset, gateway.api.alerts()))
    gateway.agent.start()
    eventually(lambda: alerts_more_than(first + 5, sure=False), "more alerts of 1970", 120.0)
    set_clock(clock, 0.0)
    sure = sum(not unset(alert) for alert in gateway.api.alerts())
    eventually(lambda: alerts_more_than(sure + 5, sure=True), "more alerts of today", 120.0)

    told = check_that_nothing_is_lost(gateway, devices, interruptions=1)
    marked = sum(map(unset, gateway.api.alerts()))
    record_property("observed", f"{told}, {marked} of them marked as of an unset clock")
