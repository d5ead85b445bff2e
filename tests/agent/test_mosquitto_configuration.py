"""The shipped broker configurations, in a real Mosquitto: what is kept, who may do what, TLS."""

from __future__ import annotations

import queue
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.brokers import Mosquitto, free_port
from vedette_models import artifact

CONFIGS = Path(__file__).parents[2] / "configs" / "mosquitto"
TLS = Path(__file__).parent / "cases" / "config" / "tls"
SECONDS = 15.0
NOT_AUTHORIZED = 0x87

GATEWAY = "vedette/v1/gw/gateway-1"
LINE = "vedette/v1/gw/line%203"
HUB_TOPICS = (
    f"{GATEWAY}/up/alerts",
    f"{GATEWAY}/up/response/x",
    f"{GATEWAY}/down/receipts",
    f"{LINE}/up/status",
    f"{LINE}/down/desired",
    "vedette/v1/models/abc",
    "vedette/v1/models/abc/more",
    "vedette/v1/other",
    "plant/pump-7/telemetry",
)
DEVICES_TOPICS = (
    "plant/pump-7/telemetry",
    "plant/fan-1/telemetry",
    "plant/telemetry",
    "vedette/gateway-1/status",
    "vedette/gateway-1/pump-7/alert/anomaly",
    "vedette/gateway-2/pump-7/alert/anomaly",
    "vedette/pump-7/status",
)


