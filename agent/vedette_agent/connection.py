"""Connection: one MQTT connection, driven from asyncio, that reads in batches and comes back for ever.

paho does the protocol (3.1.1 and 5, TLS, WebSockets, resending its own publications); only *when* it reads is ours.
Wake-ups,
not parsing, cost the CPU: after the socket turns readable we stop watching it for a moment (the linger) and then
drain it.
Only public paho calls are used.
"""

from __future__ import annotations

import asyncio
import logging
import random
import select
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from vedette_agent.reading.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from vedette_agent.config import Broker

logger = logging.getLogger(__name__)

LINGER_BUSY = 0.005
LINGER_IDLE = 0.050
LINGER_MESSAGES = 8.0
"""The linger is as long as so many messages take to come, within the two bounds above."""
DRAIN_LIMIT = 512
"""Messages read at one go; then the event loop gets its turn."""
MAX_PACKET_BYTES = 1024 * 1024
"""What we tell an MQTT 5 broker to keep from us."""
RETRY_FIRST, RETRY_LONGEST = 0.5, 30.0
SESSION_TAKEN_OVER = 0x8E
TAKEN_OVER_PAUSE = 15.0
"""Two clients with one id evict each other as fast as they reconnect: the slower one leaves the log readable."""


class NotConnected(ConnectionError):  # noqa: N818 - a state of affairs, as in ConnectionRefused
    """There is no connection to do this on."""


class Will(NamedTuple):
    """What the broker publishes, retained, when the connection breaks without a goodbye."""

    topic: str
    payload: bytes


class Listener(Protocol):
    """Who a connection reports to; all calls come from the event loop."""

    def connected(self, session_present: bool) -> None:
        """The broker has accepted us."""

    def disconnected(self) -> None:
        """The connection is gone; acknowledgements of what it delivered can no longer be sent."""

    def received(self, message: Message) -> None:
        """A message has arrived; at QoS 1 it waits for `acknowledge`."""

    def drained(self) -> None:
        """What had arrived has been read."""


