"""Silent devices, with a real agent and a real broker: one device, the whole fleet, a restart."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.agent_process import AgentProcess, agent, configure
from tests.agent.mqtt_ends import Device, device
from tests.brokers import Mosquitto

EVERY = 0.2


@pytest.fixture
def config(broker: Mosquitto, tmp_path: Path) -> Path:
    path = configure(tmp_path, broker.url)
    path.write_text(path.read_text() + '[profiles.pump.health]\nsilent_after = "2s"\n')
    return path


class Fleet:
    """Devices that publish several times a second, as long as they are switched on."""

    def __init__(self, source: Device) -> None:
        self._source = source
        self.on = {"p1", "p2", "p3"}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def _publish(self) -> None:
        while not self._stop.wait(EVERY):
            for name in sorted(self.on):
                body = json.dumps({"ts": time.time(), "vibration": 1.0})
                self._source.publish(f"plant/{name}/telemetry", body)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def fleet(broker: Mosquitto) -> Iterator[Fleet]:
    with device(broker.port) as source:
        made = Fleet(source)
        try:
            yield made
        finally:
            made.close()


def scored(running: AgentProcess) -> int:
    return int(running.status().get("counters", {}).get("scored", 0))


def alerts(display: Device) -> list[tuple[str, bool]]:
    """(device, whether it is open) of every event about silence."""
    return [(topic.split("/")[2], bool(body)) for topic, body, _ in display.messages if topic.endswith("/alert/silent")]


def test_a_silent_device_is_alerted_while_others_are_heard(config: Path, broker: Mosquitto) -> None:
    with device(broker.port) as display:
        display.subscribe("vedette/gw/+/alert/+")
        with fleet(broker) as plant:
            with agent(config) as running:
                running.until(lambda: scored(running) > 100, "readings")
                assert running.status().get("silent", 0) == 0
                plant.on = {"p1", "p3"}
                running.until(lambda: alerts(display) == [("p2", True)], "the alert about silence")
                running.until(lambda: running.status().get("silent") == 1, "one silent device in the status")
                running.stop()
            with agent(config) as running:  # the time away does not count, and who was silent still is
                running.until(lambda: scored(running) > 100, "readings")
                assert running.status()["silent"] == 1
                assert running.status()["open_alerts"] == 1
                plant.on = {"p1", "p2", "p3"}
                running.until(lambda: alerts(display)[-1] == ("p2", False), "the end of the alert")
                running.until(lambda: not running.status().get("silent"), "no silent device in the status")
                assert {name for name, _ in alerts(display)} == {"p2"}
                assert "Traceback" not in running.log
                running.stop()


def test_an_outage_of_the_whole_fleet_makes_nobody_silent(config: Path, broker: Mosquitto) -> None:
    text = config.read_text().replace("heartbeat = 0.3", "heartbeat = 0.3\nstalled_after = 3")
    config.write_text(text)
    with device(broker.port) as display, fleet(broker) as plant, agent(config) as running:
        display.subscribe("vedette/gw/+/alert/+")
        running.until(lambda: scored(running) > 100, "readings")
        plant.on = set()
        running.until(lambda: running.status().get("ingest") == "stalled", "stalled")
        before = scored(running)
        plant.on = {"p1", "p2", "p3"}
        running.until(lambda: scored(running) > before + 60, "readings again")
        assert running.status().get("silent", 0) == 0
        assert alerts(display) == []
        running.stop()
