from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial

import pytest

from tests.agent.mqtt_ends import ALERTS, Watching, broker_of, device, until, watching
from tests.brokers import Mosquitto
from vedette_agent.config.models import Broker
from vedette_agent.mqtt.message import Message, SettledKey
from vedette_agent.mqtt.transport import Will
from vedette_agent.reading.settled import digest
from vedette_agent.reading.telemetry import BATCH_BYTES, WAITING_BYTES, Telemetry


@pytest.fixture
def ours(broker: Mosquitto, protocol: str) -> Broker:
    """The agent's side of the shared broker, with a session of its own."""
    return broker_of(broker.url, protocol=protocol, client_id=uuid.uuid4().hex)


@pytest.fixture
def topic() -> str:
    return f"plant/{uuid.uuid4().hex}"


async def test_messages_come_in_order_with_their_flags(broker: Mosquitto, ours: Broker, topic: str) -> None:
    with device(broker.port) as source:
        async with watching(ours, [topic]) as agent:
            for i in range(100):
                source.send(topic, str(i))
            await until(lambda: len(agent.fresh) == 100)
            for i in range(100, 200):
                source.send(topic, str(i), qos=0)
            await until(lambda: len(agent.fresh) == 200)
    assert agent.payloads == [str(i).encode() for i in range(200)]
    assert all((m.packet_id > 0) == (i < 100) for i, m in enumerate(agent.fresh))
    assert not any(m.retained or m.duplicate for m in agent.fresh)


async def test_batches_are_capped(broker: Mosquitto, ours: Broker, topic: str) -> None:
    with device(broker.port) as source:
        async with watching(ours, [topic], batch=7) as agent:
            for i in range(100):
                source.send(topic, str(i))
            await until(lambda: len(agent.fresh) == 100)
    assert max(len(batch.messages) for batch in agent.batches) <= 7


async def test_what_was_published_while_away_arrives(broker: Mosquitto, ours: Broker, topic: str) -> None:
    async with watching(ours, [topic]):
        pass
    with device(broker.port) as source:
        for i in range(300):
            source.publish(topic, str(i))
    async with watching(ours, [topic]) as agent:
        await until(lambda: len(agent.fresh) >= 300, f"300 messages, there are {len(agent.fresh)}")
    assert agent.payloads == [str(i).encode() for i in range(300)]


async def test_what_was_not_acknowledged_comes_again_and_is_not_settled(
    broker: Mosquitto, ours: Broker, topic: str
) -> None:
    with device(broker.port) as source:
        async with watching(ours, [topic], acknowledge=False) as first:
            for i in range(20):
                source.publish(topic, str(i))
            await until(lambda: len(first.fresh) == 20)
            await first.crash()
            async with watching(ours, [topic]) as second:
                await until(lambda: len(second.fresh) == 20)
    assert second.payloads == first.payloads
    assert all(message.duplicate for message in second.fresh)
    assert second.duplicates == []


async def test_settled_before_a_crash_and_not_acknowledged_is_a_duplicate_after_it(
    broker: Mosquitto, ours: Broker, topic: str
) -> None:
    with device(broker.port) as source:
        async with watching(ours, [topic], acknowledge=False) as first:
            for i in range(15):
                source.publish(topic, "x" * 1000 * (i % 2) + str(i))
            await until(lambda: len(first.fresh) == 15)
            keys = first.keys()[:10]  # the transaction of the last five never came to be
            await first.crash()
            async with watching(ours, [topic], settled=keys) as second:
                await until(lambda: len(second.fresh) + len(second.duplicates) == 15)
            assert [m.payload for m in second.duplicates] == first.payloads[:10]
            assert second.payloads == first.payloads[10:]
        async with watching(ours, [topic]) as third:
            source.publish(topic, "next")
            await until(lambda: third.fresh)
    assert third.payloads == [b"next"], "duplicates were acknowledged, too"


async def test_an_acknowledgement_that_a_cut_swallowed_is_made_up_for(
    broker: Mosquitto, ours: Broker, topic: str
) -> None:
    with device(broker.port) as source:
        async with watching(ours, [topic], acknowledge=False) as agent:
            for i in range(10):
                source.publish(topic, str(i))
            await until(lambda: len(agent.fresh) == 10)
            with device(broker.port, ours.client_id, clean=False):  # cuts our connection, the session is kept
                await until(lambda: not agent.telemetry.connection.up)
                for batch in agent.batches:
                    batch.acknowledge()  # too late: the connection is gone
            await agent.crash()
            async with watching(ours, [topic], settled=agent.keys()) as again:
                await until(lambda: len(again.duplicates) == 10)
                assert again.fresh == []


