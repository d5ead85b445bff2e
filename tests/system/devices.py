"""Devices: publishers that count what they send, and note what the broker has acknowledged."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.processes import eventually
from tests.system.shipped_brokers import password_of

STEP = 1.0
"""Seconds of the devices' time between two readings."""
EVERY, LONG = 120, 4
"""Readings between the beginnings of two faults of a device, and how long one lasts."""
UNACKNOWLEDGED = 4_000
"""Readings of a device on their way to the broker at most: its memory."""
FAILURE = 0x80


class Fault(NamedTuple):
    """Readings of one device that its sensor cannot have measured."""

    device: str
    sequences: range


class Device:
    """One device with its own user, connection and sequence."""

    def __init__(self, name: str, port: int, number: int, start: float) -> None:
        self.name, self.number, self._start = name, number, start
        self.topic = f"plant/{name}/telemetry"
        self._noise = random.Random(number)
        self.sequence = 0
        """Of the next reading."""
        self.acknowledged: set[int] = set()
        self.refused: list[int] = []
        self._on_their_way: dict[int, int] = {}
        """Sequences by packet id."""
        self._answers: deque[tuple[int, bool]] = deque()
        self.client = self._connect(port)

    def _connect(self, port: int) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=self.name, protocol=MQTTv5)
        client.username_pw_set(self.name, password_of(self.name))
        client.reconnect_delay_set(1, 1)
        client.on_publish = self._published
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho does not say
        session.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", port, clean_start=False, properties=session)
        client.loop_start()
        return client

    def _published(self, _client: Client, _data: Any, packet_id: int, reason: Any, _properties: Any) -> None:
        # paho holds a lock here that `publish` wants: note it, and look later
        self._answers.append((packet_id, reason.value < FAILURE))

    def settle(self) -> int:
        """Strike off what the broker has answered; how many readings it has not."""
        while self._answers:
            packet_id, accepted = self._answers.popleft()
            sequence = self._on_their_way.pop(packet_id)
            if accepted:
                self.acknowledged.add(sequence)
            else:
                self.refused.append(sequence)
        return len(self._on_their_way)

    def time_of(self, sequence: int) -> float:
        """When a reading is taken, seconds since 1970."""
        return self._start + sequence * STEP

    def is_faulty(self, sequence: int) -> bool:
        """Whether the sensor says then what it cannot have measured."""
        return (sequence + self.number * 7) % EVERY < LONG and sequence >= LONG

    def publish(self, *, retain: bool = False) -> None:
        """Send the next reading at QoS 1."""
        sequence, when = self.sequence, self.time_of(self.sequence)
        daily = math.sin(2 * math.pi * when / 86_400)
        values = {
            "vibration": 75.0 if self.is_faulty(sequence) else 2.0 + 0.5 * daily + self._noise.gauss(0, 0.1),
            "temperature": 60.0 + 5.0 * daily + self._noise.gauss(0, 0.5),
            "pressure": 1013.25 + self._noise.gauss(0, 0.01),
        }
        payload = json.dumps({"seq": sequence, "ts": when, **values})
        self.sequence += 1
        sent = self.client.publish(self.topic, payload, qos=1, retain=retain)
        self._on_their_way[sent.mid] = sequence

    def faults(self) -> list[Fault]:
        """Those whose readings have all been sent."""
        faulty = [s for s in range(self.sequence) if self.is_faulty(s)]
        starts = [s for s in faulty if s - 1 not in faulty]
        return [Fault(self.name, range(s, s + LONG)) for s in starts if s + LONG <= self.sequence]

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()


class Devices:
    """Devices that publish in turn at a steady rate, in a thread of their own."""

    def __init__(self, names: Sequence[str], port: int, *, rate: float = 1_000.0) -> None:
        start = time.time() - 30 * 86_400
        self.each = [Device(name, port, number, start) for number, name in enumerate(names)]
        self._interval = 1.0 / rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="devices", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            for device in self.each:
                while device.settle() > UNACKNOWLEDGED or due > time.monotonic():
                    if self._stopping.wait(0.002):
                        return
                due += self._interval
                device.publish()
            if self._stopping.is_set():
                return

    def stop(self) -> None:
        """Publish nothing more, and wait until the broker has answered."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        eventually(
            lambda: sum(device.settle() for device in self.each) == 0, "every reading is acknowledged to its device"
        )

    @property
    def acknowledged(self) -> set[tuple[str, int]]:
        """(device, sequence) of every reading that the broker has taken responsibility for."""
        return {(device.name, sequence) for device in self.each for sequence in device.acknowledged}

    @property
    def faults(self) -> list[Fault]:
        """Those whose readings have all been sent."""
        return [fault for device in self.each for fault in device.faults()]

    def close(self) -> None:
        """Disconnect all."""
        self._stopping.set()
        for device in self.each:
            device.close()
