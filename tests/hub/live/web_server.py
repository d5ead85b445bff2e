"""The web server's process over a store of its own, and sockets to it; alerts reach the store without a broker."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.hub.gateway import row, wait_for
from vedette_hub import state
from vedette_hub.config import Config
from vedette_hub.fleet import arrivals
from vedette_hub.fleet.commit import commit
from vedette_hub.hub import WEB_COMMAND, open_database
from vedette_hub.web import server
from vedette_models import topics
from vedette_models.messages import Alert, Delivery, to_bytes

SECONDS = 30.0
"""Deadline of every wait."""


class Ear:
    """A client of /ws."""

    def __init__(self, socket: Connection) -> None:
        self.socket = socket

    def say(self, kind: str, **data: Any) -> None:
        self.socket.send(json.dumps({"type": kind, "data": data}))

    def hear(self, *kinds: str) -> dict[str, Any]:
        """The data of the next message, which must be of one of these kinds; without any, the message."""
        message: dict[str, Any] = json.loads(self.socket.recv(SECONDS))
        assert not kinds or message["type"] in kinds, message
        return message["data"] if kinds else message

    def until(self, kind: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The data of the first message of that kind that is wanted; others before it are passed over."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = self.hear()
            if message["type"] == kind and wanted(message["data"]):
                return dict(message["data"])
        raise AssertionError(f"no {kind} within {SECONDS} s")

    def end(self) -> tuple[int, str]:
        """Code and reason with which the hub closes, whatever it says before."""
        with suppress(ConnectionClosed):
            while True:
                self.socket.recv(SECONDS)
        return self.socket.close_code or 0, self.socket.close_reason or ""


class WebServer:
    """Runs until `close`."""

    def __init__(self, folder: Path, **sections: dict[str, Any]) -> None:
        self.config = Config.model_validate({"hub": {"state_dir": str(folder / "state")}, **sections})
        self.engine: Engine = open_database(self.config)
        state.first_token(self.config.state_dir, self.engine, 1.0)
        self.token = (self.config.state_dir / state.TOKEN_FILE).read_text().strip()
        listener = server.listen("127.0.0.1", 0)
        self.port: int = listener.getsockname()[1]
        self._child = server.start(WEB_COMMAND, listener, self.config.model_dump_json())
        listener.close()
        self._sequence = 0
        try:
            wait_for(self._is_up, "the web server is up", 300.0)
        except AssertionError:
            self.close()
            raise

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ws", timeout=10):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    @contextmanager
    def ear(self, token: str | None = "", **options: Any) -> Iterator[Ear]:
        """A socket with the first token as header; None: without any."""
        if token is not None:
            options.setdefault("additional_headers", {})["Authorization"] = f"Bearer {token or self.token}"
        url = f"ws://127.0.0.1:{self.port}/ws"
        with connect(url, open_timeout=SECONDS, proxy=None, **options) as socket:
            yield Ear(socket)

    def ingest(self, *alerts: Alert) -> None:
        """Commit alert events as ingest does."""
        rows = []
        for alert in alerts:
            self._sequence += 1
            rows.append(row(self._sequence, alert))
        gateway = alerts[0].gateway
        arrived = arrivals.parse(topics.gateway_up(gateway, "alerts"), to_bytes(Delivery(tuple(rows))))
        commit(self.engine, arrived, time.time(), self.config.limits)

    def stop(self) -> None:
        """SIGTERM; returns when it has ended."""
        server.stop(self._child)

    def close(self) -> None:
        self.stop()
        self.engine.dispose()
