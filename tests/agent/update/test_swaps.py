"""Models come, go and come back while up to 2,000 readings a second flow: none is lost, none is scored twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.agent.update.gateway import Gateway
from tests.agent.update.model_hub import PROFILE, ModelHub, model
from tests.brokers import Mosquitto
from tests.processes import eventually
from vedette_agent.reading import checkpoint
from vedette_agent.reading.checkpoint import Checkpoint
from vedette_models import artifact
from vedette_models.detectors.base import Detector
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.readings import ReadingBatch

DEVICES = 20
PER_SECOND = {"none": 2_000, "1s": 400}
"""Readings, by how long a model is on probation: meanwhile two score them."""
STEP = 0.02
STARTED = 1.7e9


class Devices:
    """They publish one message per reading at QoS 1, in turn, until told to stop."""

    def __init__(self, port: int, per_second: int) -> None:
        self._per_second = per_second
        self.sent: dict[str, list[tuple[float, float]]] = {f"pump-{i}": [] for i in range(DEVICES)}
        """Readings of each device in order; sequence numbers count from 0."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(2_000)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        random = np.random.default_rng(0)
        started, sent = time.monotonic(), 0
        while not self._stop.wait(STEP):
            due = int((time.monotonic() - started) * self._per_second) - sent
            for flow, pressure in random.normal(size=(due, 2)).tolist():
                self._publish(f"pump-{sent % DEVICES}", flow, 1013.25 + pressure)
                sent += 1

    def _publish(self, device: str, flow: float, pressure: float) -> None:
        sequence = len(self.sent[device])
        self.sent[device].append((flow, pressure))
        body = {"ts": STARTED + sequence, "seq": sequence, "flow": flow, "pressure": pressure}
        self.last = self._client.publish(f"plant/{device}/telemetry", msgspec.json.encode(body), qos=1)

    def go_on(self) -> None:
        """Return when each device has said a good deal more."""
        wanted = len(self.sent["pump-0"]) + 60
        eventually(lambda: len(self.sent["pump-0"]) >= wanted or None, "readings flow")

    def stop(self) -> set[tuple[str, int]]:
        """End, and return every reading when the broker has all."""
        self._stop.set()
        self._thread.join()
        self.last.wait_for_publish(30)
        self._client.disconnect()
        self._client.loop_stop()
        return {(device, i) for device, readings in self.sent.items() for i in range(len(readings))}


@pytest.fixture
def hub(broker: Mosquitto) -> Iterator[ModelHub]:
    made = ModelHub(broker.port, "swaps")
    yield made
    made.close()


@pytest.mark.parametrize("probation", ["none", "1s"])
def test_no_reading_is_lost_or_scored_twice_and_all_windows_survive(
    broker: Mosquitto, hub: ModelHub, tmp_path: Path, probation: str
) -> None:
    def proved() -> bool | None:
        """Whether what runs has proved itself."""
        status = hub.status
        running = status.models.get(PROFILE) if status is not None else None
        return True if running is not None and not running.on_probation else None

    gateway = Gateway(tmp_path, broker.port, hub.key.verify_key, gateway="swaps", probation=probation)
    gateway.start()
    try:
        hub.runs(hub.push(1, model(1)))
        devices = Devices(broker.port, PER_SECOND[probation])
        try:
            for version in range(2, 6):
                devices.go_on()
                eventually(proved, "the version has proved itself", 20.0)
                hub.runs(hub.push(version, model(version)))
            devices.go_on()
            eventually(proved, "the version has proved itself", 20.0)
            hub.runs(hub.push(4, model(4), artefact=False))  # back, by the hub
            devices.go_on()
            assert gateway.cli("rollback", PROFILE).exit_code == 0  # and on again, by the operator
            hub.runs(artifact.sha256(model(5)))
            devices.go_on()
        finally:
            readings = devices.stop()
        eventually(lambda: gateway.fates().total() >= len(readings) or None, "all readings are accounted for")
        gateway.stop()
    finally:
        gateway.kill()
    fates = gateway.fates()
    assert fates == Counter({(device, sequence, "scored"): 1 for device, sequence in readings})
    saved = checkpoint.load(checkpoint.path_of(gateway.state / "checkpoints", PROFILE))
    assert saved is not None
    for detector in (RangeBreak(2), artifact.load(model(5)).detector):
        without_swaps(detector, devices, saved)
    outcomes = [a.outcome for a in hub.activations]
    assert outcomes == ["activated"] * 6 + ["rolled_back"]
    print(f"{len(readings)} readings, {len(outcomes) - 1} swaps")


def without_swaps(detector: Detector, devices: Devices, saved: Checkpoint) -> None:
    """What the agent has learnt is what this detector learns from the same readings at one go."""
    detector.resize(max(detector.devices, len(saved.devices)))
    rows = {str(name): row for row, name in enumerate(saved.devices)}
    readings = sorted((i, rows[name], *pair) for name, pairs in devices.sent.items() for i, pair in enumerate(pairs))
    sequence, row, *values = np.array(readings).T
    detector.score(ReadingBatch.of(row.astype(np.intp), STARTED + sequence, np.column_stack(values)))
    state, found = detector.state(), saved.detectors[detector.name]
    assert state.keys() == found.keys()
    for part, wanted in state.items():
        # Sums may differ by the order in which they were made.
        assert found[part] == pytest.approx(wanted[: len(saved.devices)], rel=1e-6, abs=1e-6, nan_ok=True), part
