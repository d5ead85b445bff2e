"""What the agent has committed against what the hub has, alert by alert."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.processes import eventually
from tests.system.accounts import Accounts, Key
from tests.system.devices import Devices
from tests.system.gateway import Gateway

RECEIVE_MAXIMUM = 512
"""Readings that may be on their way to the agent unacknowledged, and so may come again after it was killed."""
PATIENCE = 300.0
"""Seconds: the agent sends again after 15, then 30, then 60 s what has no receipt."""


def check_that_nothing_is_lost(
    gateway: Gateway, devices: Devices, *, interruptions: int, repeated: bool = False
) -> str:
    """Every reading is accounted for, and every alert is at the hub exactly once; says how many.

    Compared are sets, by sequence and by (alert, revision):

    1. Readings that the broker has acknowledged to a device, against the agent's trace: each was scored, or recognised
       as a repetition of what the agent had committed (it was killed after the commit, before it wrote the trace).
    2. A reading may be scored twice if somebody was stopped before its acknowledgement had left; at most so many per
       interruption as may be unacknowledged. A device whose own broker went away sends again what it has no answer for,
       and what waited behind that (`repeated`): to the agent, new messages. What must not happen twice is an alert:
    3. no reading has opened two alerts of a kind, and each fault that was injected has raised exactly one (of devices
       whose readings the broker delivered in order: Mosquitto 2.0.11 lets a new message overtake those that it has kept
       for a client that comes back, and then a fault may be seen in two parts, or before the one that preceded it).
    4. (alert, revision) pairs in the agent's own history, against those in the histories of the hub's alerts: the same,
       each once; and the newest of each alert is what the hub shows.
    """
    devices.stop()
    accounts = Accounts(gateway.trace)
    most_again = len(devices.acknowledged) if repeated else interruptions * RECEIVE_MAXIMUM
    readings = check_readings(accounts, devices.acknowledged, most_again)
    assert not [device.refused for device in devices.each if device.refused]
    assert not accounts.dead_letters
    history = delivered(gateway)
    check_that_each_fault_is_one_alert(devices, history, accounts.disordered)
    alerts = check_alerts(gateway, history)
    told = f"{readings}; {alerts}"
    print(f"{told}, {len(accounts.disordered)} devices out of order")
    return told


def check_readings(accounts: Accounts, acknowledged: set[Key], most_again: int) -> str:
    """The first and the second of the above."""
    try:
        eventually(lambda: not accounts.missing(acknowledged), "every reading is accounted for", PATIENCE)
    except AssertionError as error:
        missing = accounts.missing(acknowledged)
        few = sorted(missing)[:10]
        raise AssertionError(f"{len(missing)} of {len(acknowledged)} readings are not accounted for: {few}") from error
    scored = accounts.scored
    again = {key for key, times in scored.items() if times > 1}
    recognised = len(acknowledged - scored.keys())
    assert len(again) <= most_again, f"{len(again)} of {len(acknowledged)} scored again, at most {most_again}"
    assert recognised <= most_again
    assert scored.keys() <= acknowledged
    return f"0 of {len(acknowledged):,} readings lost, {len(again)} scored again, {recognised} recognised only"


def delivered(gateway: Gateway) -> list[dict[str, Any]]:
    """Every event of an alert that the agent has committed, once it says that the hub has them all."""
    outbox = eventually(lambda: (box := gateway.outbox())["rows"] == 0 and box, "the outbox is empty", PATIENCE)
    assert outbox["lost"] == 0
    history: list[dict[str, Any]] = outbox["history"]
    assert len(history) < 100_000
    return history


def check_alerts(gateway: Gateway, history: list[dict[str, Any]]) -> str:
    """The fourth of the above."""
    stored = gateway.api.alerts()
    committed = Counter((event["id"], event["revision"]) for event in history)
    assert committed == Counter(event for alert in stored for event in gateway.api.events(alert))
    assert set(committed.values()) == {1}
    newest = {event["id"]: event for event in reversed(history)}
    assert {a["id"]: (a["revision"], a["state"]) for a in stored} == {
        a["id"]: (a["revision"], a["state"]) for a in newest.values()
    }
    return f"{len(newest)} alerts with {len(history)} events at the hub, each once"


def check_that_each_fault_is_one_alert(devices: Devices, history: list[dict[str, Any]], disordered: set[str]) -> None:
    """By the time of the readings that opened them."""
    opened = Counter((e["device"], e["kind"], e["opened"]) for e in history if e["revision"] == 1)
    assert set(opened.values()) == {1}
    by_name = {device.name: device for device in devices.each}
    raised = {
        fault: sum(opened[fault.device, "impossible", by_name[fault.device].time_of(s)] for s in fault.sequences)
        for fault in devices.faults
        if fault.device not in disordered
    }
    assert {fault: times for fault, times in raised.items() if times != 1} == {}
