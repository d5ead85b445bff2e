"""Throughput: CPU of the whole agent per reading, and how long an alert takes, against a real Mosquitto.

    python -m benchmarks.throughput --rate 5000 --seconds 20 --json

A reading is one message with all channels of a device, published at QoS 1. The agent runs as in production: manual
acknowledgement after commit, SQLite with synchronous=FULL on a real disk. A bare aiomqtt loop that does nothing with
the messages runs in turn with it, on the same broker and the same load: the ratio is what to compare between
machines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.load import Load, Publisher
from tests.brokers import Mosquitto

GATEWAY = "bench"
HEARTBEAT = 1.0
PROFILES: dict[str, str] = {"default": ""}
"""Name → what is added to the profile's configuration."""
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads and its reaped children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def resident_megabytes(pid: int) -> float:
    """Resident set size."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def file_system(path: Path) -> str:
    """Type of the file system that holds a path."""
    answer = subprocess.run(
        ["stat", "-f", "-c", "%T", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return answer.stdout.strip()


@dataclass
class Listener:
    """Counts what the agent says: how late alerts are, and how many readings it has acknowledged."""

    port: int
    latencies: list[float] = field(default_factory=list)
    """Seconds from publishing a reading to receiving its alert."""
    ready: bool = False
    """The agent has subscribed."""
    acknowledged: int = 0
    backlogs: list[int] = field(default_factory=list)
    publisher: Publisher | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Listen in a thread."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=paho.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe([(f"vedette/{GATEWAY}/#", 1)])
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()

    def stop(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()

    def clear(self) -> None:
        """Forget what was measured so far."""
        with self._lock:
            self.latencies.clear()
            self.backlogs.clear()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        now = time.time()
        if not message.payload or message.retain:
            return
        body = json.loads(message.payload)
        with self._lock:
            if message.topic.endswith("/status"):
                self.ready = body["ingest"] != "disconnected"
                self.acknowledged = body["counters"].get("acknowledged", 0)
                if self.publisher:
                    self.backlogs.append(self.publisher.published - self.acknowledged)
            elif body["revision"] == 1:
                self.latencies.append(now - body["time"])


def write_config(folder: Path, load: Load, profile: str) -> Path:
    """The agent's configuration for this load."""
    channels = ", ".join(f'"{name}"' for name in load.channel_names)
    path = folder / "agent.toml"
    path.write_text(
        f"""
[gateway]
id = "{GATEWAY}"
state_dir = "{folder / "state"}"
heartbeat = {HEARTBEAT}
[devices]
url = "mqtt://127.0.0.1:{load.port}"
[outbox]
preallocate = false  # done once, in the first minute, and not what is measured
[[streams]]
topic = "bench/{{device}}/telemetry"
profile = "bench"
[profiles.bench]
channels = [{channels}]
{PROFILES[profile]}
"""
    )
    return path


