"""Sockets: all WebSockets of this process in one thread, which sleeps while there is nothing to do.

One thread for all, and not one for each: an alert for 200 clients would wake 200 threads, and 200 people who look on
would need 200 threads of the web server, or there were none left for pages. What is said to many is encoded once.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import selectors
import socket as sockets
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from websockets.frames import CloseCode
from websockets.http11 import Request

from vedette_hub.live.client import Client, Credential

logger = logging.getLogger(__name__)

READ_BYTES = 16 * 1024
TICK_SECONDS = 1.0
PING_SECONDS = 20.0
"""Without a sign of life for so long, a client is asked for one."""
LOST_SECONDS = 60.0
"""... and after so long it is gone."""
CLOSING_SECONDS = 5.0
STOP_SECONDS = 2.0

_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Listener(Protocol):
    """Who answers the clients. All calls come from the thread of the sockets, and return at once."""

    def opened(self, client: Client) -> None:
        """A client has come."""

    def heard(self, client: Client, text: str) -> None:
        """A client has said something."""

    def gone(self, client: Client) -> None:
        """A client has left."""

    def tick(self, now: float) -> None:
        """About once a second, while there are clients."""


class Sockets:
    """Takes over accepted connections; `adopt`, `call` and `stop` may be used from any thread."""

    def __init__(self, listener: Listener, *, backlog: int, uptime: Callable[[], float] = time.monotonic) -> None:
        self._listener, self._backlog, self._uptime = listener, backlog, uptime
        self.clients: dict[int, Client] = {}
        """By number; for the thread of the sockets only."""
        self._numbers = 0
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._ticked = 0.0

    def adopt(self, socket: sockets.socket, handshake: Request, credential: Credential | None) -> None:
        """Take over a connection whose upgrade has been asked for and is granted."""

        def take_over() -> None:
            self._numbers += 1
            socket.setblocking(False)
            client = Client(self._numbers, socket, handshake, self._backlog, self._uptime())
            client.credential = credential
            self.clients[client.number] = client
            self._selector.register(socket, selectors.EVENT_READ, client)
            self._listener.opened(client)
            self.flush(client)

        self.call(take_over)

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the thread of the sockets, after those that were given before."""
        self._calls.put(function)
        with self._starting:
            if self._thread is None:
                self._selector = selectors.DefaultSelector()
                self._waiting, self._waking = sockets.socketpair()
                self._waiting.setblocking(False)
                self._waking.setblocking(False)
                self._selector.register(self._waiting, selectors.EVENT_READ, None)
                self._thread = threading.Thread(target=self._run, name="sockets", daemon=True)
                self._thread.start()
        with contextlib.suppress(BlockingIOError):  # it is awake as it is
            self._waking.send(b"\0")

    def broadcast(self, messages: Iterable[tuple[frozenset[str], bytes]]) -> None:
        """Tell those who listen to one of the channels of each frame; in the thread of the sockets."""
        chosen = list(messages)
        for client in list(self.clients.values()):
            for channels, frame in chosen:
                if not client.channels.isdisjoint(channels):
                    client.say(frame)
            self.flush(client)

    def tell(self, number: int, *frames: bytes) -> None:
        """Tell one client, if it is still there; in the thread of the sockets."""
        if (client := self.clients.get(number)) is not None:
            for frame in frames:
                client.say(frame)
            self.flush(client)

    def close(self, client: Client, code: int, reason: str) -> None:
        """Close one; in the thread of the sockets."""
        client.close(code, reason, self._uptime())
        self.flush(client)

    def stop(self) -> None:
        """Say goodbye to all, and wait a moment until that is sent."""
        if self._thread is None:
            return

        def leave() -> None:
            for client in list(self.clients.values()):
                self.close(client, CloseCode.GOING_AWAY, "the hub stops")
            self._stopped = True

        self.call(leave)
        self._thread.join(STOP_SECONDS)

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        while not (self._stopped and not self.clients):
            for key, events in self._selector.select(TICK_SECONDS if self.clients else None):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        self._waiting.recv(4096)
                else:
                    self._serve(key.data, events)
            self._guarded(self._run_calls)
            if self._uptime() - self._ticked >= TICK_SECONDS:
                self._ticked = self._uptime()
                self._guarded(self._look_after_all)

    @staticmethod
    def _guarded(step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            logger.exception("sockets: unexpected error; please report this")

    def _run_calls(self) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            self._guarded(call)

    def _serve(self, client: Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._read(client)
            self.flush(client)
        except Exception:
            logger.exception("sockets: unexpected error; this client is closed; please report this")
            self._drop(client)

    def _read(self, client: Client) -> None:
        try:
            data = client.socket.recv(READ_BYTES)
            while isinstance(client.socket, ssl.SSLSocket) and client.socket.pending() and len(data) < 4 * READ_BYTES:
                data += client.socket.recv(READ_BYTES)  # decrypted already: no selector would tell of it
        except _AGAIN:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        for text in client.receive(data, self._uptime()):
            self._listener.heard(client, text)

    def flush(self, client: Client) -> None:
        """Send what can be sent now; the rest when there is room. In the thread of the sockets."""
        if client.number not in self.clients:
            return
        try:
            while unsent := client.unsent:
                client.sent(client.socket.send(unsent))
        except _AGAIN:
            pass
        except OSError:
            self._drop(client)
            return
        if client.over and not client.unsent:
            self._drop(client)
        elif client.wants_room != bool(client.unsent):
            client.wants_room = not client.wants_room
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.wants_room else 0)
            self._selector.modify(client.socket, events, client)

    def _look_after_all(self) -> None:
        now = self._uptime()
        for client in list(self.clients.values()):
            quiet = now - client.heard
            if quiet > LOST_SECONDS or (client.ending is not None and now - client.ending > CLOSING_SECONDS):
                self._drop(client)
            elif quiet > PING_SECONDS:
                client.ping()
                self.flush(client)
        self._listener.tick(now)

    def _drop(self, client: Client) -> None:
        if self.clients.pop(client.number, None) is None:
            return
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(client.socket)
        with contextlib.suppress(OSError):
            client.socket.close()
        self._listener.gone(client)
