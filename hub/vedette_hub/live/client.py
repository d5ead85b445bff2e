"""Client: one WebSocket's side of the conversation: the protocol, what it wants to hear, and what waits for it.

Does no I/O: bytes come in by `receive`, and leave by `unsent` and `sent`.
"""

from __future__ import annotations

import contextlib
import socket as sockets
from collections import deque
from dataclasses import dataclass

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from vedette_hub.api.caller import Caller
from vedette_hub.live.backlog import Backlog
from vedette_hub.live.client_messages import MAX_BYTES

NOT_SIGNED_IN, NOT_ALLOWED, NO_TOKEN_IN_TIME = 4401, 4403, 4408
"""Close codes of ours."""
UNHEARD_LIMIT = 32
"""Messages of a client that wait while the store is asked for it; who sends more without waiting is closed."""


@dataclass(frozen=True)
class Credential:
    """What somebody has shown to be let in."""

    caller: Caller
    secret: str
    """Of the session or the token, to look again whether it still counts."""


class Client:
    """One socket."""

    def __init__(self, number: int, socket: sockets.socket, handshake: Request, backlog: int, now: float) -> None:
        """`handshake`: the request that asked for the upgrade; refused ones never come so far."""
        self.number, self.socket = number, socket
        self.credential: Credential | None = None
        self.channels: frozenset[str] = frozenset()
        self.since = self.heard = now
        """When it came, and when its last sign of life did, seconds of a clock that nobody sets."""
        self.asked = 0
        """Questions to the store without an answer yet."""
        self.waiting: deque[str] = deque()
        """What it has said meanwhile."""
        self.wants_room = False
        """Whether it waits until its socket takes more."""
        self.ending: float | None = None
        """Since when it is being closed."""
        self.backlog = Backlog(backlog)
        self._protocol = ServerProtocol(max_size=MAX_BYTES)
        self._unsent = memoryview(b"")
        self._control = bytearray()
        self._parts: list[bytes] = []
        self.over = False
        """Whether nothing more will come, and the socket may be closed when all is sent."""
        self._protocol.receive_data(handshake.serialize())
        for request in self._protocol.events_received():
            if isinstance(request, Request):
                self._protocol.send_response(self._protocol.accept(request))
        self._collect()

    def receive(self, data: bytes, now: float) -> list[str]:
        """Messages in what has arrived."""
        self.heard = now
        self._protocol.receive_data(data)
        messages: list[str] = []
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                messages += self._message(event)
        if self._protocol.close_rcvd is not None:
            self.over = True
        self._collect()
        return messages

    def _message(self, part: Frame) -> list[str]:
        """The message that this frame completes, if it does."""
        if part.opcode is Opcode.BINARY:
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "text only")
        elif part.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(part.data))
            if part.fin:
                data, self._parts = b"".join(self._parts), []
                try:
                    return [data.decode()]
                except UnicodeDecodeError:
                    self._protocol.fail(CloseCode.INVALID_DATA, "not UTF-8")
        return []

    def say(self, frame: bytes) -> None:
        """Add a frame to what waits, unless the socket is being closed."""
        if self.is_open:
            self.backlog.add(frame)

    @property
    def is_open(self) -> bool:
        """Whether something can still be said."""
        return self._protocol.state is OPEN

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self.is_open:
            self._protocol.send_ping(b"")
            self._collect()

    def close(self, code: int, reason: str, now: float) -> None:
        """Begin to close; what waits is still sent first."""
        if self.is_open:
            self._control += self.backlog.take()
            with contextlib.suppress(ProtocolError):
                self._protocol.send_close(code, reason)
            self._collect()
        self.ending = now if self.ending is None else self.ending

    def _collect(self) -> None:
        """Take over what the protocol wants to send: answers to pings, and the closing handshake."""
        for data in self._protocol.data_to_send():
            if data:
                self._control += data
            else:
                self.over = True  # it wants the end of the stream

    @property
    def unsent(self) -> memoryview:
        """What is to be sent next; empty when nothing is."""
        if not self._unsent and (self._control or self.backlog):
            control, self._control = bytes(self._control), bytearray()
            self._unsent = memoryview(control + self.backlog.take() if self.is_open else control)
        return self._unsent

    def sent(self, count: int) -> None:
        """So many bytes of it have left."""
        self._unsent = self._unsent[count:]
