"""The agent's session at its broker: what waits is not lost, what is no longer wanted does not come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.processes import eventually
from tests.system.accounts import Accounts
from tests.system.devices import Device, Devices
from tests.system.gateway import Gateway

STREAM = '[[streams]]\ntopic = "{}"\nprofile = "pump"\n'
WANTED, REMOVED = "plant/{device}/telemetry", "plant/{device}/other"
QUEUED = 200


def publish(device: Device, number: int, *, retain: bool = False) -> set[tuple[str, int]]:
    """Send so many readings, and return (device, sequence) of each when the broker has it."""
    first = device.sequence
    for _ in range(number):
        device.publish(retain=retain)
    eventually(lambda: device.settle() == 0, "the broker has the readings")
    sent = set(range(first, device.sequence))
    assert sent <= device.acknowledged
    return {(device.name, sequence) for sequence in sent}


def test_a_restart_loses_nothing_of_what_was_queued(gateway: Gateway, new_devices: Callable[..., Devices]) -> None:
    devices, accounts = new_devices(gateway, ["pump-1", "pump-2"]).each, Accounts(gateway.trace)
    before = {key for device in devices for key in publish(device, 10)}
    eventually(lambda: not accounts.missing(before), "readings are scored")

    assert gateway.agent.stop() == 0
    queued = {key for device in devices for key in publish(device, QUEUED)}
    gateway.agent.start()

    eventually(lambda: not accounts.missing(queued), "what was queued is scored")
    assert accounts.scored == Counter(dict.fromkeys(before | queued, 1))


def test_a_removed_topic_filter_stops_being_delivered(
    new_gateway: Callable[..., Gateway], new_devices: Callable[..., Devices]
) -> None:
    gateway = new_gateway(streams=STREAM.format(WANTED) + STREAM.format(REMOVED))
    gateway.start()
    kept, removed = new_devices(gateway, ["pump-1", "pump-2"]).each
    removed.topic = "plant/pump-2/other"
    accounts = Accounts(gateway.trace)
    before = publish(kept, 5) | publish(removed, 5)
    eventually(lambda: not accounts.missing(before), "both topics are read")

    gateway.agent.stop()
    gateway.configure(STREAM.format(WANTED))
    gateway.agent.start()
    gateway.wait_for_agent()
    unwanted = publish(removed, 5)
    after = publish(kept, 5)
    eventually(lambda: not accounts.missing(after), "the topic that was kept is read")

    assert accounts.missing(unwanted) == unwanted
    assert not accounts.dead_letters
    subscribers = gateway.devices_broker.log.read_text()
    assert "plant/+/other" not in subscribers.rpartition("gateway-1")[2]


def test_what_is_retained_is_not_scored_again(gateway: Gateway, new_devices: Callable[..., Devices]) -> None:
    device = new_devices(gateway, ["pump-1"]).each[0]
    accounts = Accounts(gateway.trace)
    live = publish(device, 5, retain=True)
    eventually(lambda: not accounts.missing(live), "what is sent live is scored, retained or not")

    for disturb in (gateway.agent.kill, gateway.agent.stop, gateway.devices_broker.stop):
        disturb()
        gateway.devices_broker.start()
        if not gateway.agent.running:
            gateway.agent.start()
        gateway.wait_for_agent()
        live |= publish(device, 1, retain=True)
        eventually(lambda live=live: not accounts.missing(live), "it goes on")  # type: ignore[misc]  # live is bound

    assert accounts.scored == Counter(dict.fromkeys(live, 1))


def test_a_retained_reading_from_before_the_first_start_is_not_scored(
    new_gateway: Callable[..., Gateway], new_devices: Callable[..., Devices]
) -> None:
    gateway = new_gateway()
    gateway.devices_broker.start()
    device = new_devices(gateway, ["pump-1"]).each[0]
    retained = publish(device, 1, retain=True)
    gateway.start()
    accounts = Accounts(gateway.trace)
    live = publish(device, 1)
    eventually(lambda: not accounts.missing(live), "what is sent live is scored")

    assert accounts.scored.keys() == live
    assert accounts.fates["retained"].keys() == retained
