"""Services through Apprise: their processes, one for each channel that is in use, started when needed."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any

from vedette_hub.notify.errors import DeliveryError
from vedette_hub.notify.kinds import AppriseSettings

MOST_PROCESSES = 4
IDLE_SECONDS = 60.0
"""After which a process that nobody needs is ended."""
START_SECONDS = 120.0
"""What the first message of a process may take longer: a slow machine takes its time to load Apprise."""
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""Of the environment. No proxies: they would connect where nobody checks."""
_ANSWER_BYTES = 16_384
_TYPES = {"low": "info", "medium": "warning", "high": "failure", "critical": "failure"}


class _Process:
    """One process, used by one thread at a time."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "vedette_hub.notify.apprise_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | {"NETRC": os.devnull},
        )
        self.fresh = True
        self.idle_since = time.monotonic()

    def ask(self, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Have an order carried out; a TimeoutError or another OSError when it is not."""
        _pipe(self._child.stdin).write(json.dumps(order).encode() + b"\n")
        _pipe(self._child.stdin).flush()
        answer = json.loads(self._line(time.monotonic() + seconds))
        assert isinstance(answer, dict)  # noqa: S101  # our own process
        self.fresh = False
        return answer

    def _line(self, deadline: float) -> bytes:
        found, out = b"", _pipe(self._child.stdout).fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while not found.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                more = os.read(out, 4096)
                if not more or len(found) > _ANSWER_BYTES:
                    raise ConnectionError("its process ended")
                found += more
        return found

    def end(self) -> None:
        """End it; it has nothing to clean up."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            _pipe(pipe).close()


class AppriseService:
    """Sends through Apprise, from any thread."""

    def __init__(self, networks: Sequence[str], *, allow_http: bool, timeout: float) -> None:
        self._networks, self._allow_http, self._timeout = list(networks), allow_http, timeout
        self._room = threading.Semaphore(MOST_PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    def send(self, settings: AppriseSettings, message: dict[str, Any]) -> str:
        """Send a message; what came of it, in words.

        Raises:
            DeliveryError: it was not taken.
        """
        data = message["data"]
        order = {
            "url": settings.url,
            "title": data["title"],
            "text": data["text"],
            "type": "success" if data["state"] == "cleared" else _TYPES[data["severity"]],
            "networks": self._networks,
            "allow_http": self._allow_http,
        }
        with self._room:
            process = self._take()
            seconds = self._timeout + (START_SECONDS if process.fresh else 0.0)
            try:
                answer = process.ask(order, seconds)
            except (OSError, ValueError) as error:
                process.end()
                words = "no answer in time" if isinstance(error, TimeoutError) else "its process ended"
                raise DeliveryError(f"{settings.address}: {words}") from error
            self._give_back(process)
        if not answer["ok"]:
            raise DeliveryError(f"{settings.address}: {answer['error']}", permanent=answer["permanent"])
        return "taken by the service"

    def end_idle(self, seconds: float = IDLE_SECONDS) -> None:
        """End processes that nobody has needed for so long."""
        with self._lock:
            old = [one for one in self._idle if time.monotonic() - one.idle_since >= seconds]
            self._idle = [one for one in self._idle if one not in old]
        for process in old:
            process.end()

    def _take(self) -> _Process:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Process()

    def _give_back(self, process: _Process) -> None:
        process.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(process)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101  # pipes were asked for
    return pipe
