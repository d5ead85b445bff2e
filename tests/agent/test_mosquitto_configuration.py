"""The shipped broker configurations, in a real Mosquitto: what is kept, who may do what, TLS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.agent.shipped_mosquitto import NOT_AUTHORIZED, SECONDS, TLS, Client, connecting, starting
from tests.brokers import Mosquitto, free_port
from vedette_models import artifact

GATEWAY = "vedette/v1/gw/gateway-1"
LINE = "vedette/v1/gw/line%203"
HUB_TOPICS = (
    f"{GATEWAY}/up/alerts",
    f"{GATEWAY}/up/reports",
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
    "plant/pump-7/anything",
    "vedette/gateway-1/status",
    "vedette/gateway-1/pump-7/alert/anomaly",
    "vedette/gateway-2/pump-7/alert/anomaly",
    "vedette/pump-7/status",
)


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    with connecting() as connected:
        yield connected


@pytest.fixture
def start(start_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Callable[..., Mosquitto]:
    return starting(start_mosquitto, tmp_path)


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
    [("devices", "plant/gateway-1/telemetry", 262_144), ("hub", f"{GATEWAY}/up/alerts", artifact.MAX_BYTES)],
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