class Client:
    """One client whose callers wait for what happens."""

    def __init__(
        self,
        port: int,
        user: str | None,
        client_id: str = "",
        *,
        transport: Any = "tcp",
        protocol: Any = mqtt.MQTTv5,
        **connect: Any,
    ) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._connected: queue.Queue[int] = queue.Queue()
        self._answers: queue.Queue[int] = queue.Queue()
        self.disconnected: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=protocol,
            transport=transport,
            reconnect_on_failure=False,
        )
        self._client.max_inflight_messages_set(1_000)
        if user is not None:
            self._client.username_pw_set(user, f"password of {user}")
        if transport == "websockets" or "tls" in connect:
            self._client.tls_set(ca_certs=str(TLS / "localhost.pem"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
            connect.pop("tls", None)
        self._client.on_connect = lambda _c, _u, _f, reason, _p: self._connected.put(reason.value)
        self._client.on_disconnect = lambda _c, _u, _f, reason, _p: self.disconnected.put(reason.value)
        self._client.on_message = lambda _c, _u, message: self.messages.put((message.topic, bytes(message.payload)))
        self._client.on_publish = lambda _c, _u, _m, reason, _p: self._answers.put(reason.value)
        self._client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._answers.put(reasons[0].value)
        self._client.connect("127.0.0.1" if transport == "tcp" else "localhost", port, **connect)
        self._client.loop_start()
        self.reason = self._connected.get(timeout=SECONDS)

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 1) -> int:
        """Publish and return what the broker answers."""
        self._client.publish(topic, payload, qos)
        return self._answers.get(timeout=SECONDS)

    def publish_all(self, topic: str, payloads: list[bytes], qos: int) -> None:
        for payload in payloads:
            self._client.publish(topic, payload, qos)
        for _ in payloads:
            self._answers.get(timeout=SECONDS)

    def subscribe(self, topic_filter: str) -> int:
        self._client.subscribe(topic_filter, 1)
        return self._answers.get(timeout=SECONDS)

    def until(self, last: str) -> set[str]:
        """Topics received before one on topic `last`."""
        received = set()
        while (topic := self.messages.get(timeout=SECONDS)[0]) != last:
            received.add(topic)
        return received

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def connected(*arguments: Any, **options: Any) -> Client:
        clients.append(Client(*arguments, **options))
        return clients[-1]

    yield connected
    for client in clients:
        client.close()


@pytest.fixture
def start(start_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Callable[..., Mosquitto]:
    """Start a broker with a shipped configuration, in which only paths, the port and the users are ours."""

    def started(name: str, *users: str, edit: Callable[[str], str] = str) -> Mosquitto:
        passwords = tmp_path / f"{name}.passwd"
        passwords.write_text("".join(f"{user}:password of {user}\n" for user in (*users, "observer")))
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        # What the test itself needs to see: everything for one user, and a last message for everybody.
        access = (CONFIGS / f"{name}.acl").read_text()
        (tmp_path / f"{name}.acl").write_text(f"{access}\nuser observer\ntopic readwrite #\n\npattern read last/%u\n")
        text = edit((CONFIGS / f"{name}.conf").read_text())
        changes = {
            "/etc/mosquitto/": f"{tmp_path}/",
            "/var/lib/mosquitto/": "{directory}/",
            "listener 1883 127": "listener {port} 127",
        }
        for shipped, ours in changes.items():
            assert shipped in text
            text = text.replace(shipped, ours, 1 if shipped.startswith("listener") else -1)
        # Started as root, Mosquitto would become a user who cannot write to the test's folder.
        return start_mosquitto(config=f"{text}\nuser root\n")

    return started


def may_write(connect: Callable[..., Client], broker: Mosquitto, user: str, topics: tuple[str, ...]) -> set[str]:
    """Topics on which what a user publishes reaches others; the broker's answer must say the same."""
    observer, client = connect(broker.port, "observer", "observer"), connect(broker.port, user)
    observer.subscribe("#")
    answers = {topic: client.publish(topic) for topic in topics}
    observer.publish("last/observer")
    received = observer.until("last/observer")
    assert {topic for topic, answer in answers.items() if answer != NOT_AUTHORIZED} == received
    return received


def may_read(connect: Callable[..., Client], broker: Mosquitto, user: str, topics: tuple[str, ...]) -> set[str]:
    """Topics that reach a user who asks for everything."""
    observer, client = connect(broker.port, "observer"), connect(broker.port, user)
    client.subscribe("#")
    for topic in (*topics, f"last/{user}"):
        observer.publish(topic)
    return client.until(f"last/{user}")


@pytest.mark.parametrize(
    ("user", "writes", "reads"),
    [
        ("gateway-1", {HUB_TOPICS[0], HUB_TOPICS[1]}, {HUB_TOPICS[2], HUB_TOPICS[5]}),
        ("line%203", {HUB_TOPICS[3]}, {HUB_TOPICS[4], HUB_TOPICS[5]}),
        ("hub", {HUB_TOPICS[2], HUB_TOPICS[4], HUB_TOPICS[5]}, {*HUB_TOPICS[:2], HUB_TOPICS[3], HUB_TOPICS[5]}),
    ],
)
def test_at_the_hub_a_gateway_speaks_and_hears_in_its_own_name_only(
    start: Callable[..., Mosquitto], connect: Callable[..., Client], user: str, writes: set[str], reads: set[str]
) -> None:
    broker = start("hub", "hub", "gateway-1", "line%203")
    assert may_write(connect, broker, user, HUB_TOPICS) == writes
    assert may_read(connect, broker, user, HUB_TOPICS) == reads


def test_at_the_hub_a_user_called_like_a_wildcard_gets_nothing(
    start: Callable[..., Mosquitto], connect: Callable[..., Client]
) -> None:
    broker = start("hub", "+")
    assert may_write(connect, broker, "+", HUB_TOPICS) == set()
    observer, client = connect(broker.port, "observer"), connect(broker.port, "+")
    client.subscribe("#")
    for topic in HUB_TOPICS:
        observer.publish(topic)
    # Not even its last message would reach it: two round trips after which everything sent before has arrived.
    client.publish("x")
    client.subscribe("x")
    assert client.messages.empty()


@pytest.mark.parametrize(
    ("user", "writes", "reads"),
    [
        ("gateway-1", set(DEVICES_TOPICS[3:5]), set(DEVICES_TOPICS)),
        ("pump-7", {DEVICES_TOPICS[0]}, set()),
        ("display", set(), set(DEVICES_TOPICS[3:])),
        ("stranger", set(), set()),
    ],
)
def test_at_the_gateway_a_device_writes_its_own_topics_and_reads_nothing(
    start: Callable[..., Mosquitto], connect: Callable[..., Client], user: str, writes: set[str], reads: set[str]
) -> None:
    broker = start("devices", "gateway-1", "pump-7", "display", "stranger")
    assert may_write(connect, broker, user, DEVICES_TOPICS) == writes
    assert may_read(connect, broker, user, DEVICES_TOPICS) == reads


@pytest.mark.parametrize("name", ["devices", "hub"])
def test_nobody_enters_without_a_user_and_its_password(
    start: Callable[..., Mosquitto], connect: Callable[..., Client], name: str
) -> None:
    broker = start(name, "gateway-1")
    assert connect(broker.port, None).reason == NOT_AUTHORIZED
    assert connect(broker.port, "unknown").reason == NOT_AUTHORIZED
    assert connect(broker.port, "gateway-1").reason == 0


def test_at_the_hub_no_client_can_take_the_place_of_another(
    start: Callable[..., Mosquitto], connect: Callable[..., Client]
) -> None:
    broker = start("hub", "gateway-1", "gateway-2")
    first = connect(broker.port, "gateway-1", "gateway-1")
    connect(broker.port, "gateway-2", "gateway-1")
    assert first.publish(f"{GATEWAY}/up/status") != NOT_AUTHORIZED
    assert first.disconnected.empty()
    connect(broker.port, "gateway-1", "another id")
    assert first.disconnected.get(timeout=SECONDS) != 0


@pytest.mark.parametrize("qos", [0, 1])
def test_what_arrives_while_the_agent_is_away_waits_for_it_across_a_restart_of_the_broker(
    start: Callable[..., Mosquitto], connect: Callable[..., Client], qos: int
) -> None:
    broker = start("devices", "gateway-1", "pump-7")
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho does not say
    session.SessionExpiryInterval = 3600
    session.ReceiveMaximum = 512
    agent = connect(broker.port, "gateway-1", "gateway-1", clean_start=False, properties=session)
    agent.subscribe("plant/+/telemetry")
    agent.close()
    payloads = [b"%d" % number for number in range(2_500)]  # the default would keep 1,000
    device = connect(broker.port, "pump-7")
    device.publish_all("plant/pump-7/telemetry", payloads, qos)
    device.publish("plant/pump-7/other")
    device.close()
    broker.stop()
    broker.start()
    agent = connect(broker.port, "gateway-1", "gateway-1", clean_start=False, properties=session)
    assert [agent.messages.get(timeout=SECONDS)[1] for _ in payloads] == payloads


@pytest.mark.parametrize(
    ("name", "topic", "largest"),
    [("devices", "plant/gateway-1/x", 262_144), ("hub", f"{GATEWAY}/up/alerts", artifact.MAX_BYTES)],
)
def test_a_message_that_is_too_large_is_dropped_and_its_sender_stays(
    start: Callable[..., Mosquitto], connect: Callable[..., Client], name: str, topic: str, largest: int
) -> None:
    broker = start(name, "gateway-1")
    observer, client = (
        connect(broker.port, "observer", "observer"),
        connect(broker.port, "gateway-1", protocol=mqtt.MQTTv311),
    )
    observer.subscribe(topic)
    client.publish(topic, b"a" * (largest + 1))
    client.publish(topic, b"b" * largest)
    assert observer.messages.get(timeout=SECONDS) == (topic, b"b" * largest)
    assert client.disconnected.empty()


@pytest.mark.parametrize(("name", "ports"), [("devices", (8883, 1883)), ("hub", (8883, 9443))])
def test_the_commented_listeners_work_when_enabled(
    start: Callable[..., Mosquitto], connect: Callable[..., Client], tmp_path: Path, name: str, ports: tuple[int, int]
) -> None:
    free = {port: free_port() for port in ports}

    def enable(text: str) -> str:
        text = re.sub(r"(?m)^#(?=[a-z])", "", text)
        for port, ours in free.items():
            text = re.sub(rf"(?m)^listener {port}( 192\.0\.2\.1)?$", f"listener {ours} 127.0.0.1", text)
        return text

    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "broker.pem").write_bytes((TLS / "localhost.pem").read_bytes())
    (tmp_path / "certs" / "broker.key").write_bytes((TLS / "localhost.key").read_bytes())
    start(name, "gateway-1", edit=enable)
    assert connect(free[8883], "gateway-1", tls=True).reason == 0
    other = free[ports[1]]
    assert connect(other, "gateway-1", transport="websockets" if name == "hub" else "tcp").reason == 0
