"""Noisy neighbour: how much later the alerts of the others come while one device sends at a multiple of its rate.

    python -m benchmarks.noisy_neighbour [--devices 100] [--rate 2] [--times 50] [--rounds 6] [--seconds 8] --json

A real agent with its defaults and a real Mosquitto. The others publish all the time, a share of their readings
impossible, each of which is an alert; latency is from publishing the reading to receiving its alert, with its commit in
between. Quiet and noisy stretches take turns, and both are pooled. In the quiet ones the noisy device publishes just as
much where the agent does not listen, so that the machine and the broker have the same to do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.load import Load, Publisher
from benchmarks.throughput import GATEWAY, Running, quantile, wait_for
from tests.brokers import Mosquitto

SETTLE = 0.5
"""Share of a stretch that is not counted: what the one before left behind."""
IMPOSSIBLE = 0.03
NOISY = "noisy"


class Alerts:
    """How late each alert of the others came, in the present stretch."""

    def __init__(self, port: int) -> None:
        self.status: dict[str, Any] = {}
        self._latencies: list[float] = []
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=paho.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe([(f"vedette/{GATEWAY}/#", 1)])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        now = time.time()
        if not message.payload or message.retain:
            return
        body = json.loads(message.payload)
        with self._lock:
            if message.topic.endswith("/status"):
                self.status = body
            elif body["revision"] == 1 and body["kind"] == "impossible":
                self._latencies.append(now - body["time"])

    def take(self) -> list[float]:
        """What came since the last call."""
        with self._lock:
            taken, self._latencies = self._latencies, []
        return taken

    def stop(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()


def write_config(folder: Path, load: Load, limits: str) -> Path:
    """The agent's configuration: its defaults but for `limits`; an impossible value is an alert until the next one."""
    channels = "\n".join(f"[profiles.bench.channels.{name}]\nlow = 0\nhigh = 60" for name in load.channel_names)
    path = folder / "agent.toml"
    path.write_text(
        f"""
[gateway]
id = "{GATEWAY}"
state_dir = "{folder / "state"}"
heartbeat = 1
[devices]
url = "mqtt://127.0.0.1:{load.port}"
[outbox]
preallocate = false  # done once, in the first minute, and not what is measured
[limits]
{limits}
[[streams]]
topic = "bench/{{device}}/telemetry"
profile = "bench"
{channels}
[profiles.bench.decisions]
clear_after = 1
[profiles.bench.health]
cooldown = 0
"""
    )
    return path


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both kinds of stretches in turn."""
    broker = Mosquitto(folder / "broker")
    broker.start()
    others = Load(broker.port, arguments.rate * arguments.devices, arguments.devices, arguments.channels, IMPOSSIBLE)
    much = arguments.rate * arguments.times
    noisy, unheard = (
        Load(broker.port, much, 1, arguments.channels, 0.0, 2, NOISY, root) for root in ("bench", "elsewhere")
    )
    alerts = Alerts(broker.port)
    limits = "" if arguments.device_rate is None else f"device_rate = {arguments.device_rate}"
    config = write_config(folder, others, limits)
    agent = Running([sys.executable, "-m", "vedette_agent.cli", "run", "--config", str(config)], folder / "agent.log")
    publishers = [Publisher(others), Publisher(noisy), Publisher(unheard)]
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    try:
        wait_for("the agent's subscription", lambda: alerts.status.get("ingest") in ("waiting", "receiving"))
        publishers[0].resume()
        publishers[1].resume()
        time.sleep(arguments.warmup)
        publishers[1].pause()
        for turn in range(2 * arguments.rounds):
            is_noisy = turn % 2 == 1
            publisher = publishers[1 if is_noisy else 2]
            publisher.resume()
            time.sleep(SETTLE * arguments.seconds)
            alerts.take()
            time.sleep(arguments.seconds)
            found[is_noisy].append(alerts.take())
            publisher.pause()
            if not agent.alive():
                raise SystemExit(f"the agent has died:\n{(folder / 'agent.log').read_text()[-2000:]}")
        publishers[0].pause()
        sent = sum(publisher.published for publisher in publishers[:2])
        wait_for("the last acknowledgement", lambda: alerts.status["counters"].get("received", 0) >= sent, 60.0)
        counters = alerts.status["counters"]
    finally:
        for publisher in publishers:
            publisher.stop()
        agent.stop()
        alerts.stop()
        broker.kill()
    quiet, loud = (summarise(found[is_noisy]) for is_noisy in (False, True))
    return {
        "quiet": quiet,
        "noisy": loud,
        "p99_ratio": round(loud["p99_ms"] / quiet["p99_ms"], 2),
        "typical_p99_ratio": round(loud["typical_p99_ms"] / quiet["typical_p99_ms"], 2),
        "sent": sent,
        "counters": counters,
    }


def summarise(stretches: list[list[float]]) -> dict[str, float]:
    """Of all alerts together; and the median of the stretches' own p99, which one stall of the disk does not move."""
    pooled = [latency for stretch in stretches for latency in stretch]
    own = sorted(quantile(stretch, 0.99) or 0.0 for stretch in stretches)
    return {
        "alerts": len(pooled),
        "p50_ms": quantile(pooled, 0.5) or 0.0,
        "p99_ms": quantile(pooled, 0.99) or 0.0,
        "typical_p99_ms": statistics.median(own),
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100, help="the others")
    parser.add_argument("--rate", type=float, default=2.0, help="readings a second of each")
    parser.add_argument("--times", type=float, default=50.0, help="how many times that the noisy one sends")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6, help="stretches of each kind")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each that are counted")
    parser.add_argument("--warmup", type=float, default=15.0, help="seconds in which its burst is used up")
    parser.add_argument("--device-rate", type=float, help="limits.device_rate in place of its default; 0: no limit")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments, Path(folder))
    if arguments.json:
        print(json.dumps({**vars(arguments), **found}))
        return
    for name in ("quiet", "noisy"):
        part = found[name]
        print(f"{name}: {part['alerts']} alerts, p50 {part['p50_ms']} ms, p99 {part['p99_ms']} ms")
    print(f"p99 {found['p99_ratio']} times, of a typical stretch {found['typical_p99_ratio']}; {found['counters']}")


if __name__ == "__main__":
    main()
