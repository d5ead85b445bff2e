"""What the agent writes to the disk in a day: 10 readings a second of 10 devices with 5 channels each.

    python -m benchmarks.flash_writes                 # half an hour, two checkpoints
    python -m benchmarks.flash_writes --seconds 300 --json

A real agent with its default configuration, a real Mosquitto, and a hub that receipts what it is sent. What is counted
is `write_bytes` in /proc/PID/io: bytes that the process has caused to be sent to the storage layer, so that the folder
must lie on a disk and not in memory. The room that the outbox takes once and for all at its first start is counted
apart; the rest is extrapolated to a day. With the default of 15 minutes between checkpoints a run must be longer than
that, or it misses them: then their size is added, as often as a day has them. Each alert costs more, which is measured
at the end with test alerts; a device may raise half an alert a week by default.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.load import Load, Publisher
from benchmarks.throughput import MEMORY_FILE_SYSTEMS, Running, file_system
from tests.agent.hub_simulator import HubSimulator
from tests.brokers import Mosquitto

GATEWAY = "bench"
RATE, DEVICES, CHANNELS = 10.0, 10, 5
DAY = 86_400
CHECKPOINT_EVERY = 900
GOAL = 1e9
TEST_ALERTS = 20
PATIENCE = 300.0
AGENT = [sys.executable, "-m", "vedette_agent.cli"]


def written(pid: int) -> int:
    """Bytes that a process has caused to be written so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def configure(folder: Path, port: int) -> Path:
    """Nothing but what must be there: the defaults are measured."""
    channels = ", ".join(f'"{name}"' for name in Load(port, RATE, DEVICES, CHANNELS, 0.0).channel_names)
    path = folder / "agent.toml"
    path.write_text(
        f"""
[gateway]
id = "{GATEWAY}"
state_dir = "{folder / "state"}"
[devices]
url = "mqtt://127.0.0.1:{port}"
[hub]
url = "mqtt://127.0.0.1:{port}"
[[streams]]
topic = "bench/{{device}}/telemetry"
profile = "bench"
[profiles.bench]
channels = [{channels}]
"""
    )
    return path


def until(condition: Callable[[], Any], what: str) -> Any:
    """What the condition returns once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(1.0)
    return found


def status(config: Path) -> dict[str, Any]:
    """What the agent says of itself."""
    done = subprocess.run([*AGENT, "status", "--json", "--config", str(config)], capture_output=True, check=False)
    return dict(json.loads(done.stdout or b"{}"))


def has_its_room(database: Path) -> Callable[[], bool]:
    """True once the file has not grown for a while."""
    seen = [0, 0]

    def settled() -> bool:
        size = database.stat().st_size if database.exists() else 0
        seen[1] = seen[1] + 1 if size and size == seen[0] else 0
        seen[0] = size
        return seen[1] >= 10

    return settled


class Measured(NamedTuple):
    """Of one run, in bytes where nothing else is said."""

    first_start: int
    seconds: float
    steady: int
    readings: int
    rows: int
    alerts: int
    each_alert: float
    checkpoints: int


def _measure(seconds: float, folder: Path, port: int, anomalous: float) -> Measured:
    config = configure(folder, port)
    hub = HubSimulator(port, GATEWAY)
    agent = Running([*AGENT, "run", "--config", str(config)], folder / "agent.log")
    publisher = Publisher(Load(port, RATE, DEVICES, CHANNELS, anomalous))
    try:
        publisher.resume()
        until(lambda: status(config).get("ingest") == "receiving", "readings arrive")
        until(has_its_room(folder / "state" / "agent.db"), "the room is taken")
        once, started, before = written(agent.pid), time.monotonic(), publisher.published
        while time.monotonic() - started < seconds and agent.alive():
            time.sleep(min(5.0, seconds))
        passed, steady = time.monotonic() - started, written(agent.pid) - once
        readings, rows, alerts = publisher.published - before, len(hub.seen), len(hub.alerts)
        publisher.pause()
        before_alerts, alerts_from = written(agent.pid), time.monotonic()
        for _ in range(TEST_ALERTS):
            subprocess.run([*AGENT, "test-alert", "--config", str(config)], check=True, capture_output=True)
        beside = (time.monotonic() - alerts_from) * steady / passed  # heartbeats and the like go on
        each = (written(agent.pid) - before_alerts - beside) / TEST_ALERTS
        agent.stop()  # takes a checkpoint
        checkpoints = sum(file.stat().st_size for file in (folder / "state" / "checkpoints").iterdir())
    finally:
        publisher.stop()
        hub.close()
        if agent.alive():
            agent.stop()
    return Measured(once, passed, steady, readings, rows, alerts, each, checkpoints)


def run(seconds: float, folder: Path, anomalous: float) -> dict[str, object]:
    """Measure for so many seconds."""
    broker = Mosquitto(folder / "broker")
    broker.start()
    try:
        measured = _measure(seconds, folder, broker.port, anomalous)
    finally:
        broker.stop()
    steady, passed, checkpoints = measured.steady, measured.seconds, measured.checkpoints
    missed = DAY / CHECKPOINT_EVERY if passed < CHECKPOINT_EVERY else 0.0
    a_day = steady / passed * DAY + missed * checkpoints
    return {
        "file_system": file_system(folder),
        "seconds": round(passed, 1),
        "readings": measured.readings,
        "readings_per_second": round(measured.readings / passed, 2),
        "rows_to_the_hub": measured.rows,
        "alert_events": measured.alerts,
        "first_start_bytes": measured.first_start,
        "steady_bytes": steady,
        "checkpoint_bytes": checkpoints,
        "checkpoints_added": round(missed),
        "bytes_per_alert_with_its_clearing": round(measured.each_alert),
        "bytes_per_day": round(a_day),
        "goal_bytes_per_day": round(GOAL),
        "ok": a_day <= GOAL and steady > 0,
    }


def main() -> int:
    """Measure, print, and say by the exit code whether the goal is reached."""
    parser = argparse.ArgumentParser(description="Bytes that the agent writes to the disk in a day.")
    parser.add_argument("--seconds", type=float, default=1_860.0)
    parser.add_argument("--anomalous", type=float, default=0.0005, help="share of readings far from the usual")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure; default: here")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory(dir=asked.folder, prefix=".flash-") as name:
        folder = Path(name).resolve()
        if file_system(folder) in MEMORY_FILE_SYSTEMS:
            print(f"{folder} lies in memory: choose a disk with --folder", file=sys.stderr)
            return 2
        result = run(asked.seconds, folder, asked.anomalous)
    if asked.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key.replace('_', ' '):36} {value}")
        print("goal: at most 1 GB a day")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
