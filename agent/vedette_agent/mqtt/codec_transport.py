"""CodecTransport: MQTT 5 by the native sans-I/O codec `mqtt5`, on asyncio's own transports.

The codec turns bytes into packets and back; sessions, packet ids, flow control, keep-alive and lingering are here. All
acknowledgements of a batch leave in one write.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import mqtt5

from vedette_agent.mqtt import hints
from vedette_agent.mqtt.message import Message
from vedette_agent.mqtt.transport import MAX_PACKET_BYTES, Closed, Linger, NotConnected, Will, fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_agent.config import Broker
    from vedette_agent.mqtt.transport import Inbox

MAX_PACKET_ID = 65_535
IN_FLIGHT = 256
"""Publications on their way at once, unless the broker takes fewer."""
QUEUED = 10_000
"""Publications that may wait for their turn; one more is refused."""
GOODBYE = 2.0
FULL_BYTES = 128 * 1024
"""So much in one read, half of what asyncio takes at most: there is no need to wait for more."""
_PUBACK = struct.Struct("!BBH")
"""A PUBACK whose reason is success is four bytes (MQTT 5, 3.4.2.1)."""
_CONTINUES = 0x80
FAILURE = 0x80
"""Reason codes from here on are failures; the codec's enumerations do not compare with <."""


