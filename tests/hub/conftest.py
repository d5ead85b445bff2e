"""Fixtures for the hub: a store, the web application, and the whole hub as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.brokers import Mosquitto, free_port
from tests.hub import people
from tests.hub.gateway import wait_for
from vedette_hub.config import Config
from vedette_hub.hub import open_database


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate({"hub": {"state_dir": str(tmp_path / "state")}})


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    engine = open_database(config)
    yield engine
    engine.dispose()


class HubProcess:
    """`vedette-hub serve` on a free port."""

    def __init__(self, directory: Path, broker_port: int) -> None:
        self.port = free_port()
        self.state_dir = directory / "state"
        self.log = directory / "hub.log"
        self.config = directory / "hub.toml"
        self.config.write_text(
            f'[hub]\nstate_dir = "state"\n[broker]\nurl = "mqtt://127.0.0.1:{broker_port}"\n[web]\nport = {self.port}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "vedette_hub.cli", "serve", "--config", str(self.config)]
            self._process = subprocess.Popen(command, stderr=log, process_group=0)
        if wait:
            wait_for(lambda: self.health() == "ok", f"the hub is up; its log:\n{self.log.read_text()}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def health(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return str(json.load(answer)["status"])
        except OSError:
            return ""

    def get(self, path: str) -> Any:
        token = (self.state_dir / "api-token").read_text().strip()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1/{path}")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """`kill -9` of the hub's process alone: what it started must end by itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(45)
        finally:
            self._process = None

    def end(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def hub_process(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path, mosquitto.port)
    yield hub
    hub.end()


@pytest.fixture
def client(config: Config, engine: Engine) -> Iterator[Any]:
    """A test client of API and console; `client.token` is the first API token, an admin's."""
    from vedette_hub import state
    from vedette_hub.api.context import context
    from vedette_hub.hub import web_application

    state.first_token(config.state_dir, engine, 1.0)
    app = web_application(config)
    client = app.test_client()
    client.token = (config.state_dir / state.TOKEN_FILE).read_text().strip()  # type: ignore[attr-defined]
    yield client
    with app.app_context():
        context().engine.dispose()


@pytest.fixture
def browser(client: Any, engine: Engine) -> Any:
    """The client, signed in to the console as the admin ana."""
    people.add(engine, "ana", "admin")
    people.begin_session(client, engine, "ana")
    return client


Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(client: Any) -> Call:
    """`call("GET", "alerts")` → (status, body as JSON), with the token."""

    def request(method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {client.token}", **options.pop("headers", {})}
        answer = client.open(f"/api/v1/{path}", method=method, headers=headers, **options)
        return answer.status_code, answer.get_json()

    return request