async def test_a_settled_message_is_recognised_after_a_reconnect(
    start_mosquitto: Callable[..., Mosquitto], protocol: str
) -> None:
    mosquitto = start_mosquitto(persistence=True)
    ours = broker_of(mosquitto.url, protocol=protocol)
    async with watching(ours) as agent:
        with device(mosquitto.port) as source:
            agent.gate.clear()  # processing takes its time
            for i in range(15):
                source.publish("plant/p", str(i))
            await until(lambda: agent.telemetry.last_arrival)
        mosquitto.stop()
        await until(lambda: not agent.telemetry.connection.up)
        agent.gate.set()  # committed while there is no connection
        await until(lambda: agent.fresh)
        mosquitto.start()
        await agent.subscribed(2)
        await until(lambda: len(agent.fresh) == 15 and len(agent.fresh) + len(agent.duplicates) >= 15)
        with device(mosquitto.port) as source:
            source.publish("plant/p", "last")
        await until(lambda: b"last" in agent.payloads)
    assert agent.payloads == [*(str(i).encode() for i in range(15)), b"last"]


async def test_after_a_broker_without_memory_everything_new_arrives(
    start_mosquitto: Callable[..., Mosquitto], protocol: str
) -> None:
    mosquitto = start_mosquitto()
    async with watching(broker_of(mosquitto.url, protocol=protocol)) as agent:
        for run in range(2):
            with device(mosquitto.port) as source:
                for i in range(5):  # the same content with the same packet ids: new all the same
                    source.publish("plant/p", str(i))
            await until(partial(all_there, agent, 5 * (run + 1)))
            mosquitto.kill()
            await until(lambda: not agent.telemetry.connection.up)
            mosquitto.start()
            await agent.subscribed(2 + run)
    assert agent.duplicates == []


async def test_a_filter_that_was_removed_is_no_longer_delivered(broker: Mosquitto, ours: Broker, topic: str) -> None:
    async with watching(ours, [f"{topic}/old", f"{topic}/new"]) as agent:
        pass
    assert agent.remembered == [f"{topic}/old", f"{topic}/new"]
    with device(broker.port) as source:
        async with watching(ours, [f"{topic}/new"], previous_filters=agent.remembered) as agent:
            source.publish(f"{topic}/old", "no")
            source.publish(f"{topic}/new", "yes")
            await until(lambda: agent.fresh)
            assert agent.payloads == [b"yes"]
            assert agent.remembered == [f"{topic}/new"]


async def test_retained_telemetry_says_so(broker: Mosquitto, ours: Broker, topic: str) -> None:
    with device(broker.port) as source:
        source.publish(topic, "old", retain=True)
        async with watching(ours, [topic]) as agent:
            source.publish(topic, "new", retain=True)
            await until(lambda: len(agent.fresh) == 2)
        assert [(m.payload, m.retained) for m in agent.fresh] == [(b"old", True), (b"new", False)]
        async with watching(ours, [topic]) as agent:
            source.publish(topic, "live")
            await until(lambda: b"live" in agent.payloads)
        again = [m for m in agent.fresh if m.payload != b"live"]
        # MQTT 3.1.1 cannot ask not to be sent them again; marked they are never scored
        assert all(m.retained for m in again) if ours.protocol == "3.1.1" else again == []
        source.publish(topic, "", retain=True)


async def test_our_own_topics_never_come_out_even_under_everything(broker: Mosquitto, ours: Broker, topic: str) -> None:
    with device(broker.port) as other:
        other.publish("vedette/gw/pump/alert/anomaly", "{}", retain=True)
        other.publish("vedette/other/status", "{}", retain=True)
        other.publish("vedette/other/pump/alert/anomaly", "{}", retain=True)
        async with watching(ours, ["#"]) as agent:
            await agent.telemetry.connection.publish("vedette/gw/status", b"{}", retain=True)
            await agent.telemetry.connection.publish("vedette/gw/x/alert/anomaly", b"{}")
            other.publish("vedette/gw/y/alert/anomaly", "{}")
            other.publish(topic, "reading")
            await until(lambda: agent.fresh)
        assert agent.payloads == [b"reading"]
        assert set(agent.retained_alerts) == {"vedette/gw/pump/alert/anomaly"}, "only alerts of this gateway"
        for left in ("gw/pump/alert/anomaly", "gw/status", "other/status", "other/pump/alert/anomaly"):
            other.publish(f"vedette/{left}", "", retain=True)
        async with watching(ours, ["#"]) as agent:
            other.publish(topic, "acknowledged")
            await until(lambda: agent.fresh)
        assert agent.payloads == [b"acknowledged"], "own messages do not stay in the session"


async def test_a_slow_consumer_bounds_memory_and_loses_nothing(broker: Mosquitto, protocol: str) -> None:
    ours = broker_of(broker.url, protocol=protocol, client_id=uuid.uuid4().hex, receive_maximum=1000)
    topic = f"plant/{uuid.uuid4().hex}"
    most = 0
    with device(broker.port) as source:
        async with watching(ours, [topic], batch=50) as agent:
            agent.gate.clear()
            for i in range(3000):
                source.send(topic, str(i))
            source.publish(topic, "3000")
            await until(lambda: agent.telemetry.last_arrival)
            for i in range(60):  # a consumer that takes one batch and pauses
                agent.gate.set()
                await until(partial(one_more, agent, i))
                agent.gate.clear()
                most = max(most, len(agent.telemetry._waiting))
            agent.gate.set()
            await until(lambda: len(agent.fresh) == 3001, f"{len(agent.fresh)} of 3001")
    assert agent.payloads == [str(i).encode() for i in range(3001)]
    assert most < 2000, "about what the broker may send ahead; Mosquitto 2.0.11 sends a few more"


