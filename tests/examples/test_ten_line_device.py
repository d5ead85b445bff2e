"""The device in ten lines works, and is ten lines."""

from __future__ import annotations

import json
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.brokers import Mosquitto
from tests.processes import ROOT, eventually, running

DEVICE = ROOT / "examples/ten_line_device.py"
# The example's broker is the one on this machine at the usual port; the test's is at another.
ELSEWHERE = """
import runpy, sys
import paho.mqtt.client as mqtt
connect = mqtt.Client.connect
mqtt.Client.connect = lambda self, host: connect(self, host, int(sys.argv[2]))
runpy.run_path(sys.argv[1])
"""


def test_it_has_ten_lines_besides_its_imports_and_not_more() -> None:
    lines = [line for line in DEVICE.read_text().splitlines()[1:] if line.strip()]

    assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 10


def test_its_readings_arrive(mosquitto: Mosquitto, tmp_path: Path) -> None:
    arrived: list[dict[str, float]] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *arguments: arrived.append(json.loads(arguments[2].payload))
    client.connect("127.0.0.1", mosquitto.port)
    client.subscribe("plant/pump-7/telemetry", qos=1)
    client.loop_start()
    try:
        with running("-c", ELSEWHERE, DEVICE, mosquitto.port, log=tmp_path / "device.log"):
            eventually(lambda: len(arrived) >= 2, "two readings")
    finally:
        client.disconnect()
        client.loop_stop()

    assert all(reading.keys() == {"ts", "vibration", "temperature"} for reading in arrived)
