"""What existing clients send, byte by byte with curl, to a hub that runs; and what they read in the answers."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time
from typing import Any

import pytest

from tests.hub.conftest import HubProcess
from tests.hub.gateway import wait_for

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


class Client:
    """curl with a token, for one hub."""

    def __init__(self, hub: HubProcess) -> None:
        self._base = f"http://127.0.0.1:{hub.port}"
        self._token = (hub.state_dir / "api-token").read_text().strip()

    def train(self, body: dict[str, Any], key: str) -> tuple[int, Any]:
        """The answer to a training; asked for again where the machine is too busy to end it while a client waits."""
        deadline = time.monotonic() + 500
        while True:
            status, answer = self.send("/api/v1/train?wait=60", json.dumps(body), f"Idempotency-Key: {key}")
            if status != 202 or time.monotonic() > deadline:
                return status, answer

    def send(self, path: str, body: str | None = None, *headers: str) -> tuple[int, Any]:
        """The status and body of GET, or of POST where there is a body."""
        command = ["curl", "-sS", "-m", "100", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {self._token}"]
        for header in headers:
            command += ["-H", header]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        done = subprocess.run(
            [*command, self._base + path], input=body, capture_output=True, text=True, check=True, timeout=120
        )
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text)


def started(hub: HubProcess) -> Client:
    hub.start(wait=False)
    wait_for(lambda: hub.health() == "ok", "the hub is up", 180.0)
    return Client(hub)


def rows(count: int) -> list[list[float]]:
    draw = random.Random(11)
    return [
        [round(draw.gauss(20, 1), 3), round(draw.gauss(60, 3), 3), round(draw.gauss(1.2, 0.1), 3)] for _ in range(count)
    ]


@curl
def test_the_bodies_of_existing_clients_get_the_answers_they_expect(hub_process: HubProcess) -> None:
    client = started(hub_process)

    wanted = {"algorithm": "isolation_forest", "data": rows(200), "config": {"contamination": 0.05}}
    status, answer = client.train(wanted, "first")
    assert (status, answer["status"]) == (200, "success"), answer
    model = answer["model"]
    assert set(model) == {
        "algorithm", "version", "trainedAt", "nSamples", "nFeatures", "contamination", "performance"
    }  # fmt: skip
    assert (model["algorithm"], model["nSamples"], model["nFeatures"]) == ("isolation_forest", 200, 3)
    assert (model["version"], model["contamination"]) == (1, 0.05)

    status, answer = client.send("/api/v1/detect", '{"features":[95.0,5.0,9.0],"metadata":{"source":"sensor-001"}}')
    assert (status, answer["status"]) == (200, "success"), answer
    result = answer["result"]
    assert set(result) == {"eventId", "timestamp", "isAnomaly", "score", "confidence", "algorithm", "latencyMs"}
    assert result["isAnomaly"] is True
    assert result["score"] < 0.0
    assert 0.0 <= result["confidence"] <= 1.0
    assert result["algorithm"] == "isolation_forest"
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", result["timestamp"])
    alert = answer["alert"]
    assert set(alert) == {"id", "severity", "message"}

    status, answer = client.send("/api/v1/detect", '{"features":[20.0,60.0,1.2],"metadata":{"source":"sensor-002"}}')
    assert (status, answer["result"]["isAnomaly"], "alert" in answer) == (200, False, False)
    assert answer["result"]["score"] > 0.0

    body = '{"events":[{"features":[20.0,60.0,1.2]},{"features":[95.0,5.0,9.0]}],"algorithm":"isolation_forest"}'
    status, answer = client.send("/api/v1/detect/batch", body)
    assert (status, answer["status"]) == (200, "success")
    result = answer["result"]
    assert set(result) == {"results", "totalLatencyMs", "avgLatencyMs", "anomalyCount", "anomalyRate"}
    assert [one["isAnomaly"] for one in result["results"]] == [False, True]
    assert (result["anomalyCount"], result["anomalyRate"]) == (1, 0.5)

    status, answer = client.send("/api/v1/models")
    assert (status, answer["status"]) == (200, "success")
    listed = answer["models"][0]
    assert {name: listed[name] for name in ("algorithm", "version", "trainedAt", "nSamples", "nFeatures")} == {
        name: model[name] for name in ("algorithm", "version", "trainedAt", "nSamples", "nFeatures")
    }

    status, answer = client.send("/api/v1/alerts")
    assert (status, answer["status"]) == (200, "success")
    kept = answer["alerts"][0]
    assert {name: kept[name] for name in ("id", "severity", "message", "source")} == {**alert, "source": "sensor-001"}

    status, answer = client.send("/api/v1/stats/scorer")
    assert (status, answer["status"]) == (200, "success")
    stats = answer["stats"]
    assert (stats["totalScored"], stats["totalAnomalies"], stats["anomalyRate"]) == (4, 2, 0.5)
    assert {"avgLatencyMs", "maxLatencyMs", "minLatencyMs", "timeoutRate"} <= set(stats)

    assert client.send("/health")[1]["status"] == "ok"

    status, answer = client.send("/api/v1/detect", '{"features":[20.0,60.0,1.2],"source":"sensor-001"}')
    assert (status, answer["error"]["fields"][0]["field"]) == (422, "source")


@curl
def test_few_rows_are_trained_where_the_client_allows_it(hub_process: HubProcess) -> None:
    client = started(hub_process)
    few = {"algorithm": "isolation_forest", "data": rows(30), "config": {}}
    status, answer = client.train(few, "refused")
    assert status == 422
    assert "allow_small" in answer["error"]["fields"][0]["problems"][0]
    status, answer = client.train({**few, "config": {"allow_small": True}}, "allowed")
    assert (status, answer["model"]["nSamples"]) == (200, 30)
