"""Forged topics, last wills and client ids against the shipped broker configurations, as rows of the fault table.

The attacks themselves are tests of their own (`tests/agent/test_mosquitto_attacks.py`); here the same code runs again,
one row for each attack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent import test_mosquitto_attacks as attacks
from tests.agent.shipped_mosquitto import Client, connecting, starting
from tests.brokers import Mosquitto

Connect = Callable[..., Client]
Start = Callable[..., Mosquitto]
Observe = Callable[[str, object], None]


@pytest.fixture
def connect() -> Iterator[Connect]:
    with connecting() as connected:
        yield connected


@pytest.fixture
def start(start_mosquitto: Start, tmp_path: Path) -> Start:
    return starting(start_mosquitto, tmp_path)


@pytest.mark.fault(
    fault="a gateway publishes on 18 topics that are not its own, on the hub's broker",
    expected="each is refused and reaches nobody",
)
def test_topics_forged_by_a_gateway(start: Start, connect: Connect, record_property: Observe) -> None:
    attacks.test_a_forged_topic_is_refused_and_reaches_nobody(
        start, connect, "hub", "gateway-2", attacks.FORGED_AT_THE_HUB, retain=True
    )
    record_property("observed", f"{len(attacks.FORGED_AT_THE_HUB)} refused, nobody heard any")


@pytest.mark.fault(
    fault="a device publishes on 12 topics that are not its own, on the devices' broker",
    expected="each is refused and reaches nobody",
)
def test_topics_forged_by_a_device(start: Start, connect: Connect, record_property: Observe) -> None:
    attacks.test_a_forged_topic_is_refused_and_reaches_nobody(
        start, connect, "devices", "pump-7", attacks.FORGED_BY_A_DEVICE, retain=True
    )
    record_property("observed", f"{len(attacks.FORGED_BY_A_DEVICE)} refused, nobody heard any")


@pytest.mark.parametrize(
    ("name", "user", "forged"),
    [
        pytest.param(
            name,
            user,
            forged,
            marks=pytest.mark.fault(
                fault=f"last will on {forged} by {user}, {name} broker", expected="it is never spoken"
            ),
        )
        for name, user, forged in (
            ("hub", "gateway-2", f"{attacks.VICTIM}/up/status"),
            ("hub", "gateway-2", "vedette/v1/models/abc"),
            ("devices", "pump-7", "vedette/gateway-1/status"),
        )
    ],
)
def test_a_forged_last_will(
    start: Start, connect: Connect, name: str, user: str, forged: str, record_property: Observe
) -> None:
    attacks.test_a_forged_last_will_is_never_spoken(start, connect, name, user, forged)
    record_property("observed", "not spoken")


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        pytest.param(
            name,
            topic,
            marks=pytest.mark.fault(
                fault=f"a client takes the client id of gateway-1, {name} broker",
                expected="neither connection nor queue is taken",
            ),
        )
        for name, topic in (("hub", f"{attacks.VICTIM}/down/receipts"), ("devices", "plant/pump-8/telemetry"))
    ],
)
def test_a_forged_client_id(start: Start, connect: Connect, name: str, topic: str, record_property: Observe) -> None:
    attacks.test_a_foreign_client_id_takes_neither_connection_nor_queue(
        start, connect, name, "gateway-1", topic, clean=True
    )
    record_property("observed", "the agent stays connected and its queue waits for it")


@pytest.mark.parametrize(
    ("name", "user"),
    [
        pytest.param(
            name,
            user,
            marks=pytest.mark.fault(
                fault=f"{user} subscribes to what is meant for others, {name} broker", expected="it hears nothing"
            ),
        )
        for name, user in (("hub", "gateway-2"), ("devices", "pump-7"))
    ],
)
def test_a_spy(start: Start, connect: Connect, name: str, user: str, record_property: Observe) -> None:
    attacks.test_nobody_hears_what_is_meant_for_others(start, connect, name, user)
    record_property("observed", f"{len(attacks.CURIOUS)} filters, nothing heard")


@pytest.mark.fault(fault="a packet of 5 MiB", expected="its sender is cut off; the broker goes on")
def test_a_giant_packet(start: Start, connect: Connect, record_property: Observe) -> None:
    attacks.test_a_giant_packet_ends_its_sender_before_it_is_read(
        start, connect, "devices", "plant/gateway-1/telemetry"
    )
    record_property("observed", "cut off")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(
            sent,
            id=name,
            marks=pytest.mark.fault(fault=f"{name} before CONNECT", expected="hung up; devices go on"),
        )
        for name, sent in {"noise": b"\xff" * 64, "256 MiB announced": b"\x10\xff\xff\xff\x7f" + bytes(64)}.items()
    ],
)
def test_garbage_before_a_connection(start: Start, connect: Connect, sent: bytes, record_property: Observe) -> None:
    attacks.test_garbage_before_a_connection_ends_it_and_nothing_else(start, connect, sent)
    record_property("observed", "hung up")
