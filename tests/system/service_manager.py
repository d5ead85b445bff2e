"""A service manager as systemd is one for our units: Type=notify, WatchdogSec=, Restart=always."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

from tests.system.program import Program

RESTART_SECONDS = 0.1
STOP_SECONDS = 5.0
LOOK_SECONDS = 0.05


class ServiceManager:
    """Watches one program from its first READY=1 on; no part of it runs before `watch`."""

    def __init__(self, program: Program, folder: Path, *, watchdog: float) -> None:
        self._program, self._watchdog = program, watchdog
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.settimeout(LOOK_SECONDS)
        program.environment |= {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(int(watchdog * 1e6))}
        self._heard: float | None = None
        """When it last said that it lives; None until it is ready."""
        self.aborted = 0
        """How often it had not said so for too long."""
        self.restarts = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="service manager", daemon=True)

    def watch(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._listen()
            if not self._program.running:
                time.sleep(RESTART_SECONDS)
                self._heard = None
                self._program.start()
                self.restarts += 1
            elif self._heard is not None and time.monotonic() - self._heard > self._watchdog:
                self._abort()

    def _listen(self) -> None:
        try:
            said = self._socket.recv(4096).split(b"\n")
        except TimeoutError:
            return
        if b"READY=1" in said or (self._heard is not None and b"WATCHDOG=1" in said):
            self._heard = time.monotonic()

    def _abort(self) -> None:
        """SIGABRT, and SIGCONT so that it is heard; SIGKILL where even that is not enough (systemd.kill(5))."""
        self.aborted += 1
        self._heard = None
        os.kill(self._program.pid, signal.SIGABRT)
        os.kill(self._program.pid, signal.SIGCONT)
        deadline = time.monotonic() + STOP_SECONDS
        while self._program.running and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if self._program.running:
            self._program.kill()

    def close(self) -> None:
        """Watch no more; the program stays as it is."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
