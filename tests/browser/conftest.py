"""A hub with a broker, a real agent and a device, and Chromium that looks at the console."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from sqlalchemy import Engine

from tests.brokers import Mosquitto
from tests.browser import plant
from tests.hub import people
from tests.hub.conftest import HubProcess
from vedette_hub import state
from vedette_hub.config import Config
from vedette_hub.fleet import enrolment
from vedette_hub.hub import open_database
from vedette_hub.store.database import writing
from vedette_hub.store.tokens import add_token, new_secret

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 240_000.0
"""Milliseconds for anything to appear, on a machine that is busy with something else."""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def chromium_program() -> str:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip("there is no chromium here (Debian: apt-get install chromium; CHROMIUM names another one)")
    return found


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(playwright: Playwright, chromium_program: str) -> Iterator[Browser]:
    # Chromium's sandbox refuses to run as root, as in a container.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    browser = playwright.chromium.launch(executable_path=chromium_program, args=arguments)
    yield browser
    browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """`open_page(dark=True, phone=True)` → a page of a browser of its own; what it complains of fails the test."""
    contexts = []
    complaints: list[str] = []

    def opened(*, dark: bool = False, phone: bool = False) -> Page:
        context = chromium.new_context(
            viewport=PHONE if phone else WIDE,  # type: ignore[arg-type]  # a dict of the right keys
            color_scheme="dark" if dark else "light",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


class Plant(HubProcess):
    """A hub in a process; with `filled` it keeps a plant to look at, and has an admin `ana`."""

    def __init__(self, directory: Path, broker_port: int, *, filled: bool) -> None:
        super().__init__(directory, broker_port)
        # Statuses of the plant come once only.
        text = self.config.read_text().replace("[hub]\n", "[hub]\nsilent_after = 864000.0\n" if filled else "[hub]\n")
        self.config.write_text(text + "[learning]\ntrees = 20\n")  # enough to see a training end
        self.url = f"http://127.0.0.1:{self.port}"
        config = Config.model_validate({"hub": {"state_dir": str(self.state_dir)}})
        state.prepare(config.state_dir)
        self.engine: Engine = open_database(config)
        if filled:
            people.add(self.engine, "ana", "admin")
            state.new_signing_key(config.state_dir, "test")
            plant.build(self.engine, state.signing_key(config.state_dir), time.time())
            with writing(self.engine) as connection:
                add_token(connection, "grafana", new_secret(), time.time(), role="viewer", by="ana")

    def sign_in(self, page: Page, user: str = "ana", password: str = people.PASSWORD) -> None:
        page.goto(f"{self.url}/login")
        page.fill("#user", user)
        page.fill("#password", password)
        page.click("button[type=submit]")
        page.wait_for_url(f"{self.url}/")


@pytest.fixture(scope="session")
def filled_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """The plant of `plant.py`, without a device that says anything; tests of it leave it as it is."""
    folder = tmp_path_factory.mktemp("plant")
    broker = Mosquitto(folder / "broker")
    broker.start()
    hub = Plant(folder, broker.port, filled=True)
    hub.start()
    yield hub
    hub.end()
    hub.engine.dispose()
    broker.stop()


AGENT = """\
[gateway]
id = "line-1"
state_dir = "agent"
[devices]
url = "{url}"
[hub]
url = "{url}"
[models]
key_ring = "keyring"
[[streams]]
topic = "plant/{{device}}/telemetry"
profile = "pump"
[profiles.pump.channels.vibration]
unit = "mm/s"
low = 0
high = 50
[profiles.pump.channels.temperature]
unit = "°C"
"""


class Line:
    """A broker, a hub and an agent, all real, and a device whose readings a test sends."""

    def __init__(self, folder: Path) -> None:
        self._broker = Mosquitto(folder / "broker")
        self._broker.start()
        self.hub = Plant(folder, self._broker.port, filled=False)
        self.hub.start()
        (folder / "agent.toml").write_text(AGENT.format(url=self._broker.url))
        key = state.signing_key(self.hub.state_dir)
        (folder / "keyring").write_text(enrolment.key_ring_text(key))
        people.add(self.hub.engine, "ana", "admin")
        with (folder / "agent.log").open("wb") as log:
            agent = [sys.executable, "-m", "vedette_agent.cli", "run", "--config", str(folder / "agent.toml")]
            self._agent = subprocess.Popen(agent, stderr=log, stdout=log)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="pump-7")
        self._client.connect("127.0.0.1", self._broker.port)
        self._client.loop_start()

    def say(self, vibration: float, temperature: float = 45.0, device: str = "pump-7") -> None:
        """The device sends a reading."""
        reading = {"ts": time.time(), "vibration": vibration, "temperature": temperature}
        self._client.publish(f"plant/{device}/telemetry", json.dumps(reading), qos=1).wait_for_publish(30)

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._agent.kill()
        self._agent.wait()
        self.hub.end()
        self.hub.engine.dispose()
        self._broker.stop()


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    made = Line(tmp_path_factory.mktemp("line"))
    yield made
    made.end()
