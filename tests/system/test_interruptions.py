"""Nothing is lost and no alert comes twice, whatever is killed in mid-stream at 1,000 readings a second.

`FAULTS_LONG=1` kills more often and keeps away for longer; `FAULTS_SEED` chooses other moments.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.brokers import Mosquitto
from tests.processes import eventually
from tests.system.delivery import check_that_nothing_is_lost
from tests.system.devices import Devices
from tests.system.gateway import Gateway
from tests.system.moments import Moments
from tests.system.program import Program

LONG = bool(os.environ.get("FAULTS_LONG"))
TIMES = 4 if LONG else 2
AWAY = 15.0 if LONG else 2.0
"""Seconds that what was killed stays away at most."""
Observed = Callable[[str, object], None]


@pytest.fixture
def devices(gateway: Gateway, new_devices: Callable[..., Devices]) -> Devices:
    """Publishing; the first alerts are at the hub."""
    devices = new_devices(gateway)
    devices.start()
    eventually(gateway.api.alerts, "the first alert is at the hub")
    return devices


def interrupt(one: Program | Mosquitto, moments: Moments, *, away: float) -> None:
    one.kill()
    moments.let_pass(0.2, away, "away")
    one.start()


@pytest.mark.fault(
    fault="kill -9 of the agent at random moments, at 1,000 readings a second",
    expected="every reading accounted for, every alert at the hub once",
)
def test_kill_9_of_the_agent(gateway: Gateway, devices: Devices, moments: Moments, record_property: Observed) -> None:
    for _ in range(TIMES):
        moments.let_pass(0.5, 1.5, "running")
        interrupt(gateway.agent, moments, away=AWAY)
        for _ in range(2):
            # Again while it works off what has waited for it.
            size = gateway.trace.stat().st_size
            eventually(lambda size=size: gateway.trace.stat().st_size > size, "it reads")  # type: ignore[misc]  # bound
            moments.let_pass(0.0, 0.1, "catching up")
            interrupt(gateway.agent, moments, away=1.0)
    record_property("observed", check_that_nothing_is_lost(gateway, devices, interruptions=3 * TIMES))


@pytest.mark.fault(
    fault="kill -9 of the hub and of its broker at random moments",
    expected="every reading accounted for, every alert at the hub once",
)
def test_kill_9_of_the_hub_and_of_its_broker(
    gateway: Gateway, devices: Devices, moments: Moments, record_property: Observed
) -> None:
    for _ in range(TIMES):
        moments.let_pass(0.2, 1.0, "running")
        interrupt(gateway.hub, moments, away=AWAY)
        moments.let_pass(0.2, 1.0, "running")
        interrupt(gateway.hub_broker, moments, away=AWAY)
    record_property("observed", check_that_nothing_is_lost(gateway, devices, interruptions=0))


@pytest.mark.fault(
    fault="the devices' broker is stopped at random moments and stays away",
    expected="every reading accounted for, every alert at the hub once",
)
def test_restart_of_the_devices_broker(
    gateway: Gateway, devices: Devices, moments: Moments, record_property: Observed
) -> None:
    for _ in range(TIMES + 1):  # the second and later ones find it working off what it has kept
        moments.let_pass(0.2, 1.0, "running")
        gateway.devices_broker.stop()
        moments.let_pass(0.2, AWAY, "away")
        gateway.devices_broker.start()
    told = check_that_nothing_is_lost(gateway, devices, interruptions=TIMES + 1, repeated=True)
    record_property("observed", told)
