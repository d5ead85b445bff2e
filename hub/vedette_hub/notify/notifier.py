"""The notifier: follows alerts, and delivers what is queued, for each channel one message after the other.

What is being sent is marked in the store before, and its outcome after. Told to stop, it waits for what is under way
and writes down what came of it, so that nothing is sent twice or left out. After `kill -9` what was under way is sent
again, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.config import Config
from vedette_hub.notify import follow, kinds, retrying, webhook
from vedette_hub.notify.errors import DeliveryError, SettingsError
from vedette_hub.notify.mqtt_link import MqttLink
from vedette_hub.notify.retrying import Breaker
from vedette_hub.notify.sealing import Seal, SealError
from vedette_hub.notify.sender import THREADS, Sender
from vedette_hub.store import deliveries, told
from vedette_hub.store.channels import Channel, list_channels, note_failure, note_sent
from vedette_hub.store.database import describe, reading, writing
from vedette_hub.store.deliveries import Delivery
from vedette_hub.tracing import span

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
RETRY_SECONDS = 5.0
STOP_SECONDS = 25.0
"""How long a stopping hub waits for what is under way."""
TIDY_SECONDS = 30.0
HOUR = 3_600.0
MOST_HELD_SECONDS = 9 * 86_400.0
"""Nothing is held back for longer: the longest cooldown is a week, the longest way to a route's hours eight days."""

_T = TypeVar("_T")


