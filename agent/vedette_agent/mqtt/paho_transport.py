"""PahoTransport: MQTT 3.1.1, and whatever goes over WebSockets, by paho driven from asyncio.

Only *when* paho reads is ours, and only public paho calls are used.
"""

from __future__ import annotations

import asyncio
import select
import threading
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from vedette_agent.mqtt import hints
from vedette_agent.mqtt.message import Message
from vedette_agent.mqtt.transport import FULL, MAX_PACKET_BYTES, Closed, Linger, NotConnected, Will, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from vedette_agent.config import Broker
    from vedette_agent.mqtt.transport import Inbox

SESSION_TAKEN_OVER = 0x8E
IN_FLIGHT = 256
GOODBYE = 2.0


class PahoTransport:
    """One MQTT connection over TCP, TLS or WebSockets."""

    def __init__(self, broker: Broker, will: Will, inbox: Inbox) -> None:
        self.broker, self._inbox = broker, inbox
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self.closed: asyncio.Future[Closed] = self._loop.create_future()
        self._opened: asyncio.Future[bool] = self._loop.create_future()
        self._socket: Any = None
        self._poll = select.poll()
        self._linger = Linger()
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive: asyncio.TimerHandle | None = None
        self._paused = False
        self._drained = 0
        self._publications: dict[int, asyncio.Future[None]] = {}
        self._subscriptions: dict[int, asyncio.Future[Sequence[int]]] = {}
        self._client = self._build(will)

    def _build(self, will: Will) -> paho.Client:
        broker = self.broker
        five = broker.protocol == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=None if five else False,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            transport="websockets" if broker.websocket_path else "tcp",
            reconnect_on_failure=False,  # else a refusal of 3.1.1 would connect anew from within a callback
            manual_ack=True,
        )
        if broker.websocket_path:
            client.ws_set_options(broker.websocket_path)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        client.connect_timeout = broker.connect_timeout
        client.max_inflight_messages_set(IN_FLIGHT)
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_socket_open = lambda _client, _data, opened: self._in_loop(self._set_socket, opened)
        client.on_socket_close = lambda _client, _data, closed: self._in_loop(self._release, closed.fileno())
        client.on_socket_register_write = lambda _client, _data, _socket: self._in_loop(self._start_writing)
        client.on_socket_unregister_write = lambda _client, _data, sock: self._in_loop(
            self._stop_writing, sock.fileno()
        )
        return client

    # -------------------------------------------------------------------- life

    async def open(self) -> bool:
        """Connect and return whether the broker kept our session."""
        connecting = asyncio.ensure_future(asyncio.to_thread(self._connect))
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # the thread cannot be stopped: what it still opens must not stay, it would use our client id
            connecting.add_done_callback(self._abandon)
            raise
        if self._socket is None:
            raise NotConnected(hints.closed_early(self.broker, "at once"))
        self._poll.register(self._socket.fileno(), select.POLLIN)
        self._watch()
        self._start_writing()
        self._keep_alive = self._loop.call_later(1.0, self._tick)
        return await self._opened

    def _connect(self) -> None:
        """Blocking part: name lookup, TCP, TLS."""
        broker = self.broker
        if (context := hints.tls_context(broker)) is not None:
            self._client.tls_set_context(context)
        if broker.protocol != "5":
            self._client.connect(broker.host, broker.port, broker.keepalive)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = broker.session_expiry
        properties.ReceiveMaximum = broker.receive_maximum
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        self._client.connect(broker.host, broker.port, broker.keepalive, clean_start=False, properties=properties)

    async def close(self) -> None:
        """Say goodbye, so that the last will stays unspoken, and let go of the socket."""
        if self._socket is not None:
            self._client.disconnect()
            try:
                async with asyncio.timeout(GOODBYE):
                    await asyncio.shield(self.closed)
            except TimeoutError:
                pass
        self._let_go()
        self._end(Closed("closed"))

    def _abandon(self, connecting: asyncio.Future[None]) -> None:
        if not connecting.cancelled():
            connecting.exception()  # nobody is interested any more
        self._let_go()

    def _let_go(self) -> None:
        if self._socket is not None:
            left = self._socket
            self._release(left.fileno())
            left.close()

    def _end(self, closed: Closed) -> None:
        for timer in (self._timer, self._keep_alive):
            if timer is not None:
                timer.cancel()
        fail(self._opened, NotConnected(hints.closed_early(self.broker, closed.problem)))
        if not self.closed.done():
            self.closed.set_result(closed)
        gone = NotConnected(f"{self.broker.url}: {closed.problem}")
        futures: list[asyncio.Future[Any]] = [*self._publications.values(), *self._subscriptions.values()]
        self._publications.clear()
        self._subscriptions.clear()
        for future in futures:
            fail(future, gone)

    def _tick(self) -> None:
        """Let paho ping, and notice a broker that no longer answers."""
        if self._socket is not None and not self._paused:
            self._client.loop_misc()
        self._keep_alive = self._loop.call_later(1.0, self._tick)

    # ------------------------------------------------------------ what we send

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> asyncio.Future[None]:
        """Publish at QoS 1, in order."""
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            info = self._client.publish(topic, payload, qos=1, retain=retain)
        except ValueError as error:
            fail(future, NotConnected(f"{self.broker.url}: cannot publish on {topic!r}: {error}"))
            return future
        if info.rc == paho.MQTT_ERR_SUCCESS:
            self._publications[info.mid] = future
        else:
            fail(future, NotConnected(f"{self.broker.url}: {paho.error_string(info.rc)}"))
        return future

    def subscribe(
        self, filters: Sequence[str], *, own_echo: bool, retained_always: bool
    ) -> asyncio.Future[Sequence[int]]:
        """Subscribe at QoS 1; MQTT 3.1.1 knows neither option: everything is sent."""
        options: list[tuple[str, Any]] = [(f, 1) for f in filters]
        if self.broker.protocol == "5":
            wanted = SubscribeOptions(qos=1, noLocal=not own_echo, retainHandling=0 if retained_always else 1)
            options = [(f, wanted) for f in filters]
        future: asyncio.Future[Sequence[int]] = self._loop.create_future()
        result, mid = self._client.subscribe(options)
        if result == paho.MQTT_ERR_SUCCESS and mid is not None:
            self._subscriptions[mid] = future
        else:
            fail(future, NotConnected(f"{self.broker.url}: {paho.error_string(result)}"))
        return future

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Stop being sent what matches these filters."""
        self._client.unsubscribe(list(filters))

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs, in this order."""
        for packet_id in packet_ids:
            self._client.ack(packet_id, 1)

    # ---------------------------------------------------------- when paho reads

    def pause(self) -> None:
        """Stop reading: the broker keeps what we cannot take."""
        if not self._paused:
            self._paused = True
            if self._socket is not None:
                self._loop.remove_reader(self._socket.fileno())

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if self._timer is None:
                self._watch()

    def _watch(self) -> None:
        if self._socket is not None and not self._paused:
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        if self._linger.seconds <= 0.0 or not self._opened.done():
            self._drain()
        else:
            self._loop.remove_reader(self._socket.fileno())
            self._timer = self._loop.call_later(self._linger.seconds, self._drain)

    def _drain(self) -> None:
        """Let paho read what has arrived, and watch the socket again."""
        self._timer = None
        self._drained = 0
        while self._socket is not None and self._drained < FULL and not self._paused:
            self._client.loop_read()
            # bytes that TLS has already decrypted are invisible to poll
            if self._socket is None or not (self._poll.poll(0) or self._decrypted()):
                break
        self._linger.drained(self._drained)
        self._watch()
        self._inbox.drained()

    def _decrypted(self) -> int:
        pending: Callable[[], int] | None = getattr(self._socket, "pending", None)
        return pending() if pending is not None else 0

    def _start_writing(self) -> None:
        if self._socket is not None and self._client.want_write():
            self._loop.add_writer(self._socket.fileno(), self._client.loop_write)

    def _stop_writing(self, descriptor: int) -> None:
        if descriptor >= 0:
            self._loop.remove_writer(descriptor)

    def _set_socket(self, opened: Any) -> None:
        self._socket = opened

    def _release(self, descriptor: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if descriptor >= 0:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
        self._socket = None

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        """Run on the event loop, now if we are on it: paho also calls back from the connecting thread."""
        if threading.get_ident() == self._loop_thread:
            call(*arguments)
        else:
            self._loop.call_soon_threadsafe(call, *arguments)

    # ------------------------------------------------------- what paho tells us

    def _on_connect(
        self, _client: paho.Client, _data: Any, flags: paho.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            fail(self._opened, NotConnected(hints.refusal(self.broker, str(reason))))
        elif not self._opened.done():
            self._opened.set_result(flags.session_present)
            self._inbox.accepted(flags.session_present)

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: paho.DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        taken_over = flags.is_disconnect_packet_from_server and reason.value == SESSION_TAKEN_OVER
        self._end(Closed(f"connection lost: {reason}", taken_over))

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._drained += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\N{REPLACEMENT CHARACTER}"  # no broker should pass this on; the reading ends as a dead letter
        packet_id = message.mid if message.qos else 0
        self._inbox.received(Message(topic, bytes(message.payload), packet_id, message.retain, message.dup))

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        future = self._publications.pop(mid, None)
        if future is None or future.done():
            return
        if reason.is_failure:
            fail(future, NotConnected(hints.publication_refused(self.broker, str(reason))))
        else:
            future.set_result(None)

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        future = self._subscriptions.pop(mid, None)
        if future is not None and not future.done():
            future.set_result([reason.value for reason in reasons])
