"""Brokers that forget: killed with and without persistence. What they had not handed on is lost, and nothing else is.

Mosquitto writes what it has to the disk every `autosave_interval` and when it is stopped, not before it acknowledges:
with or without persistence, a `kill -9` of the devices' broker loses what it has acknowledged to devices and not yet
delivered.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.brokers import Mosquitto
from tests.processes import eventually
from tests.system.accounts import Accounts
from tests.system.delivery import PATIENCE, RECEIVE_MAXIMUM, check_alerts, check_that_nothing_is_lost, delivered
from tests.system.devices import Devices
from tests.system.gateway import Gateway
from tests.system.moments import Moments

TIMES = 4 if os.environ.get("FAULTS_LONG") else 2
RATE = 300.0
PERSISTENCE = pytest.mark.parametrize("persistence", [True, False], ids=["persistence", "no persistence"])
Observed = Callable[[str, object], None]


def keeping(broker: Mosquitto, persistence: bool) -> None:
    """As shipped, or with everything in memory."""
    path = broker.directory / "mosquitto.conf"
    text = path.read_text()
    assert "\npersistence true\n" in text
    if not persistence:
        path.write_text(text.replace("\npersistence true\n", "\npersistence false\n"))


def killed(broker: Mosquitto, moments: Moments) -> None:
    moments.let_pass(0.2, 1.5, "running")
    broker.kill()
    moments.let_pass(0.1, 2.0, "away")
    broker.start()


@PERSISTENCE
@pytest.mark.slow
@pytest.mark.fault(
    fault="kill -9 of the hub's broker, with and without persistence",
    expected="every reading accounted for, every alert at the hub once",
)
def test_the_hubs_broker(
    new_gateway: Callable[..., Gateway],
    new_devices: Callable[..., Devices],
    moments: Moments,
    persistence: bool,
    record_property: Observed,
) -> None:
    gateway = new_gateway()
    keeping(gateway.hub_broker, persistence)
    gateway.start()
    devices = new_devices(gateway, rate=RATE)
    devices.start()
    eventually(gateway.api.alerts, "the first alert is at the hub", 60.0)
    for _ in range(TIMES):
        killed(gateway.hub_broker, moments)
    record_property("observed", check_that_nothing_is_lost(gateway, devices, interruptions=0))


@PERSISTENCE
@pytest.mark.slow
@pytest.mark.fault(
    fault="kill -9 of the devices' broker, with and without persistence",
    expected="lost is only what it had not handed on; every alert at the hub once; what comes afterwards is scored",
)
def test_the_devices_broker(
    new_gateway: Callable[..., Gateway],
    new_devices: Callable[..., Devices],
    moments: Moments,
    persistence: bool,
    record_property: Observed,
) -> None:
    gateway = new_gateway()
    keeping(gateway.devices_broker, persistence)
    gateway.start()
    devices = new_devices(gateway, rate=RATE)
    devices.start()
    accounts = Accounts(gateway.trace)
    for _ in range(TIMES):
        killed(gateway.devices_broker, moments)
        before = _newest(devices)
        eventually(lambda before=before: _heard_since(accounts, before), "readings arrive", 60.0)  # type: ignore[misc]  # bound
    since = _newest(devices)
    moments.let_pass(1.0, 2.0, "running")
    devices.stop()

    later = {(name, sequence) for name, sequence in devices.acknowledged if sequence >= since[name]}
    assert later
    eventually(lambda: not accounts.missing(later), "what came after the last kill is accounted for", PATIENCE)
    missing = accounts.missing(devices.acknowledged)
    again = sum(times > 1 for times in accounts.scored.values())
    assert again <= TIMES * RECEIVE_MAXIMUM
    assert not accounts.dead_letters
    history = delivered(gateway)
    opened = Counter((event["device"], event["kind"], event["opened"]) for event in history if event["revision"] == 1)
    assert set(opened.values()) == {1}, "no reading opened two alerts of a kind"
    record_property(
        "observed",
        f"{'with' if persistence else 'without'}: {len(missing)} of {len(devices.acknowledged):,} readings lost in "
        f"{TIMES} kills, {again} scored again; {check_alerts(gateway, history)}",
    )


def _newest(devices: Devices) -> dict[str, int]:
    return {device.name: device.sequence for device in devices.each}


def _heard_since(accounts: Accounts, sequences: dict[str, int]) -> bool:
    """Whether every device was: then agent and devices have their sessions again."""
    accounts.follow()
    heard = {name for name, sequence in accounts.scored if sequence >= sequences[name]}
    return heard == set(sequences)
