"""Samples on their way: behind everything else, and gone when the hub has them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from tests.agent.alerts import alert
from tests.agent.mqtt_ends import device
from tests.agent.update.gateway import Gateway
from tests.agent.update.model_hub import CHANNELS, PROFILE, ModelHub
from tests.brokers import Mosquitto
from tests.processes import eventually
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.database import FILE
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.reading.effects import Effects
from vedette_models.messages import Report, SampleBatch, Segment

SAMPLES = SampleBatch(PROFILE, CHANNELS, (Segment("d", (0.0,), ((1.0, None),)),), 5.0)


def box_at(folder: Path, **limits: int) -> Outbox:
    return Outbox(folder / FILE, "gw", OutboxLimits(**limits), to_hub=True)


def test_they_wait_until_nothing_else_does(tmp_path: Path) -> None:
    box = box_at(tmp_path)
    box.commit(Effects(samples=[SAMPLES]), 1.0)
    box.commit(Effects(alerts=[alert()], reports=[Report(2.0)], samples=[SAMPLES]), 2.0)
    assert [row.priority for row in box.pending_hub(10)] == ["alerts", "reports", "samples", "samples"]
    box.close()


def test_they_give_way_first_when_the_box_is_full(tmp_path: Path) -> None:
    box = box_at(tmp_path, max_rows=10)
    box.commit(Effects(samples=[SAMPLES] * 8), 1.0)
    box.commit(Effects(alerts=[alert(id=f"a{i}") for i in range(9)]), 2.0)
    waiting = [row.priority for row in box.pending_hub(20)]
    assert waiting.count("alerts") == 9
    assert waiting.count("samples") < 2
    box.close()


def test_normal_readings_reach_the_hub_and_are_forgotten_when_receipted(broker: Mosquitto, tmp_path: Path) -> None:
    hub = ModelHub(broker.port, "sampled")
    samples = 'every = "0.2s"\nsegment = 4\nsegments = 3\nbytes_per_day = "1 MiB"'
    gateway = Gateway(tmp_path, broker.port, hub.key.verify_key, gateway="sampled", samples=samples)
    gateway.start()
    random = np.random.default_rng(0)
    sent: list[tuple[float, tuple[float, float | None]]] = []
    try:
        hub.runs("")
        with device(broker.port) as pump:
            for i in range(40):
                body = {"ts": 100 + i, "flow": float(random.normal())}
                if i % 5:
                    body["pressure"] = float(random.normal(1013.25))
                sent.append((100.0 + i, (body["flow"], body.get("pressure"))))
                pump.publish("plant/pump-1/telemetry", msgspec.json.encode(body))
        eventually(lambda: list(hub.samples.values()) or None, "samples are at the hub")

        def receipted() -> bool | None:
            status = hub.status
            return (status is not None and status.counters.scored == 40 and status.outbox_rows == 0) or None

        eventually(receipted, "all are scored, and what was sent is forgotten")
        gateway.stop()
    finally:
        gateway.kill()
        hub.close()
    for batch in hub.samples.values():
        assert (batch.profile, batch.channels) == (PROFILE, CHANNELS)
        assert 1 <= len(batch.segments) <= 3
        for segment in batch.segments:
            assert segment.device == "pump-1"
            first = int(segment.times[0]) - 100
            assert list(zip(segment.times, segment.values, strict=True)) == sent[first : first + 4]
