"""A real `vedette-agent run`, and commands beside it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECONDS = 20.0
COMMAND = (sys.executable, "-m", "vedette_agent.cli")

CONFIG = """
[gateway]
id = "{gateway}"
state_dir = "{folder}/state"
heartbeat = 0.3
[devices]
url = "{url}"
client_id = "{session}"
{hub}
[[streams]]
topic = "plant/{{device}}/telemetry"
profile = "pump"
[profiles.pump.channels.vibration]
unit = "mm/s"
low = 0
high = 50
[profiles.pump.decisions]
clear_after = 2
"""


def configure(folder: Path, url: str, hub_url: str = "", gateway: str = "gw") -> Path:
    """A configuration file, with a session of its own on every broker."""
    folder.mkdir(exist_ok=True)
    session = uuid.uuid4().hex
    hub = f'[hub]\nurl = "{hub_url}"\nclient_id = "{session}-up"\n' if hub_url else ""
    path = folder / "agent.toml"
    path.write_text(CONFIG.format(gateway=gateway, folder=folder, url=url, session=session, hub=hub))
    return path


class Notifications:
    """What a service manager hears on NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(0.05)
        self.said: list[str] = []

    def listen(self) -> list[str]:
        """Everything said so far."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.said += self._socket.recv(4096).decode().split("\n")
        return self.said

    def close(self) -> None:
        self._socket.close()


class AgentProcess:
    """The agent, running."""

    def __init__(self, config: Path, *options: str, **environment: str) -> None:
        self.config = config
        self._log = (config.parent / "agent.log").open("ab")
        command = [*COMMAND, "run", "--config", str(config), *options]
        self.process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, env={**os.environ, **environment}
        )  # fmt: skip

    @property
    def log(self) -> str:
        return (self.config.parent / "agent.log").read_text()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """What the condition returns, once it is true."""
        deadline = time.monotonic() + SECONDS
        while not (found := condition()):
            assert self.process.poll() is None, f"the agent ended:\n{self.log}"
            assert time.monotonic() < deadline, f"not in time: {what}\n{self.log}"
            time.sleep(0.02)
        return found

    def status(self) -> dict[str, Any]:
        """The status file; empty while there is none."""
        try:
            found: dict[str, Any] = json.loads((self.config.parent / "state" / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def receiving(self) -> None:
        """Return when it is subscribed."""
        self.until(lambda: self.status().get("ingest") in ("waiting", "receiving"), "subscribed")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        self._log.close()
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


@contextlib.contextmanager
def agent(config: Path, *options: str, **environment: str) -> Iterator[AgentProcess]:
    """An agent for a while."""
    made = AgentProcess(config, *options, **environment)
    try:
        yield made
    finally:
        made.kill()


def command(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command beside the agent."""
    return subprocess.run(
        [*COMMAND, words[0], "--config", str(config), *words[1:]], capture_output=True, text=True, timeout=SECONDS
    )
