"""A simulated gateway: an outbox in memory that sends every row until the hub has receipted it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vedette_models import topics
from vedette_models.messages import (
    Alert,
    ChannelReason,
    Delivery,
    Priority,
    Receipt,
    Report,
    Row,
    Status,
    from_bytes,
    to_bytes,
)


def alert(number: int = 1, *, gateway: str = "gw-1", revision: int = 1, **fields: object) -> Alert:
    """An alert event that differs from others by its number."""
    values: dict[str, object] = {
        "id": f"a-{number}",
        "revision": revision,
        "gateway": gateway,
        "device": f"pump-{number}",
        "profile": "pump",
        "kind": "anomaly",
        "state": "active",
        "severity": "medium",
        "opened": 1_700_000_000.0 + number,
        "time": 1_700_000_000.0 + number + revision,
        "score": 1.5,
        "reason": "vibration 4.1 mm/s, usually 1.2–2.0",
        "detector": "rangebreak",
        "channels": (ChannelReason("vibration", 4.1, 1.2, 2.0, 1.0, unit="mm/s"),),
    }
    return Alert(**{**values, **fields})  # type: ignore[arg-type]  # checked by the tests that use it


def row(sequence: int, body: Alert | Report | bytes, epoch: str = "e1") -> Row:
    """A row of an outbox."""
    return Row(epoch, sequence, msgspec.Raw(body if isinstance(body, bytes) else to_bytes(body)))


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Return when the condition holds; fail with `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class SimulatedGateway:
    """Speaks to a real broker as an agent does; a row without a receipt comes again after `resend` seconds."""

    def __init__(self, port: int, name: str = "gw-1", *, resend: float = 0.3, per_message: int = 20) -> None:
        self.name = name
        self.receipts: list[Receipt] = []
        self.sent_rows = 0
        self._resend = resend
        self._per_message = per_message
        self._pending: dict[tuple[Priority, str, int], Row] = {}
        self._sent: dict[tuple[Priority, str, int], float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"sim-{name}", protocol=mqtt.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_message = self._received
        self._client.connect_async("127.0.0.1", port)
        self._thread = threading.Thread(target=self._deliver, daemon=True)

    def __enter__(self) -> SimulatedGateway:
        self._client.loop_start()
        self._thread.start()
        wait_for(self._client.is_connected, "the simulated gateway is connected")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def put(
        self, sequence: int, body: Alert | Report | bytes, priority: Priority = "alerts", epoch: str = "e1"
    ) -> None:
        """Append a row to the outbox."""
        with self._lock:
            self._pending[(priority, epoch, sequence)] = row(sequence, body, epoch)

    def pending(self) -> int:
        """Rows without a receipt."""
        with self._lock:
            return len(self._pending)

    def status(self, **fields: object) -> None:
        """Publish a retained status."""
        status = Status(**{"gateway": self.name, "online": True, "time": time.time(), **fields})  # type: ignore[arg-type]
        self._client.publish(topics.gateway_up(self.name, "status"), to_bytes(status), qos=1, retain=True)

    def publish(self, subject: str, payload: bytes) -> None:
        """Publish anything at all."""
        self._client.publish(topics.gateway_up(self.name, subject), payload, qos=1)

    def send(self, rows: Iterable[Row], priority: Priority = "alerts") -> None:
        """Publish rows as one message, past the outbox."""
        self.publish(priority, to_bytes(Delivery(tuple(rows))))

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(topics.gateway_down(self.name, "receipts"), qos=1)
        with self._lock:
            self._sent.clear()

    def _received(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        receipt = from_bytes(Receipt, bytes(message.payload))
        with self._lock:
            self.receipts.append(receipt)
            for done in receipt.committed:
                for key in [key for key in self._pending if key[:2] == (done.priority, done.epoch)]:
                    if key[2] <= done.through or key[2] in done.also:
                        del self._pending[key]

    def _deliver(self) -> None:
        while not self._stop.wait(0.005):
            now = time.monotonic()
            with self._lock:
                due = [key for key in self._pending if now - self._sent.get(key, -1e9) > self._resend]
            if not self._client.is_connected():
                continue
            for priority in ("alerts", "reports"):
                keys = [key for key in due if key[0] == priority]
                for start in range(0, len(keys), self._per_message):
                    part = keys[start : start + self._per_message]
                    with self._lock:
                        rows = [self._pending[key] for key in part if key in self._pending]
                        self._sent.update((key, now) for key in part)
                    self.sent_rows += len(rows)
                    self.send(rows, priority)
