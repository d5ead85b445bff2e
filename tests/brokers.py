"""A real Mosquitto on a loopback port of its own, which tests may stop, start and kill."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
START_SECONDS = 10.0

# Below Linux's ephemeral range: an outgoing connection can never be given one of these ports.
_PORTS = range(20_000, 30_000)
# Reservations last as long as the process, so that a broker restarts on the port its clients know.
_reserved: list[IO[str]] = []


class BrokerError(RuntimeError):
    """The broker did not come up; says what it printed."""


def free_port() -> int:
    """A loopback TCP port that stays ours until this process ends, whatever other test runs choose meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"vedette-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for port in random.sample(_PORTS, 200):
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _reserved.append(lock)
        return port
    raise BrokerError(f"no free port between {_PORTS.start} and {_PORTS.stop}")


class Mosquitto:
    """One broker with its own configuration, data and log under `directory`.

    Without `config` it lets everybody in and keeps everything in memory, unless `persistence` is true. With `config`
    that text is the whole configuration; `{port}` and `{directory}` in it are replaced.
    """

    def __init__(
        self, directory: Path, *, config: str = "", persistence: bool = False, port: int | None = None
    ) -> None:
        if MOSQUITTO is None:
            raise BrokerError("mosquitto is not installed")
        self.directory = directory
        self.port = port or free_port()
        self.log = directory / "mosquitto.log"
        directory.mkdir(parents=True, exist_ok=True)
        text = config or _open_configuration(persistence)
        self._config = directory / "mosquitto.conf"
        self._config.write_text(text.replace("{port}", str(self.port)).replace("{directory}", str(directory)))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start, and return when connections are accepted; no effect while it runs."""
        if self._process is not None:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.kill()
        raise BrokerError(f"mosquitto did not start on port {self.port}:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop as a service manager does; with `persistence` it saves its sessions first."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """`kill -9`: what it kept in memory is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _open_configuration(persistence: bool) -> str:
    lines = [
        "listener {port} 127.0.0.1",
        "allow_anonymous true",
        "max_queued_messages 0",
        "set_tcp_nodelay true",
        f"persistence {'true' if persistence else 'false'}",
        "persistence_location {directory}/",
        "log_dest stderr",
    ]
    if os.geteuid() == 0:
        # Started as root it becomes the user `mosquitto`, who cannot write to the test's directory.
        lines.append("user root")
    return "\n".join(lines) + "\n"
