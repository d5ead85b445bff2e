"""Connection: one MQTT connection that comes back for ever, and says in a sentence why it is away."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Protocol

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.mqtt import hints
from vedette_agent.mqtt.transport import Closed, Inbox, NotConnected, Transport, Will

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_agent.config import Broker
    from vedette_agent.mqtt.message import Message

logger = logging.getLogger(__name__)

RETRY_FIRST, RETRY_LONGEST = 0.5, 30.0
TAKEN_OVER_PAUSE = 15.0
"""Two clients with one id evict each other as fast as they reconnect: the slower one leaves the log readable."""
SHORT_LIFE, SHORT_LIVES = 5.0, 3
"""So many connections in a row, each ended within so many seconds: Mosquitto 2.0.11 evicts without saying why."""
REFUSAL = 0x80
"""Reason codes from here on are failures."""


class Listener(Protocol):
    """Who a connection reports to; all calls come from the event loop."""

    def received(self, message: Message) -> None:
        """A message; at QoS 1 it waits for `acknowledge`."""

    def drained(self) -> None:
        """What had arrived has been read."""

    def connected(self, session_present: bool) -> None:
        """The broker has accepted us."""

    def disconnected(self) -> None:
        """The connection is gone; acknowledgements of what it delivered can no longer be sent."""


class Connection:
    """A connection to one broker.

    `problem` says in a sentence what is wrong, or is None; `up`: whether there is a connection; `generation` counts
    them.
    """

    def __init__(self, name: str, broker: Broker, listener: Listener, will: Will, *, clock: Clock = SYSTEM) -> None:
        self.name, self.broker, self._clock = name, broker, clock
        self.up = False
        self.generation = 0
        self.problem: str | None = "not connected yet"
        self._listener, self._will = listener, will
        self._paused = False
        self._short_lives = 0
        self._transport: Transport | None = None
        self._opening: Transport | None = None
        self._new_transport = transport_for(broker)
        self.received, self.drained = listener.received, listener.drained
        """We are our transports' inbox."""

    async def run(self) -> None:
        """Connect, serve, and connect again, until cancelled."""
        delay = RETRY_FIRST
        while True:
            transport = self._opening = self._new_transport(self.broker, self._will, self)
            try:
                problem = await self._open(transport)
                if problem is None:
                    delay = RETRY_FIRST
                    since = self._clock.uptime()
                    closed = await asyncio.shield(transport.closed)
                    pause = self._lost(closed, self._clock.uptime() - since)
                else:
                    if problem != self.problem:
                        logger.warning("%s broker %s: %s", self.name, self.broker.url, problem)
                    self.problem = problem
                    self._short_lives = 0  # who only evicts us leaves the broker open to us
                    pause, delay = delay, min(delay * 2, RETRY_LONGEST)
            finally:
                if self._transport is not transport:
                    await transport.close()
            await asyncio.sleep(pause * _jitter())

    async def _open(self, transport: Transport) -> str | None:
        """Try once; None when the broker has accepted us, else what is wrong and what to do."""
        try:
            async with asyncio.timeout(self.broker.connect_timeout):
                await transport.open()
        except (OSError, ValueError) as error:
            if self._transport is not transport:  # else it was accepted at the last moment
                return str(error) if isinstance(error, NotConnected) else hints.unreachable(self.broker, error)
        return None

    def accepted(self, session_present: bool) -> None:
        """The transport that is being opened has been accepted: what it delivers next belongs to this connection."""
        self._transport, self.up, self.problem = self._opening, True, None
        self.generation += 1
        if self._paused and self._transport is not None:
            self._transport.pause()
        session = "kept" if session_present else "new"
        logger.info("%s broker %s: connected, session %s", self.name, self.broker.url, session)
        self._listener.connected(session_present)

    def _lost(self, closed: Closed, lived: float) -> float:
        """Note why the connection ended; return the seconds to wait before the next."""
        self._transport, self.up = None, False
        self._short_lives = self._short_lives + 1 if lived < SHORT_LIFE else 0
        self.problem, pause = closed.problem, RETRY_FIRST
        if closed.taken_over:
            self.problem, pause = hints.taken_over(self.broker), TAKEN_OVER_PAUSE
        elif self._short_lives >= SHORT_LIVES:
            self.problem, pause = hints.short_lived(self.broker, closed.problem), TAKEN_OVER_PAUSE
        logger.warning("%s broker %s: %s", self.name, self.broker.url, self.problem)
        self._listener.disconnected()
        return pause

    async def close(self) -> None:
        """Say goodbye in order, so that the last will stays unspoken; `run` must have been cancelled."""
        if self._transport is not None:
            await self._transport.close()
            self._transport, self.up = None, False

    # ------------------------------------------------------------ what we send

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and return when the broker has acknowledged.

        Raises:
            NotConnected: there is no connection, it ended before the acknowledgement came, or the broker refused.
        """
        await self._there().publish(topic, payload, retain=retain)

    async def subscribe(self, filters: Sequence[str], *, own_echo: bool = True, retained_always: bool = False) -> None:
        """Subscribe at QoS 1 and return when granted.

        `own_echo=False` asks not to be sent what we publish ourselves; retained messages come with a new subscription,
        or with `retained_always` at every call. Both need MQTT 5; in 3.1.1 everything is sent.

        Raises:
            NotConnected: the connection is gone, or the broker refused a filter (says which).
        """
        codes = await self._there().subscribe(filters, own_echo=own_echo, retained_always=retained_always)
        for topic_filter, code in zip(filters, codes, strict=False):
            if code >= REFUSAL:
                raise NotConnected(hints.subscription_refused(self.broker, topic_filter, code))

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Stop being sent what matches these filters."""
        if filters and self._transport is not None:
            self._transport.unsubscribe(filters)

    def acknowledge(self, packet_ids: Sequence[int], generation: int) -> bool:
        """Send PUBACKs in this order; False, and none sent, when they belong to an earlier connection."""
        if self._transport is None or generation != self.generation:
            return False
        self._transport.acknowledge(packet_ids)
        return True

    def _there(self) -> Transport:
        # What is asked of a transport that has ended would never be answered, and `_lost` runs a moment later.
        if self._transport is None or self._transport.closed.done():
            raise NotConnected(f"{self.name} broker {self.broker.url}: {self.problem or 'not connected'}")
        return self._transport

    # --------------------------------------------------------- when we read

    def pause(self) -> None:
        """Stop reading: the broker keeps what we cannot take."""
        self._paused = True
        if self._transport is not None:
            self._transport.pause()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        if self._transport is not None:
            self._transport.resume()


class TransportFactory(Protocol):
    """Makes a transport for one connection."""

    def __call__(self, broker: Broker, will: Will, inbox: Inbox) -> Transport:
        """Not connected yet."""
        ...


def transport_for(broker: Broker) -> TransportFactory:
    """The native codec for MQTT 5 over TCP and TLS where it is installed (the extra `mqtt5`), otherwise paho."""
    if broker.protocol == "5" and broker.websocket_path is None:
        try:
            from vedette_agent.mqtt.codec_transport import CodecTransport
        except ImportError:
            logger.info("the extra mqtt5 is not installed: MQTT costs several times more CPU")
        else:
            return CodecTransport
    from vedette_agent.mqtt.paho_transport import PahoTransport

    return PahoTransport


def _jitter() -> float:
    """0.7 to 1.3: spreads the reconnects of a fleet."""
    return random.uniform(0.7, 1.3)  # noqa: S311 - not cryptography
