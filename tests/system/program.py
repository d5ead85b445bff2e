"""A program of ours that a test starts, kills and starts again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.processes import command

STOP_SECONDS = 20.0


class Program:
    """One command line, at most one process at a time; what it prints is appended to `log`."""

    def __init__(
        self, program: str, *arguments: object, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = command(program, *arguments)
        self.environment = dict(environment or {})
        """Beside our own; counts from the next start."""
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        """When it was started last, seconds since 1970."""

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return at once."""
        assert not self.running
        self.started = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env={**os.environ, **self.environment}, stdout=log, stderr=log, process_group=0
            )

    def kill(self) -> None:
        """`kill -9` of this process alone: what it started must end by itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(STOP_SECONDS)

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def said(self) -> str:
        """All that it has printed."""
        return self.log.read_text() if self.log.exists() else ""
