"""A small hub: it keeps a ledger of what a gateway sent and answers as it is told to."""

from __future__ import annotations

from collections import Counter

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from vedette_models import messages, topics
from vedette_models.messages import Alert, Committed, Delivery, Priority, Receipt, Report, SampleBatch

Key = tuple[str, str, int]
"""Class, epoch, sequence."""


class HubSimulator:
    """Driven by paho's own thread. `receipts` a delivery: how often it is receipted, 0 for never."""

    subjects: tuple[str, ...] = messages.PRIORITIES
    """What it listens to."""

    def __init__(self, port: int, gateway: str = "gw", *, receipts: int = 1) -> None:
        self.gateway, self.receipts = gateway, receipts
        self.seen: Counter[Key] = Counter()
        """How often each row came."""
        self.alerts: dict[Key, Alert] = {}
        self.reports: dict[Key, Report] = {}
        self.samples: dict[Key, SampleBatch] = {}
        self.largest = 0
        """Bytes of the largest delivery."""
        self.order: list[Key] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = self._received
        self._client.on_connect = lambda c, _u, _f, _r, _p: c.subscribe(
            [(topics.gateway_up(gateway, name), 1) for name in self.subjects]
        )
        self._client.reconnect_delay_set(1, 1)
        self.ready = False
        self._client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _received(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.rsplit("/", 1)[-1] not in messages.PRIORITIES:
            self.heard(message.topic.rsplit("/", 1)[-1], bytes(message.payload))
            return
        self.largest = max(self.largest, len(message.payload))
        delivery = messages.from_bytes(Delivery, bytes(message.payload))
        name = message.topic.rsplit("/", 1)[-1]
        priority = next(p for p in messages.PRIORITIES if p == name)
        for row in delivery.rows:
            key = (priority, row.epoch, row.sequence)
            self.seen[key] += 1
            if self.seen[key] > 1:
                continue
            self.order.append(key)
            if priority == "alerts":
                self.alerts[key] = messages.from_bytes(Alert, row.body)
            elif priority == "reports":
                self.reports[key] = messages.from_bytes(Report, row.body)
            else:
                self.samples[key] = messages.from_bytes(SampleBatch, row.body)
        for _ in range(self.receipts):
            self.send_receipts(priority, {row.epoch for row in delivery.rows})

    def heard(self, subject: str, payload: bytes) -> None:
        """Something that is no delivery."""

    def send_receipts(self, priority: Priority, epochs: set[str]) -> None:
        """Everything known of these epochs, as a watermark and what lies beyond."""
        for epoch in sorted(epochs):
            have = sorted(n for p, e, n in list(self.seen) if (p, e) == (priority, epoch))
            through = 0
            while through < len(have) and have[through] == through + 1:
                through += 1
            self.say(messages.to_bytes(Receipt((Committed(priority, epoch, through, tuple(have[through:])),))))

    def say(self, payload: bytes) -> None:
        """Publish on the receipts topic, whatever it is."""
        self._client.publish(topics.gateway_down(self.gateway, "receipts"), payload, qos=1)

    def close(self) -> None:
        """Vanish."""
        self._client.disconnect()
        self._client.loop_stop()