class Notifier:
    """Tells people of alerts until it is cancelled."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        seal: Seal,
        link: MqttLink,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = config.notify
        self._origin = config.web.origins[0] if config.web.origins else ""
        self._engine = engine
        self._seal = seal
        self._clock = clock
        self._sender = Sender(config.notify, link, clock)
        self._under_way: dict[int, asyncio.Task[None]] = {}
        """By number of the channel."""
        self._wake = asyncio.Event()
        self._tidied = 0.0

    async def run(self) -> None:
        """Run until cancelled; a database that does not answer is tried again for ever."""
        try:
            await self._until_it_works(self._begin)
            while True:
                try:
                    more = await self._step()
                except SQLAlchemyError as error:
                    logger.warning("notify: the database does not answer: %s", describe(error))
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                except Exception:
                    # Ours to mend, and no reason for anything else to stop.
                    logger.exception("notify: unexpected error; next try in %.0f s", RETRY_SECONDS)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if not more:
                    await self._pause()
        finally:
            await self._finish()

    async def _step(self) -> bool:
        """Follow alerts a little, and begin to send what is due; whether there is more to follow at once."""
        followed = await asyncio.to_thread(follow.step, self._engine, self._clock(), origin=self._origin)
        await self._tidy()
        self._wake.clear()
        waiting = await asyncio.to_thread(self._waiting)
        random.shuffle(waiting)  # where there are more than may be sent through at once, all have their turn
        for number in waiting:
            if len(self._under_way) >= THREADS:
                break
            if number not in self._under_way:
                self._under_way[number] = asyncio.create_task(self._deliver(number), name=f"channel {number}")
        return followed.more

    async def _pause(self) -> None:
        # Not asyncio.wait_for: up to Python 3.11 it swallows the order to stop when both come at once.
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    async def _finish(self) -> None:
        """Wait for what is under way, also when told to stop once more: by somebody else who failed while stopping."""
        ending = asyncio.ensure_future(self._end())
        while not ending.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(ending)

    async def _end(self) -> None:
        try:
            if self._under_way:
                await asyncio.wait(self._under_way.values(), timeout=STOP_SECONDS)
        finally:
            await asyncio.to_thread(self._sender.close)

    async def _deliver(self, number: int) -> None:
        """Send the next message of a channel, if there is one."""
        claimed = None
        try:
            claimed = await asyncio.to_thread(self._claim, number)
            if claimed is not None:
                await self._send(*claimed)
        except SQLAlchemyError as error:
            logger.warning("notify: the database does not answer: %s", describe(error))
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            logger.exception("notify: unexpected error while a message was sent")
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._under_way.pop(number, None)
            # Without a message, what is due waits for an older one about the same alert: there is no hurry.
            if claimed is not None:
                self._wake.set()

    async def _send(self, channel: Channel, delivery: Delivery) -> None:
        try:
            with span("notify.deliver", channel=channel.name, kind=channel.kind, cause=delivery.cause):
                secrets = self._seal.open(channel.sealed)
                # What was allowed when it was set up may not be any more: that is for the sender to say.
                settings = kinds.parse(kinds.parse_kind(channel.kind), channel.settings | secrets, allow_http=True)
                detail = await self._sender.send(settings, delivery.id, delivery.message)
        except DeliveryError as error:
            problem = error
        except (SealError, SettingsError) as error:
            problem = DeliveryError(str(error))
        except Exception as error:
            # Ours to mend; the message must not stay marked as being sent for that.
            logger.exception("notify: channel %r: message %s: unexpected error", channel.name, delivery.id)
            problem = DeliveryError(f"unexpected error: {type(error).__name__}; the hub's log says more")
        else:
            await self._until_it_works(lambda: self._sent(channel, delivery, detail))
            return
        await self._until_it_works(lambda: self._failed(channel, delivery, problem))

    def _begin(self) -> None:
        with writing(self._engine) as connection:
            if again := deliveries.put_back_interrupted(connection, self._clock()):
                logger.warning("notify: %d messages were under way when the hub was killed; they are sent again", again)

    def _waiting(self) -> list[int]:
        with reading(self._engine) as connection:
            return deliveries.waiting_channels(connection, self._clock())

    def _claim(self, number: int) -> tuple[Channel, Delivery] | None:
        with writing(self._engine) as connection:
            delivery = deliveries.claim(connection, number, self._clock())
            if delivery is None:
                return None
            # As it is now: it may have been changed while the message waited.
            channel = next((one for one in list_channels(connection) if one.number == number), None)
            return None if channel is None else (channel, delivery)

    def _sent(self, channel: Channel, delivery: Delivery, detail: str) -> None:
        now = self._clock()
        with writing(self._engine) as connection:
            deliveries.finish(connection, delivery.number, "sent", detail, now)
            note_sent(connection, channel.number, now)
        logger.debug("notify: %s through channel %r: %s", delivery.id, channel.name, detail)

    def _failed(self, channel: Channel, delivery: Delivery, problem: DeliveryError) -> None:
        now = self._clock()
        before = Breaker(channel.failures, channel.open_until)
        # Somebody waits for the result of a test: it is tried once, and says nothing of how messages fare.
        is_test = delivery.cause == "test"
        breaker = before if is_test else before.after_failure(now)
        given_up = problem.permanent or is_test
        chance = random.random()  # noqa: S311  # spreads tries, hides nothing
        pause = retrying.wait(delivery.tries, self._settings.retry_first, self._settings.retry_longest, chance)
        pause = max(pause, problem.retry_after or 0.0)
        with writing(self._engine) as connection:
            if given_up:
                deliveries.finish(connection, delivery.number, "failed", str(problem), now)
            else:
                deliveries.put_back(connection, delivery.number, now + pause, str(problem))
            note_failure(
                connection,
                channel.number,
                now,
                failures=breaker.failures,
                open_until=breaker.open_until,
                error=str(problem),
                given_up=given_up and not is_test,
            )
        outcome = "it is given up" if given_up else f"next try in {pause:.0f} s"
        logger.warning("notify: channel %r: message %s: %s; %s", channel.name, delivery.id, problem, outcome)
        if breaker.is_open(now) and not is_test:
            rest = breaker.open_until - now
            logger.error("notify: channel %r failed %d times in a row; it rests for %.0f s",
                         channel.name, breaker.failures, rest)  # fmt: skip

    async def _tidy(self) -> None:
        now = self._clock()
        if now - self._tidied < TIDY_SECONDS:
            return
        self._tidied = now
        await asyncio.to_thread(self._give_up, now)
        await asyncio.to_thread(self._sender.end_idle)

    def _give_up(self, now: float) -> None:
        oldest = now - HOUR * self._settings.give_up_hours
        furthest = now + max(1.2 * self._settings.retry_longest, webhook.LONGEST_WAIT)
        with writing(self._engine) as connection:
            deliveries.bring_back(connection, now, furthest, now + retrying.BREAK_LONGEST)
            told.bring_back(connection, now, now + MOST_HELD_SECONDS)
            gone = deliveries.give_up_before(connection, oldest, now)
        if gone:
            hours = self._settings.give_up_hours
            logger.error("notify: %d messages given up, not delivered within %g h", sum(gone.values()), hours)

    async def _until_it_works(self, function: Callable[[], _T]) -> _T:
        while True:
            try:
                return await asyncio.to_thread(function)
            except SQLAlchemyError as error:
                logger.warning("notify: the database does not answer: %s", describe(error))
                await asyncio.sleep(RETRY_SECONDS)
