"""How an outbox takes a week without the hub, and how fast it catches up: alerts from distinct devices, one a second.

    python -m benchmarks.outage                  # 7 days: 604,800 alerts
    python -m benchmarks.outage --seconds 20000 --json

The agent's own outbox is filled in virtual time, one commit for each alert with its state, on a real disk. Then the hub
is back: rows go through the agent's own deliveries and the message bytes into the hub's own parsing, ledger and commit,
and the receipts back; only the broker between them is left out. Processor time is that of this one process, told apart
for gateway and hub. Every alert must be at the hub exactly once, and the outbox empty.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, select

from vedette_agent.clock import Clock
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.delivery.uplink import WINDOW, deliveries
from vedette_agent.reading.effects import AlertStateRow, Effects
from vedette_hub.config import Config
from vedette_hub.fleet import arrivals
from vedette_hub.fleet.commit import commit
from vedette_hub.hub import open_database
from vedette_hub.store.database import reading
from vedette_hub.store.schema import alerts as alert_table
from vedette_hub.store.schema import gateways
from vedette_models import messages, topics
from vedette_models.messages import Alert, Receipt

WEEK = 7 * 86_400
GATEWAY = "gateway-1"
START = 1.8e9
BODY_BYTES = 450
"""What the box is sized for: bytes of an alert."""


class Virtual(Clock):
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return START + self.seconds

    def uptime(self) -> float:
        """Seconds."""
        return self.seconds


@dataclass
class Spent:
    """Processor seconds by who spent them."""

    fill: float = 0.0
    gateway: float = 0.0
    hub: float = 0.0

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count what is spent within."""
        before = time.process_time()
        yield
        setattr(self, part, getattr(self, part) + time.process_time() - before)


def an_alert(number: int, now: float) -> Alert:
    """Of a device of its own."""
    return Alert(
        id=f"e{number}",
        revision=1,
        gateway=GATEWAY,
        device=f"plant/line-{number % 97}/pump-{number}",
        profile="pump",
        kind="anomaly",
        state="active",
        severity="medium",
        opened=now,
        time=now,
        score=2.5,
        reason="vibration 4.1 mm/s, usually 1.2–2.0; 71 % of the score",
        detector="rangebreak",
    )


def fill(box: Outbox, clock: Virtual, seconds: int) -> tuple[list[float], float | None]:
    """An alert a second; return the hours that the status said were left, at each tenth of the outage."""
    hours: list[float] = []
    for number in range(seconds):
        clock.seconds += 1.0
        alert = an_alert(number, clock.now())
        state = AlertStateRow("pump", alert.device, alert.kind, messages.to_bytes(alert))
        box.commit(Effects(alerts=[alert], states=[state]), clock.now())
        if (number + 1) % max(1, seconds // 10) == 0 and (left := box.stats().hours_left) is not None:
            hours.append(left)
    return hours, box.stats().hours_left


def drain(box: Outbox, hub_folder: Path, clock: Virtual, spent: Spent) -> tuple[int, int, int]:
    """Deliver everything; return alerts at the hub, how many came twice, and rows declared lost."""
    config = Config.model_validate({"hub": {"state_dir": str(hub_folder)}})
    engine = open_database(config)
    try:
        while True:
            with spent.on("gateway"):
                local = box.pending_local(WINDOW)
                if local:
                    box.local_done([row.id for row in local])
                box.declare_losses(clock.now())
                rows = box.pending_hub(WINDOW)
                sent = [(topics.gateway_up(GATEWAY, name), messages.to_bytes(one)) for name, one in deliveries(rows)]
            if not sent:
                break
            receipts: list[bytes] = []
            with spent.on("hub"):
                found = [arrival for topic, payload in sent for arrival in arrivals.parse(topic, payload)]
                outcome = commit(engine, found, clock.now(), config.limits)
                receipts += [messages.to_bytes(receipt) for receipt in outcome.receipts[GATEWAY]]
            with spent.on("gateway"):
                for receipt in receipts:
                    box.apply(messages.from_bytes(Receipt, receipt))
        with reading(engine) as connection:
            stored = connection.execute(select(func.count()).select_from(alert_table)).scalar_one()
            twice, lost = connection.execute(select(gateways.c.duplicates, gateways.c.lost_rows)).one()
    finally:
        engine.dispose()
    return int(stored), int(twice), int(lost)


def run(seconds: int, folder: Path) -> dict[str, object]:
    """One outage of so many seconds."""
    rows = seconds + seconds // 10 + 100
    limits = OutboxLimits(max_rows=rows, max_bytes=max(64 * 1024, rows * BODY_BYTES))
    clock, spent = Virtual(), Spent()
    started = time.monotonic()
    box = Outbox(folder / "agent.db", GATEWAY, limits, to_hub=True, owner=True, clock=clock)
    try:
        with spent.on("fill"):
            hours, _ = fill(box, clock, seconds)
        filled = box.stats()
        peak = sum(file.stat().st_size for file in folder.glob("agent.db*"))
        opened = time.perf_counter()
        Outbox(folder / "agent.db", GATEWAY, limits, to_hub=True).close()
        opened = time.perf_counter() - opened
        stored, twice, lost = drain(box, folder / "hub", clock, spent)
        left = box.stats()
    finally:
        box.close()
    return {
        "alerts": seconds,
        "rows_waiting_at_the_end": filled.rows,
        "bytes_waiting_at_the_end": filled.bytes,
        "database_bytes": peak,
        "max_rows": limits.max_rows,
        "max_bytes": limits.max_bytes,
        "hours_left_said": [round(value, 1) for value in hours],
        "alerts_at_the_hub": stored,
        "delivered_twice": twice,
        "declared_lost": lost,
        "rows_left": left.rows,
        "fill_cpu_seconds": round(spent.fill, 1),
        "drain_cpu_seconds": round(spent.gateway + spent.hub, 1),
        "drain_cpu_seconds_gateway": round(spent.gateway, 1),
        "drain_cpu_seconds_hub": round(spent.hub, 1),
        "open_seconds": round(opened, 2),
        "wall_seconds": round(time.monotonic() - started, 1),
        "ok": stored == seconds and twice == 0 and lost == 0 and left.rows == 0 and spent.gateway + spent.hub < 600,
    }


def main() -> int:
    """Run, print, and say by the exit code whether the goal is reached."""
    parser = argparse.ArgumentParser(description="A week without the hub: one alert a second from distinct devices.")
    parser.add_argument("--seconds", type=int, default=WEEK, help="length of the outage, and number of alerts")
    parser.add_argument("--folder", type=Path, help="where the databases are made; default: a temporary folder")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory(dir=asked.folder) as folder:
        result = run(asked.seconds, Path(folder))
    if asked.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):28} {value}")
        print("goal: all delivered once, nothing lost, drained in less than 600 s of processor time")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
