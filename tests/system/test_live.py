"""Readings of a device at the hub while somebody looks, through brokers with the shipped access lists."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.system.devices import Device, Devices
from tests.system.gateway import Gateway

SECONDS = 45.0


@contextmanager
def looking(gateway: Gateway) -> Iterator[ClientConnection]:
    """A signed-in socket."""
    token = (gateway.folder / "hub" / "api-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"ws://{gateway.api.address}/ws", additional_headers=headers, open_timeout=SECONDS, proxy=None) as ws:
        yield ws


def say(socket: ClientConnection, kind: str, **data: Any) -> None:
    socket.send(json.dumps({"type": kind, "data": data}))


def until(socket: ClientConnection, kind: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        message = json.loads(socket.recv(SECONDS))
        if message["type"] == kind and wanted(message["data"]):
            return message["data"]
    raise AssertionError(f"no {kind} within {SECONDS} s")


@contextmanager
def publishing(device: Device) -> Iterator[None]:
    """A device that publishes for as long as this lasts."""
    stopped = threading.Event()

    def publish() -> None:
        while not stopped.wait(0.05):
            device.publish()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_who_looks_at_a_device_sees_its_readings_with_scores_and_bands(
    gateway: Gateway, new_devices: Callable[..., Devices]
) -> None:
    device = new_devices(gateway, ["pump-1"]).each[0]
    with publishing(device), looking(gateway) as watcher, looking(gateway) as listener:
        say(listener, "subscribe", channels=["scores"])
        until(listener, "subscribed")
        say(watcher, "watch", gateway="gateway-1", device="pump-1")
        assert until(watcher, "watching")["state"] == "asked"
        assert until(watcher, "watching", lambda data: data["state"] != "unknown device")["state"] == "streaming"
        first = until(watcher, "reading")
        banded = until(watcher, "reading", lambda data: data["readings"][-1]["low"][0] is not None)
        scored = until(listener, "score")
        say(watcher, "watch", gateway="gateway-1", device="nobody")
        until(watcher, "watching", lambda data: data["state"] == "unknown device")
        say(watcher, "unwatch", gateway="gateway-1", device="pump-1")
        until(watcher, "watching", lambda data: data["state"] == "ended")

    assert (first["gateway"], first["device"], first["profile"]) == ("gateway-1", "pump-1", "pump")
    assert first["channels"][0] == {"name": "vibration", "unit": "mm/s"}
    last = banded["readings"][-1]
    assert len(last["values"]) == len(last["low"]) == len(last["high"]) == 3
    assert last["low"][0] <= last["high"][0]
    assert scored["source"] == "live"
    assert scored["device"] == "pump-1"
