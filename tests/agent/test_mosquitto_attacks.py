"""Attacks on the shipped broker configurations: somebody who has a user of their own, or none, wants more."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.agent.mqtt_ends import certificate
from tests.agent.shipped_mosquitto import NOT_AUTHORIZED, SECONDS, TLS, Client, connecting, starting
from tests.brokers import Mosquitto, free_port

Connect = Callable[..., Client]
Start = Callable[..., Mosquitto]

VICTIM = "vedette/v1/gw/gateway-1"
OWN = "vedette/v1/gw/gateway-2"
FORGED_AT_THE_HUB = (
    f"{VICTIM}/up/status",
    f"{VICTIM}/up/alerts",
    f"{VICTIM}/down/desired",
    f"{VICTIM}/down/receipts",
    f"{OWN}/down/desired",
    f"{OWN}/down/receipts",
    f"{OWN}/up/../../gateway-1/up/alerts",
    f"{OWN}/up/alerts/",
    f"{OWN}/up/alerts/more",
    f"{OWN}/up/endless-1",
    "vedette/v1/gw/%67ateway-1/up/alerts",
    "vedette/v1/gw//up/alerts",
    f"/{OWN}/up/alerts",
    f"vedette/v1/models/{'a' * 64}",
    "vedette/v1/models/",
    "vedette/v2/gw/gateway-2/up/alerts",
    "$SYS/broker/uptime",
    "plant/pump-7/telemetry",
)
FORGED_BY_A_DEVICE = (
    "vedette/gateway-1/status",
    "vedette/gateway-1/pump-7/alert/anomaly",
    "vedette/gateway-1/pump-8/alert/anomaly",
    "vedette/pump-7/status",
    "vedette/v1/models/abc",
    f"{VICTIM}/up/alerts",
    "plant/pump-8/telemetry",
    "plant/pump-7/telemetry/",
    "plant/pump-7/endless-1",
    "plant/PUMP-7/telemetry",
    "/plant/pump-7/telemetry",
    "$SYS/broker/uptime",
)
CURIOUS = (
    "#",
    "+/#",
    "vedette/#",
    "vedette/v1/gw/+/down/#",
    f"{VICTIM}/down/desired",
    "$share/spies/vedette/v1/gw/gateway-1/down/#",
    "plant/#",
    "$SYS/#",
)


@pytest.fixture
def connect() -> Iterator[Connect]:
    with connecting() as connected:
        yield connected


@pytest.fixture
def start(start_mosquitto: Start, tmp_path: Path) -> Start:
    return starting(start_mosquitto, tmp_path)


def session(expiry: int = 3600) -> Any:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho does not say
    properties.SessionExpiryInterval = expiry
    return properties


def heard_by_everybody(observer: Client) -> set[str]:
    observer.publish("last/observer")
    return observer.until("last/observer")


def answer(connected: socket.socket) -> bytes:
    """What the broker says; nothing where it hangs up."""
    try:
        return connected.recv(64)
    except ConnectionResetError:
        return b""


@pytest.mark.fault(
    fault="shipped access lists: a gateway, or a device, publishes on topics that are not its own",
    expected="each is refused and reaches nobody",
)
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize(
    ("name", "user", "topics"),
    [("hub", "gateway-2", FORGED_AT_THE_HUB), ("devices", "pump-7", FORGED_BY_A_DEVICE)],
)
def test_a_forged_topic_is_refused_and_reaches_nobody(
    start: Start, connect: Connect, name: str, user: str, topics: tuple[str, ...], retain: bool
) -> None:
    broker = start(name, user)
    observer, attacker = connect(broker.port, "observer"), connect(broker.port, user)
    observer.subscribe("#")
    assert {attacker.publish(topic, retain=retain) for topic in topics} == {NOT_AUTHORIZED}
    assert heard_by_everybody(observer) == set()


@pytest.mark.fault(
    fault="shipped access lists: a last will on a topic of somebody else",
    expected="it is never spoken",
)
@pytest.mark.parametrize(
    ("name", "user", "forged"),
    [
        ("hub", "gateway-2", f"{VICTIM}/up/status"),
        ("hub", "gateway-2", "vedette/v1/models/abc"),
        ("devices", "pump-7", "vedette/gateway-1/status"),
    ],
)
def test_a_forged_last_will_is_never_spoken(start: Start, connect: Connect, name: str, user: str, forged: str) -> None:
    broker = start(name, user)
    observer = connect(broker.port, "observer")
    observer.subscribe("#")
    attacker = connect(broker.port, user, will=forged)
    if attacker.reason == 0:
        attacker.vanish()
        own = f"{OWN}/up/status" if name == "hub" else "plant/pump-7/telemetry"
        second = connect(broker.port, user, will=own)  # evicts the first, so that its will is due by now
        second.vanish()
        assert observer.messages.get(timeout=SECONDS)[0] == own
    assert heard_by_everybody(observer) == set()


@pytest.mark.fault(
    fault="shipped access lists: a user subscribes to what is meant for others",
    expected="it hears nothing",
)
@pytest.mark.parametrize(("name", "user"), [("hub", "gateway-2"), ("devices", "pump-7"), ("devices", "stranger")])
def test_nobody_hears_what_is_meant_for_others(start: Start, connect: Connect, name: str, user: str) -> None:
    broker = start(name, user, "gateway-1")
    observer = connect(broker.port, "observer")
    for topic in (f"{VICTIM}/down/desired", "vedette/gateway-1/status", "plant/pump-8/telemetry"):
        observer.publish(topic, b"secret", retain=True)
    spy = connect(broker.port, user)
    for topic_filter in CURIOUS:
        spy.subscribe(topic_filter)
    for topic in (f"{VICTIM}/down/receipts", f"{VICTIM}/up/alerts", "plant/pump-8/telemetry", f"last/{user}"):
        observer.publish(topic, b"secret")
    assert spy.until(f"last/{user}") == set()


@pytest.mark.fault(
    fault="shipped configuration: a client takes the client id of a gateway",
    expected="neither connection nor queue is taken",
)
@pytest.mark.parametrize(
    ("name", "victim", "topic"),
    [("hub", "gateway-1", f"{VICTIM}/down/receipts"), ("devices", "gateway-1", "plant/pump-8/telemetry")],
)
@pytest.mark.parametrize("clean", [False, True])
def test_a_foreign_client_id_takes_neither_connection_nor_queue(
    start: Start, connect: Connect, name: str, victim: str, topic: str, clean: bool
) -> None:
    broker = start(name, victim, "pump-7")
    agent = connect(broker.port, victim, victim, clean_start=False, properties=session())
    agent.subscribe(topic)
    thief = connect(broker.port, "pump-7", victim, clean_start=clean, properties=session())
    assert (thief.reason, thief.session) == (0, False)
    assert agent.publish(f"vedette/{victim}/status") in (0, 0x10, NOT_AUTHORIZED), "it is still connected"
    assert agent.disconnected.empty()

    agent.close()
    observer = connect(broker.port, "observer")
    observer.publish(topic, b"waits")
    thief = connect(broker.port, "pump-7", victim, clean_start=clean, properties=session())
    thief.publish("x")
    assert thief.messages.empty()
    agent = connect(broker.port, victim, victim, clean_start=False, properties=session())
    assert (agent.session, agent.messages.get(timeout=SECONDS)) == (True, (topic, b"waits"))


@pytest.mark.fault(
    fault="shipped access lists: a user whose name is a topic filter",
    expected="gets nothing by its name",
)
@pytest.mark.parametrize("user", ["gateway-1/up/alerts", "+/up", "gateway-1#", "$SYS"])
def test_a_user_called_like_a_filter_gets_nothing_by_its_name(start: Start, connect: Connect, user: str) -> None:
    broker = start("hub", user)
    observer, attacker = connect(broker.port, "observer"), connect(broker.port, user)
    observer.subscribe("#")
    for topic in (f"{VICTIM}/up/alerts", f"{VICTIM}/up/status", f"{VICTIM}/down/desired"):
        attacker.publish(topic)
    assert heard_by_everybody(observer) == set()


@pytest.mark.fault(
    fault="shipped configuration: no user, no password, another network, plain text to TLS",
    expected="not let in; the broker goes on",
)
@pytest.mark.parametrize("name", ["devices", "hub"])
def test_an_open_door_is_found_nowhere(start: Start, connect: Connect, name: str, tmp_path: Path) -> None:
    tls_port = free_port()
    (tmp_path / "certs").mkdir()
    for kind in ("pem", "key"):
        (tmp_path / "certs" / f"broker.{kind}").write_bytes((TLS / f"localhost.{kind}").read_bytes())

    def with_tls(text: str) -> str:
        first = text.index("#listener 8883")
        block = text[first : text.index("\n\n", first)]
        enabled = re.sub(r"(?m)^#(?=[a-z])", "", block).replace("8883", str(tls_port))
        return text.replace(block, enabled)

    broker = start(name, "gateway-1", edit=with_tls)
    assert connect(tls_port, "gateway-1", tls=True).reason == 0
    # without a user, and with a user but without its password, over TLS as well
    assert connect(tls_port, None, tls=True).reason == NOT_AUTHORIZED
    assert connect(tls_port, "nobody", tls=True).reason == NOT_AUTHORIZED
    # the plain port is there for this machine only
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", broker.port), timeout=SECONDS)
    # plain text on the TLS port is not answered
    with socket.create_connection(("127.0.0.1", tls_port), timeout=SECONDS) as plain:
        plain.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab")
        assert not answer(plain).startswith(b"\x20"), "no CONNACK"
    # who trusts somebody else does not speak with this broker
    other, _key = certificate(tmp_path, "another")
    context = ssl.create_default_context(cafile=str(other))
    with (
        socket.create_connection(("127.0.0.1", tls_port), timeout=SECONDS) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")
    assert connect(broker.port, "gateway-1").reason == 0, "and the broker goes on"


@pytest.mark.fault(
    fault="shipped configuration: a packet of 5 MiB",
    expected="its sender is cut off; the broker goes on",
)
@pytest.mark.parametrize(("name", "topic"), [("devices", "plant/gateway-1/telemetry"), ("hub", f"{VICTIM}/up/alerts")])
def test_a_giant_packet_ends_its_sender_before_it_is_read(
    start: Start, connect: Connect, name: str, topic: str
) -> None:
    broker = start(name, "gateway-1")
    observer, attacker = connect(broker.port, "observer"), connect(broker.port, "gateway-1", protocol=mqtt.MQTTv311)
    observer.subscribe(topic)
    attacker.send(topic, bytes(5 * 2**20))
    assert attacker.disconnected.get(timeout=SECONDS) != 0
    again = connect(broker.port, "gateway-1", protocol=mqtt.MQTTv311)
    again.publish(topic, b"small")
    assert observer.messages.get(timeout=SECONDS) == (topic, b"small")


@pytest.mark.fault(
    fault="shipped configuration: garbage before a connection",
    expected="hung up; devices go on",
)
@pytest.mark.parametrize(
    "sent",
    [
        b"\xff" * 64,
        b"\x10\xff\xff\xff\xff",
        b"\x10\xff\xff\xff\x7f" + bytes(64),
        b"\x30\x06\x00\x04a/bc",
        b"\x10\x10\x00\x04MQTT\x04\xc2\x00\x3c\x00\x02ab\x00\x09",
        bytes(4096),
    ],
    ids=["noise", "no length", "256 MiB announced", "publish before connect", "torn connect", "zeros"],
)
def test_garbage_before_a_connection_ends_it_and_nothing_else(start: Start, connect: Connect, sent: bytes) -> None:
    broker = start("devices", "gateway-1", "pump-7")
    device = connect(broker.port, "pump-7")
    with socket.create_connection(("127.0.0.1", broker.port), timeout=SECONDS) as attacker:
        attacker.sendall(sent)
        with contextlib.suppress(OSError):  # the broker may have ended it by now
            attacker.shutdown(socket.SHUT_WR)
        assert not answer(attacker).startswith(b"\x20\x02\x00\x00"), "not let in"
    assert device.publish("plant/pump-7/telemetry") != NOT_AUTHORIZED
    assert device.disconnected.empty()
