"""An agent among devices that mean no good: its configuration, and what it says of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.agent.agent_process import AgentProcess, agent, configure
from tests.agent.mqtt_ends import Device, device
from tests.brokers import Mosquitto

GOOD = json.dumps({"vibration": 2.5})
NAMED = """
[[streams]]
topic = "hall/#"
profile = "pump"
device = "who"
"""


class Surrounded:
    """A running agent, and one publisher for everybody."""

    def __init__(self, running: AgentProcess, publisher: Device, port: int) -> None:
        self.running, self.publisher, self.port = running, publisher, port

    def counters(self) -> dict[str, Any]:
        found: dict[str, Any] = self.running.status().get("counters", {})
        return found

    def dead(self, reason: str) -> int:
        """Dead letters for this reason."""
        return int(self.counters().get("dead_by_reason", {}).get(reason, 0))

    def scored(self) -> int:
        return int(self.counters().get("scored", 0))

    def restricted(self) -> dict[str, str]:
        """State by device, where it is restricted."""
        return {one["device"]: one["state"] for one in self.running.status().get("restricted", [])}

    def still_scores(self) -> None:
        """Return when a sound reading of another device was scored."""
        before = self.scored()
        self.publisher.publish("plant/sound/telemetry", GOOD)
        self.running.until(lambda: self.scored() > before, "the reading of a sound device is scored")

    def peak_megabytes(self) -> float:
        """Largest resident set so far."""
        text = Path(f"/proc/{self.running.process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


@contextlib.contextmanager
def surrounded(broker: Mosquitto, folder: Path, tables: str = "") -> Iterator[Surrounded]:
    """An agent with two streams, `plant/{device}/telemetry` and `hall/#` whose payload names the device."""
    config = configure(folder, broker.url)
    text = config.read_text().replace("[[streams]]", f"{tables}\n[[streams]]", 1)
    config.write_text(text.replace("[profiles.pump.channels", f"{NAMED}\n[profiles.pump.channels", 1))
    with agent(config) as running, device(broker.port) as publisher:
        running.receiving()
        yield Surrounded(running, publisher, broker.port)
