"""The whole hub: samples over a real broker become a version; a hub killed in the middle of a training goes on."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.brokers import Mosquitto
from tests.hub.conftest import HubProcess
from tests.hub.gateway import SimulatedGateway, row, wait_for
from tests.hub.learning.readings import samples
from vedette_models.messages import to_bytes


def post(hub: HubProcess, path: str, body: dict[str, Any]) -> Any:
    token = (hub.state_dir / "api-token").read_text().strip()
    request = urllib.request.Request(f"http://127.0.0.1:{hub.port}/api/v1/{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_samples_over_mqtt_become_a_version_and_a_killed_hub_says_what_it_left(
    hub_process: HubProcess, mosquitto: Mosquitto
) -> None:
    hub_process.start()
    with SimulatedGateway(mosquitto.port) as gateway:
        for number in (1, 2, 2, 1, 3):
            gateway.send([row(number, to_bytes(samples(number, readings=200)))], "samples")
        wait_for(lambda: gateway.receipts and gateway.receipts[-1].committed[0].through == 3, "all are receipted")
    (total,) = hub_process.get("samples")["samples"]
    assert (total["segments"], total["readings"]) == (3, 600)
    number = post(hub_process, "models/train", {"profile": "pump"})["number"]
    large = post(hub_process, "models/train", {"profile": "large", "synthetic": {"samples": 2_000_000, "features": 8}})
    wait_for(lambda: hub_process.get(f"jobs/{number}")["finished"], "the job has ended", seconds=180)
    assert hub_process.get(f"jobs/{number}")["state"] == "succeeded"
    assert hub_process.get("models/pump/1")["report"]["readings"] == 600
    wait_for(lambda: hub_process.get(f"jobs/{large['number']}")["state"] == "running", "the next has begun")
    hub_process.kill()
    hub_process.start()
    wait_for(lambda: hub_process.get(f"jobs/{large['number']}")["state"] == "interrupted", "it is noticed")
    assert hub_process.stop() == 0
    assert "Traceback" not in hub_process.log.read_text()