class CodecTransport(asyncio.Protocol):
    """One MQTT 5 connection over TCP or TLS."""

    def __init__(self, broker: Broker, will: Will, inbox: Inbox) -> None:
        self.broker, self._will, self._inbox = broker, will, inbox
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[Closed] = self._loop.create_future()
        self._opened: asyncio.Future[bool] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._linger = Linger()
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive: asyncio.TimerHandle | None = None
        self._paused = False
        self._said = self._heard = self._pinged = False
        """Since the last look at the keep-alive: whether we wrote, whether the broker did, whether we asked it to."""
        self._packet_id = 0
        self._publications: dict[int, asyncio.Future[None]] = {}
        self._waiting: deque[tuple[str, bytes, bool, asyncio.Future[None]]] = deque()
        self._subscriptions: dict[int, asyncio.Future[Sequence[int]]] = {}
        self._in_flight = IN_FLIGHT
        self._largest = MAX_PACKET_BYTES

    # -------------------------------------------------------------------- life

    async def open(self) -> bool:
        """Connect and return whether the broker kept our session."""
        broker = self.broker
        context = hints.tls_context(broker)
        await self._loop.create_connection(
            lambda: self, broker.host, broker.port, ssl=context, server_hostname=broker.host if context else None
        )
        password = broker.password.get_secret_value().encode() if broker.password else None
        self._write(
            mqtt5.ConnectPacket(
                broker.client_id,
                username=broker.username,
                password=password,
                clean_start=False,
                will=mqtt5.Will(self._will.topic, payload=self._will.payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=True),
                keep_alive=broker.keepalive,
                session_expiry_interval=broker.session_expiry,
                receive_max=broker.receive_maximum,
                max_packet_size=MAX_PACKET_BYTES,
            ).write()
        )
        return await self._opened

    async def close(self) -> None:
        """Say goodbye, so that the last will stays unspoken, and let go of the socket."""
        if self._transport is None:
            return
        if self._opened.done() and not self.closed.done():
            self._write(mqtt5.DisconnectPacket().write())
        self._transport.close()
        try:
            async with asyncio.timeout(GOODBYE):
                await asyncio.shield(self.closed)
        except TimeoutError:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is open."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is gone."""
        self._end(f"connection lost: {exc}" if exc else "the broker closed the connection")

    def _end(self, problem: str, *, taken_over: bool = False) -> None:
        """The connection is over, for this reason unless another was first."""
        for timer in (self._timer, self._keep_alive):
            if timer is not None:
                timer.cancel()
        fail(self._opened, NotConnected(hints.closed_early(self.broker, problem)))
        if not self.closed.done():
            self.closed.set_result(Closed(problem, taken_over))
        gone = NotConnected(f"{self.broker.url}: {problem}")
        waiting = (future for *_, future in self._waiting)
        futures: list[asyncio.Future[Any]] = [*self._publications.values(), *waiting, *self._subscriptions.values()]
        self._publications.clear()
        self._waiting.clear()
        self._subscriptions.clear()
        for future in futures:
            fail(future, gone)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    # ------------------------------------------------------------ what we send

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> asyncio.Future[None]:
        """Publish at QoS 1, in order; waits for its turn while the broker takes no more at once."""
        future: asyncio.Future[None] = self._loop.create_future()
        if len(payload) + len(topic) + 16 > self._largest:
            future.set_exception(
                NotConnected(
                    f"{self.broker.url} takes messages of up to {self._largest} bytes, this has {len(payload)}"
                )
            )
        elif len(self._waiting) >= QUEUED:
            future.set_exception(NotConnected(f"{self.broker.url}: {QUEUED} publications wait already"))
        else:
            self._waiting.append((topic, payload, retain, future))
            self._send_waiting()
        return future

    def _send_waiting(self) -> None:
        packets = []
        while self._waiting and len(self._publications) < self._in_flight:
            topic, payload, retain, future = self._waiting.popleft()
            if future.cancelled():
                continue
            packet_id = self._next_packet_id()
            try:
                packet = mqtt5.PublishPacket(
                    topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=retain, packet_id=packet_id
                ).write()
            except ValueError as error:
                fail(future, NotConnected(f"{self.broker.url}: cannot publish on {topic!r}: {error}"))
                continue
            self._publications[packet_id] = future
            packets.append(packet)
        if packets:
            self._write(b"".join(packets))

    def subscribe(
        self, filters: Sequence[str], *, own_echo: bool, retained_always: bool
    ) -> asyncio.Future[Sequence[int]]:
        """Subscribe at QoS 1."""
        future: asyncio.Future[Sequence[int]] = self._loop.create_future()
        packet_id = self._next_packet_id()
        self._subscriptions[packet_id] = future
        handling = mqtt5.RetainHandling
        self._write(
            mqtt5.SubscribePacket(
                packet_id,
                [
                    mqtt5.TopicFilter(
                        pattern,
                        max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                        no_local=not own_echo,
                        retain_as_published=False,
                        retain_handling=handling.SEND_ALWAYS
                        if retained_always
                        else handling.SEND_IF_SUBSCRIPTION_NOT_EXISTS,
                    )
                    for pattern in filters
                ],
            ).write()
        )
        return future

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Stop being sent what matches these filters."""
        self._write(mqtt5.UnsubscribePacket(self._next_packet_id(), list(filters)).write())

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs, in this order, in one write."""
        self._write(b"".join([_PUBACK.pack(0x40, 2, packet_id) for packet_id in packet_ids]))

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._said = True
            self._transport.write(data)

    def _next_packet_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % MAX_PACKET_ID + 1
            if self._packet_id not in self._publications and self._packet_id not in self._subscriptions:
                return self._packet_id

    # ---------------------------------------------------------- when we read

    def data_received(self, data: bytes) -> None:
        """asyncio: take what is there, then leave the socket alone for a moment."""
        self._heard = True
        self._buffer += data
        messages = self._parse()
        if self.closed.done():
            return
        self._linger.drained(messages)
        is_all = len(data) < FULL_BYTES  # of what has arrived: large messages come few at a time
        linger = self._opened.done() and self._linger.seconds > 0.0 and is_all
        if linger and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._timer = self._loop.call_later(self._linger.seconds, self._read_on)
        self._inbox.drained()

    def _read_on(self) -> None:
        self._timer = None
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def pause(self) -> None:
        """Stop reading: the broker keeps what we cannot take."""
        if not self._paused:
            self._paused = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            elif self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if self._timer is None:
                self._read_on()

    def _parse(self) -> int:
        """Handle every whole packet in the buffer; return how many messages there were."""
        messages = at = 0
        view = memoryview(bytes(self._buffer))
        end = len(view)
        read, publish, received = mqtt5.read, mqtt5.PublishPacket, self._inbox.received
        while at < end:
            try:
                packet, used = read(view[at:])
            except IndexError:
                if self._incomplete(view[at : at + 5], end - at):
                    break
                self._end("the broker sent a packet that contradicts itself")
                return messages
            except ValueError as error:
                self._end(f'the broker does not speak MQTT 5 ({error}); set protocol = "3.1.1"')
                return messages
            at += used
            if type(packet) is publish:
                messages += 1
                received(Message(packet.topic, packet.payload, packet.packet_id or 0, packet.retain, packet.duplicate))
            else:
                self._handle(packet)
        del self._buffer[:at]
        return messages

    def _incomplete(self, header: memoryview, there: int) -> bool:
        """Whether a packet's fixed header says that more is to come; ends the connection when it would be too much."""
        length = shift = 0
        for i, byte in enumerate(header[1:], 2):
            length |= (byte & ~_CONTINUES) << shift
            shift += 7
            if not byte & _CONTINUES:
                return length <= MAX_PACKET_BYTES and there < i + length
        return there < 5

    def _handle(self, packet: mqtt5.Packet) -> None:
        match packet:
            case mqtt5.PubAckPacket():
                future = self._publications.pop(packet.packet_id, None)
                if future is not None and not future.done():
                    _finish(future, packet.reason_code, self.broker)
                self._send_waiting()
            case mqtt5.SubAckPacket():
                subscription = self._subscriptions.pop(packet.packet_id, None)
                if subscription is not None and not subscription.done():
                    subscription.set_result([int(code) for code in packet.reason_codes])
            case mqtt5.ConnAckPacket():
                self._accepted(packet)
            case mqtt5.DisconnectPacket():
                code = packet.reason_code
                taken_over = code == mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER
                said = packet.reason_str or code.name.lower().replace("_", " ")
                self._end(f"the broker ended the connection: {said} (0x{int(code):02X})", taken_over=taken_over)

    def _accepted(self, packet: mqtt5.ConnAckPacket) -> None:
        if self._opened.done():
            return
        if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            text = packet.reason_str or packet.reason_code.name.lower().replace("_", " ")
            fail(self._opened, NotConnected(hints.refusal(self.broker, text)))
            self._end(text)
            return
        self._in_flight = min(IN_FLIGHT, packet.receive_max)
        if packet.max_packet_size:
            self._largest = min(MAX_PACKET_BYTES, packet.max_packet_size)
        self._ping_later(packet.server_keep_alive or self.broker.keepalive)
        self._opened.set_result(packet.session_present)
        self._inbox.accepted(packet.session_present)

    def _ping_later(self, keep_alive: float) -> None:
        self._keep_alive = self._loop.call_later(keep_alive / 2, self._ping, keep_alive)

    def _ping(self, keep_alive: float) -> None:
        """Twice per keep-alive: break a silence, and give up a broker that does not answer."""
        if self._pinged and not self._heard and not self._paused:
            self._end(f"the broker has not answered for {keep_alive / 2:.0f} s")
            return
        self._pinged = not (self._said and self._heard)
        if self._pinged:
            self._write(mqtt5.PingReqPacket().write())
        self._said = self._heard = False
        self._ping_later(keep_alive)


def _finish(future: asyncio.Future[None], code: mqtt5.PubAckReasonCode, broker: Broker) -> None:
    if int(code) >= FAILURE:
        text = code.name.lower().replace("_", " ")
        fail(future, NotConnected(hints.publication_refused(broker, text)))
    else:
        future.set_result(None)
