"""Requests to a hub's API: how many a second, and what each costs the web server in processor time.

The web server runs as it does in production, in a process of its own; clients keep their connections and send the next
request when they have the answer. Rates depend on whoever else uses the machine; processor time hardly does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from benchmarks.throughput import cpu_seconds
from vedette_hub import state
from vedette_hub.config import Config, LearningSection
from vedette_hub.hub import WEB_COMMAND, open_database
from vedette_hub.learning import registry
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.next_version import train_next
from vedette_hub.learning.sources.vectors import channels_of, profile_of
from vedette_hub.store.database import reading
from vedette_hub.web import server
from vedette_models.artifact import load
from vedette_models.detectors.vector_detector import VectorDetector

FEATURES = 3
TRAINED = 2_000
CLIENTS = 2
START_SECONDS = 120.0
PATIENCE_SECONDS = 10.0
"""The time limit of scoring here: on a machine that others use, too, it would end much that is to be measured."""


@dataclass(frozen=True)
class Server:
    """A web server that runs."""

    port: int
    pid: int
    token: str
    alone: float
    """Rows a CPU second that its model scores without a server around it, a hundred at a time, just before."""

    def cpu(self) -> float:
        """Processor time of the server and its worker so far."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return cpu_seconds(self.pid) + sum(cpu_seconds(int(child)) for child in children)


@contextmanager
def running() -> Iterator[Server]:
    """A web server over a store of its own, with an isolation forest of 100 trees for vectors of FEATURES."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate({"hub": {"state_dir": f"{folder}/state", "log_level": "warning"}})
        scoring = config.scoring.model_copy(update={"timeout": PATIENCE_SECONDS})
        web = config.web.model_copy(update={"requests_per_minute": 10**9})
        config = config.model_copy(update={"web": web, "scoring": scoring})
        engine = open_database(config)
        state.first_token(config.state_dir, engine, time.time())
        token = (config.state_dir / state.TOKEN_FILE).read_text().strip()
        rows = np.random.default_rng(1).normal(20.0, 1.0, (TRAINED, FEATURES))
        series = Series("benchmark", np.arange(TRAINED, dtype=np.float64), rows)
        train_next(
            engine,
            Source(profile_of(FEATURES), channels_of(FEATURES), (series,), "api"),
            LearningSection().model_copy(update={"window": 1}),
            time.time,
            algorithm="isolation_forest",
            contamination=0.01,
            by="benchmark",
            tell=lambda _done, _what: None,
        )
        alone = _model_alone(engine)
        listener = server.listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        child = server.start(WEB_COMMAND, listener, config.model_dump_json())
        listener.close()
        try:
            started = Server(port, child.pid, token, alone)
            _wait_until_up(started)
            yield started
        finally:
            server.stop(child)
            engine.dispose()


def _model_alone(engine: Engine) -> float:
    with reading(engine) as connection:
        newest = registry.newest_name(connection, profile_of(FEATURES))
        data = registry.artifact(connection, newest[1]) if newest else None
    assert data is not None
    detector = load(data).detector
    assert isinstance(detector, VectorDetector)
    rows = np.random.default_rng(3).normal(20.0, 1.0, (100, FEATURES))
    detector.model.decision_function(rows)
    begun, repeats = time.process_time(), 50
    for _ in range(repeats):
        detector.model.decision_function(rows)
    return repeats * len(rows) / (time.process_time() - begun)


def _wait_until_up(started: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError):
            _Client(started).ask("GET", "/health", b"")
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the web server does not answer within {START_SECONDS:g} s")
        time.sleep(0.1)


class _Client:
    """A connection that is kept."""

    def __init__(self, started: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {started.token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: bytes) -> int:
        """Send a request, and return the status when the answer is there."""
        self._connection.request(method, path, body or None, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def requests() -> dict[str, tuple[str, str, bytes, int]]:
    """By name: method, path, body and rows of the requests that are measured."""
    draw = np.random.default_rng(2)

    def batch(rows: int) -> bytes:
        events = [{"features": row} for row in draw.normal(20.0, 1.0, (rows, FEATURES)).round(4).tolist()]
        return json.dumps({"events": events, "algorithm": "isolation_forest"}).encode()

    one = json.dumps({"features": [20.0] * FEATURES, "metadata": {"source": "sensor-001"}}).encode()
    return {
        "health": ("GET", "/health", b"", 0),
        "detect": ("POST", "/api/v1/detect", one, 1),
        "batch of 100": ("POST", "/api/v1/detect/batch", batch(100), 100),
        "batch of 1,000": ("POST", "/api/v1/detect/batch", batch(1_000), 1_000),
    }


def measure(seconds: float = 3.0, clients: int = CLIENTS) -> dict[str, dict[str, float]]:
    """Figures of each request, asked by so many clients for so long, and of the model alone, to compare with."""
    with running() as started:
        alone = {"rows_per_cpu_second": round(started.alone, 1)}
        return {
            "model alone": alone,
            **{name: _measured(started, *what, seconds, clients) for name, what in requests().items()},
        }


def _measured(
    started: Server, method: str, path: str, body: bytes, rows: int, seconds: float, clients: int
) -> dict[str, float]:
    _Client(started).ask(method, path, body)  # the model is loaded
    taken: list[float] = []
    statuses: dict[int, int] = {}
    lock = threading.Lock()
    end = time.perf_counter() + seconds

    def ask() -> None:
        client = _Client(started)
        while (begun := time.perf_counter()) < end:
            status = client.ask(method, path, body)
            with lock:
                taken.append(time.perf_counter() - begun)
                statuses[status] = statuses.get(status, 0) + 1

    cpu, begun = started.cpu(), time.perf_counter()
    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, used = time.perf_counter() - begun, started.cpu() - cpu
    good = statuses.get(200, 0)
    found: dict[str, Any] = {
        "requests_per_second": round(good / elapsed, 1),
        "cpu_ms_per_request": round(1e3 * used / max(1, len(taken)), 3),
        "p50_ms": round(1e3 * float(np.percentile(taken, 50)), 2),
        "p95_ms": round(1e3 * float(np.percentile(taken, 95)), 2),
        "other_answers": len(taken) - good,
    }
    if rows:
        found["rows_per_second"] = round(good * rows / elapsed)
        found["rows_per_cpu_second"] = round(good * rows / used) if used else 0
    return found
