"""Load: devices that publish at a steady rate, in a process of their own, as cheaply as Python can.

The packets are written by hand (MQTT 3.1.1, QoS 1) and sent in bursts of a few milliseconds, so that on a small
machine the publisher does not take the processor from what is measured.
"""

from __future__ import annotations

import multiprocessing
import random
import selectors
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

BURST = 0.002
MAX_PACKET_ID = 65_535
PUBACK_BYTES = 4


@dataclass(frozen=True)
class Load:
    """What is published: `rate` readings a second, evenly over `devices`, a share of them anomalous."""

    port: int
    rate: float
    devices: int
    channels: int
    anomalous: float
    seed: int = 1
    name: str = "d"
    """What the names of the devices begin with."""
    root: str = "bench"
    """First level of the topics."""

    @property
    def channel_names(self) -> list[str]:
        """As in the profile."""
        return [f"c{i}" for i in range(self.channels)]


class Publisher:
    """A running load; `published` counts, `pause` and `resume` hold it, `stop` ends it."""

    def __init__(self, load: Load) -> None:
        context = multiprocessing.get_context("spawn")
        self._count = context.Value("q", 0)
        self._flowing, self._ended = context.Event(), context.Event()
        self._process = context.Process(
            target=_publish, args=(load, self._count, self._flowing, self._ended), daemon=True
        )
        self._process.start()

    @property
    def published(self) -> int:
        """Readings sent so far."""
        return int(self._count.value)

    def resume(self) -> None:
        """Publish at the load's rate from now on."""
        self._flowing.set()

    def pause(self) -> None:
        """Hold still."""
        self._flowing.clear()

    def stop(self) -> None:
        """End the process."""
        self._ended.set()
        self._flowing.set()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()


def _publish(load: Load, count: object, flowing: Event, ended: Event) -> None:
    random.seed(load.seed)
    connection = _connect(load)
    acknowledgements = selectors.DefaultSelector()
    acknowledgements.register(connection, selectors.EVENT_READ)
    packet_id = sequence = sent = 0
    began = time.perf_counter()
    while not ended.is_set():
        if not flowing.is_set():
            flowing.wait()
            sent, began = 0, time.perf_counter()
        due = int((time.perf_counter() - began) * load.rate) - sent
        packets = []
        for _ in range(max(0, due)):
            packet_id = packet_id % MAX_PACKET_ID + 1
            packets.append(_packet(load, sequence, packet_id))
            sequence += 1
        if packets:
            connection.sendall(b"".join(packets))
            sent += len(packets)
            count.value = sequence  # type: ignore[attr-defined]  # multiprocessing.Value
        while acknowledgements.select(0):
            if not connection.recv(1 << 16):
                raise ConnectionError("the broker closed the publisher's connection")
        time.sleep(BURST)


def _connect(load: Load) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", load.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client_id = f"load of {load.root}/{load.name}".encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(client_id)) + client_id
    connection.sendall(bytes([0x10, len(body)]) + body)
    answer = connection.recv(PUBACK_BYTES)
    if answer != b"\x20\x02\x00\x00":
        raise ConnectionError(f"the broker did not accept the publisher: {answer!r}")
    return connection


def _packet(load: Load, sequence: int, packet_id: int) -> bytes:
    device = sequence % load.devices
    values = {name: round(20.0 + 5.0 * i + random.gauss(0.0, 1.0), 3) for i, name in enumerate(load.channel_names)}
    if random.random() < load.anomalous:
        values[random.choice(load.channel_names)] += random.choice((-1, 1)) * 60.0
    payload = msgspec.json.encode({"ts": time.time(), "seq": sequence // load.devices, **values})
    topic = f"{load.root}/{load.name}{device}/telemetry".encode()
    body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", packet_id) + payload
    return b"\x32" + _remaining_length(len(body)) + body


def _remaining_length(length: int) -> bytes:
    out = bytearray()
    while True:
        length, digit = divmod(length, 128)
        out.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(out)
