"""Alerts on their way from gateways to a hub and receipts back, over a real Mosquitto: how many a second."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.throughput import cpu_seconds
from tests.brokers import Mosquitto, free_port
from tests.hub.gateway import SimulatedGateway, alert

START_SECONDS = 180.0
PATIENCE_SECONDS = 300.0


def measure(alerts: int = 5_000, gateways: int = 4) -> dict[str, float]:
    """Alerts a second until every one has its receipt, and the processor time that the hub takes for each."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        broker = Mosquitto(folder / "broker")
        broker.start()
        web = free_port()
        config = folder / "hub.toml"
        config.write_text(
            f'[hub]\nstate_dir = "state"\nlog_level = "warning"\n[broker]\nurl = "{broker.url}"\n[web]\nport = {web}\n'
        )
        hub = subprocess.Popen([sys.executable, "-m", "vedette_hub.cli", "serve", "--config", str(config)])
        try:
            _wait_until_up(web)
            return _measured(broker.port, hub.pid, alerts, gateways)
        finally:
            hub.terminate()
            hub.wait()
            broker.stop()


def _measured(port: int, pid: int, alerts: int, gateways: int) -> dict[str, float]:
    # Nothing is sent again before its receipt had time to come: what comes twice is no alert.
    boxes = [SimulatedGateway(port, f"bench-{one}", resend=PATIENCE_SECONDS, per_message=50) for one in range(gateways)]
    each = alerts // gateways
    for box in boxes:
        for number in range(1, each + 1):
            box.put(number, alert(number, gateway=box.name))
    cpu, begun = cpu_seconds(pid), time.perf_counter()
    for box in boxes:
        box.__enter__()
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(box.pending() for box in boxes):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no receipt for {sum(box.pending() for box in boxes)} alerts")
            time.sleep(0.01)
        elapsed = time.perf_counter() - begun
        used = cpu_seconds(pid) - cpu
    finally:
        for box in boxes:
            box.__exit__(None, None, None)
    sent = each * gateways
    return {
        "alerts": sent,
        "gateways": gateways,
        "alerts_per_second": round(sent / elapsed, 1),
        "cpu_ms_per_alert": round(1e3 * used / sent, 3),
    }


def _wait_until_up(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if b'"connected"' in answer.read():
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"the hub is not connected within {START_SECONDS:g} s")
        time.sleep(0.1)
