"""Children: the processes of the demo, which end when it ends, however it ends."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LAST_LINES = 15
STOP_SECONDS = 10.0
_PORTS = range(20_000, 30_000)
"""Below Linux's ephemeral range: no outgoing connection can be given one of these."""
_PR_SET_PDEATHSIG = 1


class ChildError(RuntimeError):
    """A process of the demo did not start, or has ended: says which, and what it said last."""


def free_port() -> int:
    """A TCP port of the loopback interface on which nobody listens.

    Raises:
        ChildError: none was found.
    """
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ChildError(f"no free port between {_PORTS.start} and {_PORTS.stop}")


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes its program: ask Linux for SIGTERM at the death of `parent`."""
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        if hasattr(libc, "prctl"):
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before we could ask
                os._exit(1)

    return prepare


class Child:
    """One process, with its output in a file. Start it from the main thread: it lives as long as that."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            # a session of its own: Ctrl-C is for the demo, which ends its children in order
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # no threads run yet
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            ChildError: it has ended.
        """
        if (code := self._process.poll()) is not None:
            raise ChildError(f"{self.name} has ended with code {code}; {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"the end of {self.log}:", *(f"  {line}" for line in lines)])

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Return when `ready` says so.

        Raises:
            ChildError: it has ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildError(f"{self.name}: {what} not within {seconds:.0f} s; {self.last_words()}")
            time.sleep(0.05)

    def stop(self) -> int:
        """End it as a service manager does, and wait; kill it if it does not follow. Returns its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