class Connection:
    """A connection to one broker.

    `problem` says in a sentence why there is no connection, or is None; `up` whether there is one; `generation`
    counts them.
    """

    def __init__(self, name: str, broker: Broker, listener: Listener, will: Will) -> None:
        self.name, self.broker, self._listener = name, broker, listener
        self.up = False
        self.generation = 0
        self.problem: str | None = "not connected yet"
        self._will = will
        self._paused = False
        self._linger = LINGER_IDLE
        self._timer: asyncio.TimerHandle | None = None
        self._last_drain = time.monotonic()
        self._drained_now = 0
        self._published: dict[int, asyncio.Future[None]] = {}
        self._subscribed: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._socket: Any = None
        self._poll = select.poll()
        self._pause_before_retry = 0.0
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answer: asyncio.Future[None] | None = None
        self._gone = asyncio.Event()
        self._client = self._build()

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Connect, serve, and connect again, until cancelled."""
        delay = RETRY_FIRST
        keep_alive = asyncio.create_task(self._keep_alive(), name=f"{self.name} keep-alive")
        try:
            while True:
                problem = await self._attempt()
                if problem is None:
                    delay = RETRY_FIRST
                    await self._gone.wait()
                    if self._pause_before_retry == 0.0:
                        await asyncio.sleep(RETRY_FIRST * _jitter())
                        continue
                elif problem != self.problem:
                    logger.warning("%s broker %s: %s", self.name, self.broker.url, problem)
                self.problem = problem or self.problem
                await asyncio.sleep(max(delay * _jitter(), self._pause_before_retry))
                delay = min(delay * 2, RETRY_LONGEST)
        finally:
            keep_alive.cancel()

    async def close(self, *, deadline: float = 3.0) -> None:
        """Say goodbye in order, so that the last will stays unspoken; wait at most `deadline` seconds."""
        if self.up:
            self._client.disconnect()
            try:
                async with asyncio.timeout(deadline):
                    await self._gone.wait()
            except TimeoutError:
                logger.warning("%s broker %s: no clean goodbye within %.0f s", self.name, self.broker.url, deadline)
        for publication in self._published.values():
            publication.cancel()
        for subscription in self._subscribed.values():
            subscription.cancel()
        self._published.clear()
        self._subscribed.clear()

    async def _attempt(self) -> str | None:
        """Try once to connect; None when the broker has accepted us, else what is wrong and what to do."""
        self._gone.clear()
        self._pause_before_retry = 0.0
        self._answer = self._loop.create_future()
        where = f"{self.broker.host}:{self.broker.port}"
        try:
            async with asyncio.timeout(self.broker.connect_timeout + 2.0):
                await asyncio.to_thread(self._connect)
                self._start_reading()
                await self._answer
        except TimeoutError:
            self._drop()
            return (
                f"no answer from {where} within {self.broker.connect_timeout:.0f} s; "
                f"is it an MQTT broker, {_tls_hint(self.broker)}"
            )
        except NotConnected as error:
            self._drop()
            return str(error)
        except ssl.SSLCertVerificationError as error:
            return (
                f"certificate of {where} not accepted: {error.verify_message}; "
                "set ca_file to the authority that signed it"
            )
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            return f"TLS handshake with {where} failed ({reason}); a plain port? then use mqtt:// instead of mqtts://"
        except socket.gaierror as error:
            return f"host {self.broker.host!r} not found ({error.strerror}); check the name and DNS"
        except ConnectionRefusedError:
            return f"connection to {where} refused; is the broker running and listening there?"
        except (OSError, ValueError) as error:
            return f"cannot connect to {where}: {error or type(error).__name__}; {_tls_hint(self.broker)}"
        return None

    def _connect(self) -> None:
        """Blocking part of connecting: name lookup, TCP, TLS. Runs in a thread."""
        if self._client.protocol == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = self.broker.session_expiry
            properties.ReceiveMaximum = self.broker.receive_maximum
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            self._client.connect(
                self.broker.host, self.broker.port, self.broker.keepalive, clean_start=False, properties=properties
            )
        else:
            self._client.connect(self.broker.host, self.broker.port, self.broker.keepalive)

    def _build(self) -> paho.Client:
        broker = self.broker
        five = broker.protocol == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=None if five else False,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            transport="websockets" if broker.websocket_path else "tcp",
            manual_ack=True,
        )
        if broker.websocket_path:
            client.ws_set_options(broker.websocket_path)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        if broker.tls:
            context = ssl.create_default_context(cafile=str(broker.ca_file) if broker.ca_file else None)
            if broker.cert_file:
                context.load_cert_chain(broker.cert_file, broker.key_file)
            client.tls_set_context(context)
        client.connect_timeout = broker.connect_timeout
        client.max_inflight_messages_set(broker.receive_maximum)
        client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_socket_open = lambda _client, _data, opened: self._in_loop(self._set_socket, opened)
        client.on_socket_close = lambda _client, _data, closed: self._in_loop(self._release_socket, closed.fileno())
        client.on_socket_register_write = lambda _client, _data, _socket: self._in_loop(self._start_writing)
        client.on_socket_unregister_write = lambda _client, _data, sock: self._in_loop(
            self._stop_writing, sock.fileno()
        )
        return client

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._socket is not None and not self._paused:
                self._client.loop_misc()

    # ------------------------------------------------------------ what we send

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and return when the broker has acknowledged.

        Raises:
            NotConnected: there is no connection; nothing was sent.
        """
        if not self.up:
            raise NotConnected(f"{self.name} broker {self.broker.url}: not connected")
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN):
            raise NotConnected(f"{self.name} broker {self.broker.url}: {paho.error_string(info.rc)}")
        future: asyncio.Future[None] = self._loop.create_future()
        self._published[info.mid] = future
        await future

    async def subscribe(self, filters: Sequence[str], *, own_echo: bool = True, retained_always: bool = False) -> None:
        """Subscribe at QoS 1 and return when granted.

        `own_echo=False` asks not to be sent what we publish ourselves; retained messages come with a new
        subscription, or with
        `retained_always` at every call. Both need MQTT 5; in 3.1.1 everything is sent.

        Raises:
            NotConnected: the connection is gone, or the broker refused a filter (says which).
        """
        options: list[tuple[str, Any]]
        if self._client.protocol == paho.MQTTv5:
            wanted = SubscribeOptions(qos=1, noLocal=not own_echo, retainHandling=0 if retained_always else 1)
            options = [(f, wanted) for f in filters]
        else:
            options = [(f, 1) for f in filters]
        result, mid = self._client.subscribe(options)
        if result != paho.MQTT_ERR_SUCCESS or mid is None:
            raise NotConnected(f"{self.name} broker {self.broker.url}: {paho.error_string(result)}")
        future: asyncio.Future[list[ReasonCode]] = self._loop.create_future()
        self._subscribed[mid] = future
        for topic_filter, code in zip(filters, await future, strict=False):
            if code.is_failure:
                raise NotConnected(
                    f"{self.name} broker {self.broker.url} refused the subscription {topic_filter!r} ({code}); "
                    f"allow {self.broker.username or self.broker.client_id!r} to read it in the broker's ACL"
                )

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Stop being sent what matches these filters."""
        if filters and self.up:
            self._client.unsubscribe(list(filters))

    def acknowledge(self, packet_ids: Sequence[int], generation: int) -> bool:
        """Send PUBACKs in this order; False, and none sent, when they belong to an earlier connection."""
        if not self.up or generation != self.generation:
            return False
        for packet_id in packet_ids:
            self._client.ack(packet_id, 1)
        return True

    # --------------------------------------------------------- when paho reads

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
            if self._socket is not None and self._timer is None:
                self._drain()

    def _start_reading(self) -> None:
        if self._socket is None:
            raise NotConnected(
                f"{self.broker.host}:{self.broker.port} closed the connection at once; {_tls_hint(self.broker)}"
            )
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), select.POLLIN)
        self._watch()
        self._start_writing()

    def _watch(self) -> None:
        if self._socket is not None and not self._paused:
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        if self._linger <= 0.0 or not self.up:
            self._drain()
        else:
            self._timer = self._loop.call_later(self._linger, self._drain)

    def _drain(self) -> None:
        """Let paho read what has arrived, adapt the linger to how much it was, and watch the socket again."""
        self._timer = None
        if self._socket is None:
            return
        self._drained_now = 0
        while self._drained_now < DRAIN_LIMIT and not self._paused:
            self._client.loop_read()
            # bytes that TLS has already decrypted are invisible to poll
            if self._socket is None or not (self._poll.poll(0) or self._socket_pending()):
                break
        now = time.monotonic()
        elapsed, self._last_drain = now - self._last_drain, now
        if self._drained_now >= DRAIN_LIMIT:
            self._linger = 0.0
        elif self._drained_now:
            wanted = LINGER_MESSAGES * elapsed / self._drained_now
            self._linger = min(LINGER_IDLE, max(LINGER_BUSY, 0.5 * (self._linger + wanted)))
        self._watch()
        self._listener.drained()

    def _socket_pending(self) -> int:
        pending = getattr(self._socket, "pending", None)
        return pending() if pending is not None else 0

    def _start_writing(self) -> None:
        if self._socket is not None and self._client.want_write():
            self._loop.add_writer(self._socket.fileno(), self._client.loop_write)

    def _stop_writing(self, descriptor: int) -> None:
        if descriptor >= 0:
            self._loop.remove_writer(descriptor)

    def _set_socket(self, opened: Any) -> None:
        self._socket = opened

    def _release_socket(self, descriptor: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if descriptor >= 0:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
        self._socket = None

    def _drop(self) -> None:
        """Give up a half-made connection."""
        self._client.disconnect()
        if self._socket is not None:
            self._client.loop_write()
        if self._socket is not None:
            descriptor = self._socket
            self._release_socket(descriptor.fileno())
            descriptor.close()

    def _in_loop(self, call: Any, *arguments: Any) -> None:
        """Run on the event loop, now if we are on it: paho also calls back from the connecting thread."""
        if threading.get_ident() == self._loop_thread:
            call(*arguments)
        else:
            self._loop.call_soon_threadsafe(call, *arguments)

    # ------------------------------------------------------- what paho tells us

    def _on_connect(
        self, _client: paho.Client, _data: Any, flags: paho.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        answer = self._answer
        if reason.is_failure:
            if answer is not None and not answer.done():
                answer.set_exception(NotConnected(_refusal(self.broker, reason)))
            return
        self.up = True
        self.generation += 1
        self.problem = None
        logger.info(
            "%s broker %s: connected, session %s",
            self.name,
            self.broker.url,
            "kept" if flags.session_present else "new",
        )
        if answer is not None and not answer.done():
            answer.set_result(None)
        self._listener.connected(flags.session_present)

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: paho.DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        was_up, self.up = self.up, False
        answer = self._answer
        if answer is not None and not answer.done():
            answer.set_exception(
                NotConnected(
                    f"{self.broker.host}:{self.broker.port} closed the connection before accepting it ({reason}); "
                    f"{_tls_hint(self.broker)}"
                )
            )
        if was_up and reason.value != 0:
            self.problem = f"connection lost: {reason}"
            if flags.is_disconnect_packet_from_server and reason.value == SESSION_TAKEN_OVER:
                self.problem = (
                    f"another client has connected with our client id {self.broker.client_id!r} "
                    "(0x8E session taken over); every client needs a user and an id of its own: "
                    "stop the other one, or set client_id"
                )
                self._pause_before_retry = TAKEN_OVER_PAUSE
            logger.warning("%s broker %s: %s", self.name, self.broker.url, self.problem)
        for future in self._subscribed.values():
            if not future.done():
                future.set_exception(NotConnected(f"{self.name} broker {self.broker.url}: connection lost"))
        self._subscribed.clear()
        self._gone.set()
        if was_up:
            self._listener.disconnected()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._drained_now += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\N{REPLACEMENT CHARACTER}"  # no broker should pass this on; the reading ends as a dead letter
        self._listener.received(
            Message(topic, bytes(message.payload), message.mid if message.qos else 0, message.retain, message.dup)
        )

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        future = self._published.pop(mid, None)
        if reason.is_failure:
            logger.warning(
                "%s broker %s refused a publication (%s); allow %r to write it in the broker's ACL",
                self.name,
                self.broker.url,
                reason,
                self.broker.username or self.broker.client_id,
            )
            if future is not None and not future.done():
                future.set_exception(
                    NotConnected(f"{self.name} broker {self.broker.url} refused a publication: {reason}")
                )
        elif future is not None and not future.done():
            future.set_result(None)

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        future = self._subscribed.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(reasons)


def _jitter() -> float:
    """0.7 to 1.3: spreads the reconnects of a fleet."""
    return random.uniform(0.7, 1.3)  # noqa: S311 - not cryptography


def _tls_hint(broker: Broker) -> str:
    if broker.tls:
        return "and does it speak TLS there? (mqtts:// needs a TLS port, usually 8883)"
    return "and is it a plain port? (a TLS port needs mqtts://)"


def _refusal(broker: Broker, reason: ReasonCode) -> str:
    """What a refused CONNECT means for the operator."""
    text = str(reason)
    hint = "see the broker's log"
    if "protocol" in text.lower():
        hint = 'the broker does not speak MQTT 5: set protocol = "3.1.1"'
    elif "user name" in text.lower() or "not auth" in text.lower():
        hint = f"check the password of {broker.username!r}" if broker.username else "it wants a username and password"
    elif "identifier" in text.lower():
        hint = f"the broker does not accept the client id {broker.client_id!r}"
    return f"{broker.host}:{broker.port} refused us: {text}; {hint}"