async def test_large_messages_that_wait_are_bounded_in_bytes_and_so_is_a_batch(broker: Mosquitto, topic: str) -> None:
    large = bytes(200_000)
    ours = broker_of(broker.url, client_id=uuid.uuid4().hex)  # in 3.1.1, Mosquitto sends no more than 20 ahead
    async with watching(ours, [topic]) as agent:
        agent.gate.clear()  # a disk that does not take a commit
        with device(broker.port) as source:
            for _ in range(100):
                source.send(topic, large)
            await until(lambda: agent.telemetry.connection._paused, "it stops reading")
            await asyncio.sleep(0)
            most = sum(len(message.payload) for message in agent.telemetry._waiting)
            assert most < WAITING_BYTES + 512 * 1024
            agent.gate.set()
            await until(lambda: len(agent.fresh) == 100, f"{len(agent.fresh)} of 100")
            assert max(sum(len(m.payload) for m in batch.messages) for batch in agent.batches) <= BATCH_BYTES
            source.publish(topic, bytes(BATCH_BYTES // 4))
            await until(lambda: len(agent.fresh) == 101)


async def test_a_flood_without_acknowledgements_is_bounded_too_and_leaves_others_their_turn(
    broker: Mosquitto, ours: Broker, topic: str
) -> None:
    most = turns = 0
    with device(broker.port) as source:
        async with watching(ours, [topic], batch=10) as agent:
            agent.gate.clear()
            for i in range(5_000):
                source.send(topic, str(i), qos=0)
            source.publish(topic, "last")
            await until(lambda: agent.telemetry._waiting)
            agent.gate.set()
            while len(agent.fresh) < 5_001:
                most = max(most, len(agent.telemetry._waiting))
                turns += 1
                await asyncio.sleep(0)
    assert most < 5_000
    assert turns > 100, "the event loop turns between batches"
    assert agent.payloads[-1] == b"last"


def all_there(agent: Watching, count: int) -> bool:
    return len(agent.fresh) == count


def one_more(agent: Watching, batches: int) -> bool:
    return len(agent.batches) > batches or len(agent.fresh) > 3000


@pytest.fixture
async def offline() -> Telemetry:
    """A telemetry whose broker says what the test makes it say."""
    return Telemetry(
        broker_of("mqtt://127.0.0.1:1", receive_maximum=4),
        ["plant/#"],
        settled=[SettledKey(7, digest(Message("plant/x", b"21.5")))],
        will=Will("w", b""),
        alerts_filter=ALERTS,
        on_connected=lambda: None,
        on_retained_alert=lambda _topic: None,
        remember_filters=lambda _filters: None,
    )


async def next_batch(telemetry: Telemetry, *messages: Message) -> tuple[list[Message], list[Message]]:
    for message in messages:
        telemetry.received(message)
    telemetry.drained()
    async for batch in telemetry:
        batch.acknowledge()
        return batch.messages, batch.duplicates
    raise AssertionError


async def test_only_the_same_content_under_the_same_id_marked_as_sent_before_is_settled(offline: Telemetry) -> None:
    same = Message("plant/x", b"21.5", 7, duplicate=True)
    others = [
        same._replace(duplicate=False),
        same._replace(payload=b"21.6"),
        same._replace(topic="plant/y"),
        same._replace(packet_id=8),
    ]
    for other in others[1:]:
        assert (await next_batch(offline, other))[1] == []
    assert (await next_batch(offline, same)) == ([], [same]) or others
    assert (await next_batch(offline, others[0])) == ([others[0]], [])


async def test_a_key_of_an_earlier_run_ends_with_the_next_message_of_its_id(offline: Telemetry) -> None:
    await next_batch(offline, Message("plant/x", b"new", 7))
    for i in range(20, 40):  # more than is remembered of this run
        await next_batch(offline, Message("plant/x", b"more", i))
    again = Message("plant/x", b"21.5", 7, duplicate=True)
    assert await next_batch(offline, again) == ([again], [])


async def test_what_waits_when_the_session_is_gone_is_processed_and_not_acknowledged(offline: Telemetry) -> None:
    offline.received(Message("plant/x", b"1", 5))
    offline.connected(session_present=False)
    messages, _ = await next_batch(offline)
    assert messages == [Message("plant/x", b"1", 0)]


async def test_what_waits_when_the_session_was_kept_comes_again(offline: Telemetry) -> None:
    offline.received(Message("plant/x", b"1", 5))
    offline.received(Message("plant/x", b"without acknowledgement"))
    offline.connected(session_present=True)
    again = Message("plant/x", b"1", 5, duplicate=True)
    messages, duplicates = await next_batch(offline, again)
    assert messages == [Message("plant/x", b"without acknowledgement"), again]
    assert duplicates == []
