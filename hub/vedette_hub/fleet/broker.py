"""The connection to the broker: options of the client, and what its errors mean to a person."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from vedette_hub.config import BROKER_PORTS, BrokerSection
from vedette_hub.errors import ConfigurationError
from vedette_models.messages import MAX_BYTES

QUEUE_MESSAGES = 5_000
QUEUE_BYTES = 32 * 1024 * 1024

SESSION_TAKEN_OVER = 0x8E


class ArrivalQueue(asyncio.Queue[aiomqtt.Message]):
    """Messages that wait to be committed, bounded in number and bytes.

    What arrives while it is full is dropped and counted: without a receipt its sender sends it again.
    """

    def __init__(self) -> None:
        super().__init__(QUEUE_MESSAGES)
        self.dropped = 0
        self._bytes = 0

    def _init(self, maxsize: int) -> None:  # a hook of asyncio.Queue
        self._queue: deque[aiomqtt.Message] = deque()

    def _put(self, item: aiomqtt.Message) -> None:
        self._bytes += _size(item)
        self._queue.append(item)

    def _get(self) -> aiomqtt.Message:
        item = self._queue.popleft()
        self._bytes -= _size(item)
        return item

    def full(self) -> bool:
        """Whether the next message is dropped."""
        return self._bytes >= QUEUE_BYTES or super().full()

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Add a message, or count it as dropped."""
        if self.full():
            self.dropped += 1
        else:
            super().put_nowait(item)


def payload_bytes(message: aiomqtt.Message) -> bytes:
    """The payload of a message that came from a broker."""
    return message.payload if isinstance(message.payload, bytes) else b""


def _size(message: aiomqtt.Message) -> int:
    return len(payload_bytes(message)) + 500


def client_id(broker: BrokerSection) -> str:
    """The hub's client id: as configured, else its user (which the shipped broker configuration asks for)."""
    return broker.client_id or broker.username or "vedette-hub"


def tls_context(broker: BrokerSection) -> ssl.SSLContext | None:
    """What checks the broker's certificate; None without TLS.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """
    if urlsplit(broker.url).scheme not in ("mqtts", "wss"):
        return None
    try:
        context = ssl.create_default_context(cafile=broker.ca_file or None)
        if broker.cert_file:
            context.load_cert_chain(broker.cert_file, broker.key_file)
    except (OSError, ssl.SSLError) as error:
        name = broker.ca_file or broker.cert_file
        raise ConfigurationError([f"broker: {name}: {error}; it must be a certificate or key in PEM form"]) from error
    return context


def new_client(
    broker: BrokerSection, password: str | None, tls: ssl.SSLContext | None, queue: ArrivalQueue
) -> aiomqtt.Client:
    """A client with a session that outlives it, which puts what arrives into `queue`."""
    url = urlsplit(broker.url)
    options: dict[str, Any] = {}
    if broker.protocol == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = broker.session_expiry
        # Twice what we understand, so that an oversized message is seen and counted; the rest stays at the broker.
        properties.MaximumPacketSize = 2 * MAX_BYTES
        options = {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}
    else:
        options = {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": False}
    if url.scheme in ("ws", "wss"):
        options |= {"transport": "websockets", "websocket_path": url.path or "/mqtt"}
    client = aiomqtt.Client(
        url.hostname or "",
        url.port or BROKER_PORTS[url.scheme],
        username=broker.username or None,
        password=password,
        identifier=client_id(broker),
        keepalive=broker.keep_alive,
        tls_context=tls,
        # aiomqtt makes its queue itself; ours is bounded in bytes too, and can be drained without waiting.
        queue_type=lambda maxsize: queue,  # type: ignore[arg-type]  # called like the class it stands for
        **options,
    )
    client.pending_calls_threshold = 100_000  # a batch's receipts leave together, which is no reason to worry
    return client


def explain(error: BaseException, broker: BrokerSection) -> str:
    """A connection error as: what failed, where, and what to do."""
    url = urlsplit(broker.url)
    where = f"broker {url.scheme}://{url.hostname}:{url.port or BROKER_PORTS[url.scheme]}"
    text = str(error)
    code = getattr(getattr(error, "rc", None), "value", getattr(error, "rc", None))
    return f"{where}: {text}; {_hint(text.lower(), code, broker, tls=url.scheme in ('mqtts', 'wss'))}"


def _hint(text: str, code: object, broker: BrokerSection, *, tls: bool) -> str:
    if code == SESSION_TAKEN_OVER or "taken over" in text:
        return (
            f'another client uses our client id "{client_id(broker)}": is a second hub running? '
            "Give each its own broker.client_id"
        )
    if "unspecified error" in text:
        return (
            "the broker closed the connection: has it stopped? If this happens again and again, another client uses "
            f'our client id "{client_id(broker)}"; is a second hub running?'
        )
    if any(word in text for word in ("bad user", "not authorized", "not authorised", "bad_username")):
        return "are broker.username and broker.password_file right, and does the broker know this user?"
    if "certificate verify failed" in text:
        return "is broker.ca_file the certificate authority that signed the broker's certificate, for this host name?"
    if tls and any(word in text for word in ("ssl", "tls", "eof", "reset")):
        return "does this port speak TLS? A plain port wants mqtt:// (usually 1883)"
    if "refused" in text:
        return "is the broker running, and is this its port?"
    if any(word in text for word in ("name or service", "resolution", "nodename", "no address")):
        return "is the host name right, and can this machine resolve it?"
    if "unsupported protocol" in text:
        return 'the broker does not speak MQTT 5: set broker.protocol = "3.1.1"'
    if "timed out" in text or "timeout" in text:
        if tls:
            return "is the host reachable, and is this its port?"
        return "the host is not reachable, or the port waits for TLS: is it mqtts:// (usually 8883)?"
    return "is the broker up and reachable from here?"
