"""The notifier delivers what is queued: in order, again after failures, and nothing twice when it is stopped."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt
import pytest
from sqlalchemy import Engine

from tests.brokers import Mosquitto
from tests.hub.notify.receivers import HttpReceiver, http_receiver
from tests.hub.notify.told import SEAL, SETUP, arrive, channel, clear, followed, queued, route
from vedette_hub.config import Config
from vedette_hub.notify import channels, webhook
from vedette_hub.notify.mqtt_link import MqttLink
from vedette_hub.notify.notifier import Notifier
from vedette_hub.notify.retrying import BREAK_AFTER
from vedette_hub.notify.sealing import Seal
from vedette_hub.store import deliveries
from vedette_hub.store.channels import get_channel
from vedette_hub.store.database import reading, writing

SECONDS = 90.0


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        yield made


@pytest.fixture
def ready(engine: Engine, receiver: HttpReceiver) -> Engine:
    """A store that has been followed, with a webhook to the receiver and a route that leads to it."""
    followed(engine)
    channel(engine, "hook", "webhook", url=receiver.url())
    route(engine, "all", "hook")
    return engine


def settings(config: Config, **notify: object) -> Config:
    values = {"allow_networks": ["127.0.0.0/8"], "allow_http": True, "retry_first": 0.05, "timeout": 30.0, **notify}
    return Config.model_validate({**config.model_dump(), "notify": values})


@asynccontextmanager
async def running(
    config: Config, engine: Engine, *, seal: Seal = SEAL, link: MqttLink | None = None, **notify: object
) -> AsyncIterator[asyncio.Task[None]]:
    """A notifier that is told to stop at the end."""
    notifier = Notifier(settings(config, **notify), engine, seal, link or MqttLink())
    task = asyncio.create_task(notifier.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], what: str) -> None:
    """Return when a condition holds; fail when it does not in time."""
    try:
        async with asyncio.timeout(SECONDS):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # a database gives no event to wait for
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {SECONDS} s: {what}") from None


def statuses(engine: Engine) -> list[str]:
    return [one.status for one in queued(engine)]


async def test_what_fails_is_tried_again_in_order_with_the_same_id(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    receiver.answers = [(503, {}), (503, {})]
    arrive(ready, 1)
    followed(ready, time.time())
    clear(ready, 1)
    async with running(config, ready):
        await until(lambda: statuses(ready) == ["sent", "sent"], "both are sent")
    types = [request.json["type"] for request in receiver.requests]
    assert types == ["alert.opened"] * 3 + ["alert.cleared"], "what cleared waits for what opened"
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 2
    first = queued(ready)[0]
    assert (first.tries, first.detail) == (3, "answered 200")
    with reading(ready) as connection:
        hook = get_channel(connection, "hook")
    assert (hook.sent, hook.failed, hook.failures, hook.last_error) == (2, 0, 0, "")


async def test_what_will_never_be_taken_is_given_up_and_can_be_tried_again_by_hand(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    receiver.answers = [(422, {})]
    arrive(ready, 1)
    async with running(config, ready):
        await until(lambda: statuses(ready) == ["failed"], "it is given up")
        (given_up,) = queued(ready)
        assert (given_up.tries, given_up.detail) == (1, "answered 422: ok")
        with writing(ready) as connection:
            deliveries.try_again(connection, given_up.number, 2_000_000_000.0 - 1)
            deliveries.put_back(connection, given_up.number, 0.0, "")
        await until(lambda: statuses(ready) == ["sent"], "it is sent")
    with reading(ready) as connection, pytest.raises(deliveries.DeliveryStateError, match="is sent"):
        deliveries.try_again(connection, given_up.number, 3.0)


async def test_a_channel_that_fails_again_and_again_rests_and_a_test_goes_through_all_the_same(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    receiver.answers = [(500, {})] * BREAK_AFTER
    arrive(ready, 1)
    arrive(ready, 2)
    async with running(config, ready, retry_longest=0.1):

        def rests() -> bool:
            with reading(ready) as connection:
                return get_channel(connection, "hook").open_until > 0

        await until(rests, "the channel rests")
        assert len(receiver.requests) == BREAK_AFTER
        with writing(ready) as connection:
            number = channels.queue_test(connection, "hook", now=1.0, by="ana")
        await until(lambda: queued(ready)[-1].status == "sent", "the test is sent")
        assert receiver.requests[-1].json["type"] == "alert.test"
        assert queued(ready)[-1].number == number
        # It works again, as the test has shown: what waited goes out.
        await until(lambda: statuses(ready) == ["sent"] * 3, "all are sent")


async def test_a_channel_that_hangs_holds_up_no_other_one(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    receiver.gate.clear()
    with http_receiver() as other:
        channel(ready, "other", "webhook", url=other.url())
        route(ready, "also", "other")
        arrive(ready, 1)
        async with running(config, ready):
            await until(lambda: receiver.requests, "one hangs")
            await until(lambda: other.requests, "the other one has it")
            receiver.gate.set()


async def test_told_to_stop_it_waits_for_what_is_under_way_and_sends_nothing_twice(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    receiver.gate.clear()
    arrive(ready, 1)
    arrive(ready, 2)
    async with running(config, ready) as task:
        await until(lambda: receiver.requests, "the first is under way")
        task.cancel()
        await asyncio.wait([task], timeout=0.2)
        assert not task.done()
        receiver.gate.set()
    assert sorted(statuses(ready)) == ["queued", "sent"]
    async with running(config, ready):
        await until(lambda: statuses(ready) == ["sent", "sent"], "the rest is sent")
    assert sorted(request.json["data"]["id"] for request in receiver.requests) == ["a-1", "a-2"]


async def test_what_was_under_way_when_the_hub_was_killed_is_sent_again_with_the_same_id(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    arrive(ready, 1)
    followed(ready, time.time())
    with writing(ready) as connection:
        claimed = deliveries.claim(connection, queued(ready)[0].channel_number, 1e12)
    assert claimed is not None
    assert claimed.status == "sending"
    async with running(config, ready):
        await until(lambda: statuses(ready) == ["sent"], "it is sent")
    assert [request.headers["webhook-id"] for request in receiver.requests] == [claimed.id]


async def test_what_waits_too_long_is_given_up(config: Config, ready: Engine, receiver: HttpReceiver) -> None:
    receiver.answers = [(500, {})] * 1000
    arrive(ready, 1)
    followed(ready, 1.0)
    async with running(config, ready, give_up_hours=1.0):
        await until(lambda: statuses(ready) == ["failed"], "it is given up")
    assert queued(ready)[0].detail.startswith("not delivered in time")


async def test_after_the_clock_has_been_set_back_nothing_waits_for_a_far_day(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    arrive(ready, 1)
    far = time.time() + 10 * 365 * 86_400.0
    followed(ready, far)
    with writing(ready) as connection:
        deliveries.put_back(connection, queued(ready)[0].number, far, "")
    async with running(config, ready):
        await until(lambda: statuses(ready) == ["sent"], "it is sent")
    assert len(receiver.requests) == 1


async def test_an_error_of_our_own_leaves_no_message_marked_as_being_sent(
    config: Config, ready: Engine, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = webhook.signature, []

    def fail_once(*arguments: Any) -> str:
        calls.append(arguments)
        if len(calls) == 1:
            raise ZeroDivisionError
        return usual(*arguments)

    monkeypatch.setattr(webhook, "signature", fail_once)
    arrive(ready, 1)
    async with running(config, ready):
        await until(lambda: statuses(ready) == ["sent"], "it is sent")
    assert (len(calls), len(receiver.requests)) == (2, 1)


async def test_secrets_of_another_key_are_a_failure_in_words_and_no_crash(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    arrive(ready, 1)
    async with running(config, ready, seal=Seal(b"x" * 32)):
        await until(lambda: "channel-key" in queued(ready)[0].detail if queued(ready) else False, "it says why")
    assert receiver.requests == []


async def test_a_private_address_is_refused_at_every_try_as_the_settings_are_now(
    config: Config, ready: Engine, receiver: HttpReceiver
) -> None:
    arrive(ready, 1)
    async with running(config, ready, allow_networks=[]):
        await until(lambda: "notify.allow_networks" in queued(ready)[0].detail if queued(ready) else False, "refused")
    assert receiver.requests == []


async def test_channels_log_and_mqtt(
    config: Config, engine: Engine, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    followed(engine)
    channel(engine, "log", level="error")
    channel(engine, "bus", "mqtt")
    route(engine, "all", "log", "bus")
    arrive(engine, 1)
    link = MqttLink()
    with caplog.at_level(logging.INFO, logger="vedette_hub.alerts"):
        async with running(config, engine, link=link, retry_longest=0.1):
            await until(
                lambda: "no connection" in {one.channel: one.detail for one in queued(engine)}.get("bus", ""), ""
            )
            async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
                await client.subscribe("vedette/v1/alerts", qos=1)
                task = asyncio.create_task(link.run(client))
                message = await asyncio.wait_for(anext(client.messages), SECONDS)
                await until(lambda: statuses(engine) == ["sent", "sent"], "both are sent")
                task.cancel()
    assert isinstance(message.payload, bytes)
    body = json.loads(message.payload)
    assert (body["type"], body["data"]["id"]) == ("alert.opened", "a-1")
    assert body["id"] in {one.id for one in queued(engine)}
    (record,) = [one for one in caplog.records if one.name == "vedette_hub.alerts"]
    assert (record.levelname, record.getMessage()[:33]) == ("ERROR", "[medium] pump-1: anomaly: vibrati")


def test_a_secret_stays_out_of_the_database_file_and_of_answers(config: Config, engine: Engine) -> None:
    with writing(engine) as connection:
        made = channels.add_channel(
            connection, SETUP, "hook", "webhook", {"url": "https://h.example/TOPSECRETPATH"}, now=1.0, by="ana"
        )
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    for path in config.state_dir.glob("hub.db*"):
        data = path.read_bytes()
        assert b"TOPSECRETPATH" not in data
        assert made.secret.encode() not in data
