"""Publisher: the plant's readings over MQTT at QoS 1, in fast motion, and what the broker has acknowledged."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from examples.demo.configuration import TOPIC
from examples.demo.plant import TYPES

if TYPE_CHECKING:
    from examples.demo.plant import Plant, Reading

READINGS_PER_SECOND = 35.0
"""Readings of each device in a second of the clock on the wall: three simulated hours."""
UNACKNOWLEDGED = 500
"""Readings on their way to the broker at most."""
POLL = 0.002
PATIENCE = 0.1


class Publisher:
    """A thread that publishes until it is told to stop; one connection per type of device."""

    def __init__(self, plant: Plant, port: int) -> None:
        self._plant = plant
        self._stopping = threading.Event()
        self.go = threading.Event()
        """Cleared: hold on, the readings are not scored fast enough."""
        self.go.set()
        self.pace = 1.0
        """Share of READINGS_PER_SECOND."""
        self._on_their_way: dict[tuple[str, int], Reading] = {}
        """By connection and packet id."""
        self._acknowledgements: deque[tuple[str, int]] = deque()
        self.published: dict[str, set[int]] = {}
        """Sequences handed over, by device."""
        self.number = 0
        """Readings of each device so far."""
        self.acknowledged = 0
        self.caught_up = False
        """The simulated time has reached the clock on the wall and goes on with it."""
        self.error: BaseException | None = None
        self._clients = {kind: self._connect(kind, port) for kind in TYPES}
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def _connect(self, kind: str, port: int) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"demo-{kind}", clean_session=False)
        client.max_inflight_messages_set(UNACKNOWLEDGED)

        def on_publish(_client: Client, _data: Any, packet_id: int, *_: Any) -> None:
            # paho holds a lock here that `publish` wants: note it, and look later
            self._acknowledgements.append((kind, packet_id))

        client.on_publish = on_publish
        client.connect("127.0.0.1", port)
        client.loop_start()
        return client

    @property
    def count(self) -> int:
        """Readings handed over so far."""
        return self.number * self._plant.size

    @property
    def unacknowledged(self) -> int:
        """Readings that the broker has not confirmed."""
        return len(self._on_their_way)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Publish nothing more, and wait for the broker's acknowledgements, at most `patience` seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + patience
        while self._settle() and time.monotonic() < deadline:
            time.sleep(POLL)

    def close(self) -> None:
        """Disconnect."""
        self._stopping.set()
        for client in self._clients.values():
            client.disconnect()
            client.loop_stop()

    def _run(self) -> None:
        try:
            self._publish()
        except BaseException as error:  # the main thread raises it
            self.error = error

    def _publish(self) -> None:
        due = time.monotonic()
        for readings in self._plant.rounds():
            if not self._wait(due) or not self._wait_for_clock(readings[0].time):
                return
            # after a pause it goes on at the same pace, without a burst
            due = max(due + 1.0 / (READINGS_PER_SECOND * self.pace), time.monotonic())
            for reading in readings:
                self._send(reading)
            self.number += 1

    def _wait(self, due: float) -> bool:
        """Until it is time, and not too much is on its way; False when told to stop."""
        while not self._stopping.is_set():
            pause = due - time.monotonic()
            if self._settle() >= UNACKNOWLEDGED or not self.go.is_set():
                pause = max(pause, POLL)
            if pause <= 0.0:
                return True
            time.sleep(min(pause, PATIENCE))
        return False

    def _wait_for_clock(self, reading_time: float) -> bool:
        """No device knows the future; False when told to stop."""
        while reading_time > time.time():
            self.caught_up = True
            if self._stopping.wait(PATIENCE):
                return False
        return True

    def _send(self, reading: Reading) -> None:
        payload = {"seq": reading.sequence, "ts": reading.time, **reading.values}
        topic = TOPIC.format(device_type=reading.device_type, device=reading.device)
        sent = self._clients[reading.device_type].publish(topic, json.dumps(payload), qos=1)
        self._on_their_way[reading.device_type, sent.mid] = reading
        self.published.setdefault(reading.device, set()).add(reading.sequence)

    def _settle(self) -> int:
        """Strike off what the broker has acknowledged; how many readings are still on their way."""
        while self._acknowledgements:
            if self._on_their_way.pop(self._acknowledgements.popleft(), None) is not None:
                self.acknowledged += 1
        return len(self._on_their_way)
