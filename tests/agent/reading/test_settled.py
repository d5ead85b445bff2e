"""Which redeliveries are recognised, and how long."""

from __future__ import annotations

from vedette_agent.mqtt.message import Message, SettledKey
from vedette_agent.reading.settled import REMEMBERED, Settled, digest

TOPIC = "plant/pump-1/telemetry"


def message(packet_id: int, payload: bytes = b"21.5") -> Message:
    return Message(TOPIC, payload, packet_id, retained=False, duplicate=True)


def test_so_many_messages_are_recognised_as_a_broker_was_seen_to_send_unacknowledged() -> None:
    settled = Settled()
    sent = [message(packet_id, b"%d" % packet_id) for packet_id in range(1, REMEMBERED + 1)]
    settled.add(sent)

    assert all(m in settled for m in sent)
    assert REMEMBERED > 19_700


def test_a_packet_id_a_round_later_is_a_new_message_even_with_the_same_content() -> None:
    settled = Settled()
    settled.add([message(7)])
    assert message(7) in settled

    settled.add(message(packet_id) for packet_id in range(8, 8 + REMEMBERED))

    assert message(7) not in settled


def test_other_content_or_another_id_is_another_message() -> None:
    settled = Settled()
    settled.add([message(7)])

    assert message(7, b"21.6") not in settled
    assert message(8) not in settled
    assert message(7)._replace(topic="plant/pump-2/telemetry") not in settled


def test_what_an_earlier_run_settled_is_recognised_until_its_id_stands_for_something_else() -> None:
    settled = Settled([SettledKey(7, digest(message(7)))])
    assert message(7) in settled
    assert message(7, b"21.6") not in settled

    settled.add([message(7, b"new")])

    assert message(7) not in settled


def test_a_new_session_begins_anew() -> None:
    settled = Settled([SettledKey(7, digest(message(7)))])
    settled.add([message(8)])

    settled.clear()

    assert message(7) not in settled
    assert message(8) not in settled


def test_a_message_without_an_acknowledgement_is_not_remembered() -> None:
    settled = Settled()
    settled.add([message(0)])

    assert message(0) not in settled
