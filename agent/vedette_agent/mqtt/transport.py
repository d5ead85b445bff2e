"""Transport: what a way of speaking MQTT offers a connection, and what both say to each other.

A transport lives for one connection: opened once, closed once. Everything but `open` and `close` is called on the event
loop and returns at once; what the broker says reaches the inbox from there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vedette_agent.clock import SYSTEM

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from vedette_agent.mqtt.message import Message

MAX_PACKET_BYTES = 1024 * 1024 + 64 * 1024
"""What we tell an MQTT 5 broker to keep from us."""
LINGER_BUSY, LINGER_IDLE = 0.005, 0.050
LINGER_MESSAGES = 8.0
"""The linger is as long as so many messages take to come, within the two bounds above."""
FULL = 512
"""So many messages at one go: there is no need to wait for more."""


class NotConnected(ConnectionError):  # noqa: N818 - a state of affairs, as in ConnectionRefused
    """There is no connection to do this on, or the broker refuses it: says which, and what to do."""


class Will(NamedTuple):
    """What the broker publishes, retained, when the connection breaks without a goodbye."""

    topic: str
    payload: bytes


class Closed(NamedTuple):
    """Why a connection ended."""

    problem: str
    taken_over: bool = False
    """Another client uses our client id."""


class Inbox(Protocol):
    """Where a transport leaves what the broker sends."""

    def accepted(self, session_present: bool) -> None:
        """The broker has accepted us. Comes before any message, though both may arrive in one read."""

    def received(self, message: Message) -> None:
        """A message; at QoS 1 it waits for `acknowledge`."""

    def drained(self) -> None:
        """What had arrived has been read."""


class Transport(Protocol):
    """One connection to one broker."""

    closed: asyncio.Future[Closed]
    """Done when the connection has ended."""

    async def open(self) -> bool:
        """Connect and return whether the broker kept our session.

        Raises:
            NotConnected: the broker does not accept us.
            OSError: it cannot be reached (ssl.SSLError among them).
        """
        ...

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> asyncio.Future[None]:
        """Publish at QoS 1; done when the broker has acknowledged, else NotConnected."""
        ...

    def subscribe(
        self, filters: Sequence[str], *, own_echo: bool, retained_always: bool
    ) -> asyncio.Future[Sequence[int]]:
        """Subscribe at QoS 1; the reason code of each filter, 128 and more is a refusal."""
        ...

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Stop being sent what matches these filters."""
        ...

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs, in this order."""
        ...

    def pause(self) -> None:
        """Stop reading: the broker keeps what we cannot take."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    async def close(self) -> None:
        """Say goodbye, so that the last will stays unspoken, and let go of the socket."""
        ...


def fail(future: asyncio.Future[Any], error: NotConnected) -> None:
    """Fail a future that nobody may be waiting for any more."""
    if not future.done():
        future.set_exception(error)
        future.exception()


class Linger:
    """How long to wait after the socket turns readable before it is drained: wake-ups, not parsing, cost the CPU.

    About 50 ms when little comes, 5 ms when much does, 0 when there was more than could be taken at one go.
    """

    def __init__(self) -> None:
        self.seconds = LINGER_IDLE
        self._last = SYSTEM.uptime()

    def drained(self, messages: int) -> None:
        """Adapt to how many messages the last drain brought."""
        now = SYSTEM.uptime()
        elapsed, self._last = now - self._last, now
        if messages >= FULL:
            self.seconds = 0.0
        elif messages:
            wanted = LINGER_MESSAGES * elapsed / messages
            self.seconds = min(LINGER_IDLE, max(LINGER_BUSY, 0.5 * (self.seconds + wanted)))
