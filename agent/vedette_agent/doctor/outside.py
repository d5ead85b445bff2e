"""Outside: the doctor logs in as the agent while none runs, and leaves everything as it found it.

It takes the agent's user, client id and session, since a broker with `use_username_as_clientid` would give it these
anyway. A session that was there stays there: nothing in it is acknowledged, so that it comes again to the agent, and
nothing is unsubscribed that the agent subscribes to. A session that was not there is ended.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from vedette_agent.clock import SYSTEM
from vedette_agent.doctor.access import NO_MATCHING_SUBSCRIBERS, Side
from vedette_agent.doctor.login import Answered
from vedette_agent.mqtt import hints
from vedette_agent.mqtt.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from vedette_agent.config import Broker
    from vedette_agent.doctor.access import Write
    from vedette_agent.doctor.bounded import Until

RECEIVE_MAXIMUM = 64
"""Messages of a session that is not ours to empty: the broker keeps the rest from us."""
REFUSAL = 0x80
STEP = 0.05


class Visit:
    """One connection, driven by the thread that made it. `answered` says how the broker took us."""

    def __init__(self, broker: Broker, heard: Callable[[Message], None]) -> None:
        self.answered = Answered(words="no answer in time")
        self._broker, self._heard = broker, heard
        self._five = broker.protocol == "5"
        self._codes: dict[int, list[int]] = {}
        """By packet id: what the broker answered to a subscription or a publication."""
        self._client = self._build(clean=False)

    def _build(self, *, clean: bool) -> paho.Client:
        broker = self._broker
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=None if self._five else clean,
            protocol=paho.MQTTv5 if self._five else paho.MQTTv311,
            transport="websockets" if broker.websocket_path else "tcp",
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if broker.websocket_path:
            client.ws_set_options(broker.websocket_path)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        if (context := hints.tls_context(broker)) is not None:
            client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = lambda _c, _d, mid, reasons, _p: self._note(mid, reasons)
        client.on_publish = lambda _c, _d, mid, reason, _p: self._note(mid, [reason])
        return client

    def enter(self, until: Until) -> Answered:
        """Log in; never raises for what the broker does."""
        broker = self._broker
        self._client.connect_timeout = max(0.1, until.left())
        try:
            if self._five:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
                properties.SessionExpiryInterval = max(1, broker.session_expiry)
                properties.ReceiveMaximum = RECEIVE_MAXIMUM
                self._client.connect(
                    broker.host, broker.port, broker.keepalive, clean_start=False, properties=properties
                )
            else:
                self._client.connect(broker.host, broker.port, broker.keepalive)
        except (OSError, ValueError) as error:
            self.answered = Answered(words=str(error) or type(error).__name__)
            return self.answered
        if not self._turn(until, lambda: self.answered.code is not None) and self.answered.code is None:
            gone = not self._client.is_connected() and until.left() > 0
            self.answered = Answered(words="it closed the connection" if gone else "no answer in time")
        return self.answered

    def read(self, filters: Sequence[str], until: Until) -> tuple[str, ...]:
        """Subscribe; the filters that were refused."""
        asked: dict[int, str] = {}
        for topic_filter in filters:
            _result, packet_id = self._client.subscribe(topic_filter, 1)
            if packet_id is not None:
                asked[packet_id] = topic_filter
        self._turn(until, lambda: asked.keys() <= self._codes.keys())
        return tuple(name for mid, name in asked.items() if any(c >= REFUSAL for c in self._codes.get(mid, ())))

    def write(self, wanted: Sequence[Write], until: Until) -> tuple[dict[str, str], tuple[str, ...]]:
        """Publish; the topics that were refused and how, and those on which nobody listens."""
        asked = {self._client.publish(w.topic, w.payload, qos=1).mid: w.topic for w in wanted}
        self._turn(until, lambda: asked.keys() <= self._codes.keys())
        refused, unheard = {}, []
        for packet_id, topic in asked.items():
            code = (self._codes.get(packet_id) or [-1])[0]
            if code == -1:
                refused[topic] = "no answer in time"
            elif code >= REFUSAL:
                refused[topic] = f"0x{code:02X}"
            elif code == NO_MATCHING_SUBSCRIBERS:
                unheard.append(topic)
        return refused, tuple(unheard)

    def listen(self, until: Until, enough: Callable[[], bool]) -> None:
        """Hear what comes until it is enough."""
        self._turn(until, enough)

    def side(self, reads: Sequence[str], writes: Sequence[Write], until: Until) -> Side:
        """Subscribe and publish, and say what came of it."""
        refused_reads = self.read(reads, until.sooner(3.0))
        refused_writes, unheard = self.write(writes, until.sooner(3.0))
        return Side(
            connected=True,
            reads_refused=refused_reads,
            writes_refused=refused_writes,
            unheard=unheard,
            tells=self._five,
        )

    def leave(self, foreign: Sequence[str] = ()) -> None:
        """Say goodbye. `foreign`: filters that the agent itself would not be subscribed to."""
        with contextlib.suppress(OSError, ValueError):
            if self.answered.session:
                for topic_filter in foreign:
                    self._client.unsubscribe(topic_filter)
                self._client.loop(STEP)
                self._client.disconnect()
            elif self._five:
                properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
                properties.SessionExpiryInterval = 0
                self._client.disconnect(properties=properties)
            else:
                self._client.disconnect()
                self._client.loop(STEP)
                self._end_session()
            self._client.loop(STEP)

    def _end_session(self) -> None:
        """MQTT 3.1.1: a session that was not there before is ended by connecting without one."""
        self._client = self._build(clean=True)
        self.answered = Answered()
        self._client.connect(self._broker.host, self._broker.port, self._broker.keepalive)
        deadline = SYSTEM.uptime() + 2.0
        while self.answered.code is None and SYSTEM.uptime() < deadline:
            if self._client.loop(STEP) != paho.MQTT_ERR_SUCCESS:
                return
        self._client.disconnect()

    def _turn(self, until: Until, done: Callable[[], bool]) -> bool:
        """Let paho read and write until it is done, lost or out of time; whether it is done."""
        while not done():
            if until.left() <= 0 or self._client.loop(min(STEP, until.left())) != paho.MQTT_ERR_SUCCESS:
                return done()
        return True

    def _note(self, packet_id: int, reasons: Sequence[ReasonCode]) -> None:
        self._codes[packet_id] = [reason.value for reason in reasons]

    def _on_connect(
        self, _client: paho.Client, _data: Any, flags: paho.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        self.answered = Answered(reason.value, str(reason), flags.session_present)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.qos and not self.answered.session:
            client.ack(message.mid, message.qos)
        with contextlib.suppress(UnicodeDecodeError):
            self._heard(Message(message.topic, bytes(message.payload), retained=message.retain))
