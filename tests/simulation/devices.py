"""Devices: readings in bursts, some of them impossible, some of them garbage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from tests.simulation.broker import Broker
from tests.simulation.loop import VirtualLoop
from tests.simulation.story import Story

DEVICES = 8
BURST_EVERY = (1.0, 5.0)
GARBAGE = 0.3
"""Of bursts that have some."""
PERIOD = 4
"""Readings from one fault to the next of a device that has many: long enough for its alert to end."""
ONE_FAULT = 4
"""Devices that have one fault only: what must become of it can be told from their readings. The others have many."""


@dataclass
class Fault:
    """A device reads what cannot be, from one reading on and for so many."""

    first: int
    length: int


class Devices:
    """What they have sent, and what of it cannot be true."""

    def __init__(self, loop: VirtualLoop, broker: Broker, random: Random, story: Story, now: float) -> None:
        self._loop, self._broker, self._random, self._story, self._now = loop, broker, random, story, now
        self._sequence = [0] * DEVICES
        self._faults = [Fault(random.randrange(16), random.randint(1, 5)) for _ in range(DEVICES)]
        self._garbage = 0
        self.faulty: set[tuple[str, bytes]] = set()
        """(topic, payload) of impossible readings of devices with one fault."""
        self.garbage: set[tuple[str, bytes]] = set()

    def start(self, seconds: float) -> None:
        """Bursts for so long."""
        at = self._random.uniform(*BURST_EVERY)
        while at < seconds:
            self._loop.later(at, self._burst)
            at += self._random.uniform(*BURST_EVERY)

    def _burst(self) -> None:
        for device in self._random.sample(range(DEVICES), self._random.randint(2, DEVICES)):
            number = self._sequence[device]
            self._sequence[device] += 1
            fault = self._faults[device]
            since = number - fault.first if device < ONE_FAULT else (number - fault.first) % PERIOD
            impossible = 0 <= since < (fault.length if device < ONE_FAULT else 1)
            flow = 500.0 + number if impossible else self._random.gauss(50.0, 3.0)
            reading = {"ts": self._now + self._loop.now, "seq": number, "flow": flow}
            message = f"plant/d{device}/telemetry", json.dumps(reading).encode()
            if impossible and device < ONE_FAULT:
                self.faulty.add(message)
            self._broker.publish(*message)
        if self._random.random() < GARBAGE:
            self._garbage += 1
            message = f"plant/garbage{self._garbage}/telemetry", b'{"flow": '
            self.garbage.add(message)
            self._broker.publish(*message)