class Running:
    """A process that is measured."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._log)
        self.pid = self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop it as a service manager would."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def measure(process: Running, publisher: Publisher, seconds: float) -> tuple[float, int]:
    """(CPU seconds, readings published) of a stretch of the load."""
    cpu, published = cpu_seconds(process.pid), publisher.published
    time.sleep(seconds)
    if not process.alive():
        raise SystemExit("the process that was measured has died; see its log")
    return cpu_seconds(process.pid) - cpu, publisher.published - published


def wait_for(what: str, condition: Any, seconds: float = 30.0) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)


def quantile(values: list[float], share: float) -> float | None:
    """A quantile in milliseconds; None without values."""
    ordered = sorted(values)
    return round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None


def run(arguments: argparse.Namespace, folder: Path, profile: str) -> dict[str, Any]:
    """Measure one profile, in turn with the bare loop."""
    broker = Mosquitto(folder / "broker")
    broker.start()
    load = Load(broker.port, arguments.rate, arguments.devices, arguments.channels, arguments.anomalous)
    publisher = Publisher(load)
    listener = Listener(broker.port, publisher=publisher)
    listener.start()
    config = write_config(folder, load, profile)
    command = [sys.executable, "-m", "vedette_agent.cli", "run", "--config", str(config)]
    agent_us: list[float] = []
    bare_us: list[float] = []
    rss = 0.0
    latencies: list[float] = []
    backlogs: list[int] = []
    agent = Running(command, folder / "agent.log")
    try:
        wait_for("the agent's subscription", lambda: listener.ready)
        publisher.resume()
        print(f"{profile}: warming up for {arguments.warmup:.0f} s", file=sys.stderr)
        measure(agent, publisher, arguments.warmup)
        for number in range(arguments.rounds):
            listener.clear()
            publisher.resume()
            measure(agent, publisher, 1.0)
            cpu, readings = measure(agent, publisher, arguments.seconds)
            agent_us.append(1e6 * cpu / readings)
            rss = max(rss, resident_megabytes(agent.pid))
            latencies += listener.latencies
            backlogs += listener.backlogs
            publisher.pause()
            wait_for("the agent to catch up", lambda: listener.acknowledged >= publisher.published, 120)
            bare_us.append(bare_loop(load, folder, arguments.seconds))
            print(f"{profile}: round {number + 1}: {agent_us[-1]:.1f} µs, bare {bare_us[-1]:.1f} µs", file=sys.stderr)
    finally:
        agent.stop()
        publisher.stop()
        listener.stop()
        broker.stop()
    return {
        "cpu_us_per_reading": round(statistics.median(agent_us), 2),
        "aiomqtt_cpu_us": round(statistics.median(bare_us), 2),
        "ratio_to_aiomqtt": round(statistics.median(a / b for a, b in zip(agent_us, bare_us, strict=True)), 3),
        "p50_ms": quantile(latencies, 0.50),
        "p99_ms": quantile(latencies, 0.99),
        "alerts": len(latencies),
        "backlog": max(backlogs, default=None),
        "backlog_last": backlogs[-1] if backlogs else None,
        "rss_mb": round(rss, 1),
    }


def bare_loop(load: Load, folder: Path, seconds: float) -> float:
    """µs of CPU per message of the bare loop, under the same load on a broker of the same kind."""
    broker = Mosquitto(folder / "bare-broker")
    broker.start()
    publisher = Publisher(Load(broker.port, load.rate, load.devices, load.channels, load.anomalous, load.seed + 1))
    bare = Running([sys.executable, "-m", "benchmarks.bare_aiomqtt", str(broker.port)], folder / "bare.log")
    try:
        time.sleep(1.0)
        publisher.resume()
        measure(bare, publisher, 1.0)
        cpu, readings = measure(bare, publisher, seconds)
    finally:
        publisher.stop()
        bare.stop()
        broker.stop()
    return 1e6 * cpu / readings


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=5_000.0, help="readings a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measured stretch")
    parser.add_argument("--warmup", type=float, default=25.0, help="seconds until devices have some history")
    parser.add_argument("--rounds", type=int, default=3, help="stretches, each followed by one of the bare loop")
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--channels", type=int, default=5)
    parser.add_argument("--anomalous", type=float, default=0.001, help="share of readings with a gross outlier")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="where state is kept; must be a real disk")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    kind = file_system(arguments.folder)
    if kind in MEMORY_FILE_SYSTEMS:
        raise SystemExit(f"{arguments.folder} is on {kind}: durability would cost nothing there; name another --folder")
    folder = Path(tempfile.mkdtemp(prefix="throughput-", dir=arguments.folder.resolve()))
    try:
        result: dict[str, Any] = {name: run(arguments, folder, name) for name in PROFILES}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result["conditions"] = {
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "devices": arguments.devices,
        "channels": arguments.channels,
        "anomalous": arguments.anomalous,
        "file_system": kind,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    for name in PROFILES:
        for key, value in result[name].items():
            print(f"{name:10} {key:20} {value}")


if __name__ == "__main__":
    main()
