"""Ingest: what gateways publish → one transaction per batch → receipts.

aiomqtt acknowledges to the broker before anything is stored. That loses nothing: a gateway keeps every row until the
hub's receipt, which is published after the commit, and sends again what has none.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiomqtt
import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.config import BrokerSection, LimitsSection
from vedette_hub.fleet import arrivals, broker, commit, ingest_state
from vedette_hub.fleet.broker import ArrivalQueue, payload_bytes
from vedette_hub.fleet.ingest_state import IngestState
from vedette_hub.store import fleet as fleet_store
from vedette_hub.store.database import describe, reading
from vedette_hub.store.retention import prune, refresh_statistics
from vedette_hub.tracing import span
from vedette_models import topics
from vedette_models.messages import Receipt, to_bytes

logger = logging.getLogger(__name__)

BATCH_BYTES = 1024 * 1024
RETRY_FIRST, RETRY_LONGEST = 0.5, 30.0
STANDING_SECONDS = 7 * 86_400.0
"""On connecting, gateways are told again what has been committed of the ledgers that changed since so long ago."""
STANDING_EPOCHS = 2
"""Of so many epochs of each class, the newest; what a gateway sends again of others is receipted then."""
PRUNE_SECONDS = 60.0
HANG_SECONDS = 120.0

_T = TypeVar("_T")


class Ingest:
    """The hub's one connection to the broker."""

    def __init__(
        self,
        settings: BrokerSection,
        limits: LimitsSection,
        engine: Engine,
        state_dir: Path,
        *,
        password: str | None,
        tls: ssl.SSLContext | None,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
        beside: Callable[[aiomqtt.Client], Coroutine[None, None, None]] | None = None,
        live: Callable[[str, bytes], None] | None = None,
    ) -> None:
        """With what is to share the connection, and who is told (gateway, payload) of readings for those who look."""
        self._settings = settings
        self._limits = limits
        self._engine = engine
        self._state_dir = state_dir
        self._password = password
        self._tls = tls
        self._clock, self._uptime = clock, uptime
        self._beside, self._live = beside, live
        self._queue = ArrivalQueue()
        self._state = IngestState()
        # One thread: the store has one writer, and MQTT's keep-alive goes on while the disk is slow.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._busy_since: float | None = None

    def hangs(self) -> bool:
        """Whether the store has not answered for so long that a restart is the only help left."""
        return self._busy_since is not None and self._uptime() - self._busy_since > HANG_SECONDS

    async def run(self) -> None:
        """Ingest until cancelled; connection and database failures are retried for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stay_connected(), name="ingest")
                tasks.create_task(self._heartbeat(), name="ingest heartbeat")
                tasks.create_task(self._prune(), name="retention")
        finally:
            self._say(connected=False, problem="ingest has stopped")
            self._thread.shutdown(wait=True)

    async def _stay_connected(self) -> None:
        wait = RETRY_FIRST
        while True:
            connected_at = None
            try:
                async with broker.new_client(self._settings, self._password, self._tls, self._queue) as client:
                    await self._subscribe(client)
                    connected_at = self._uptime()
                    self._say(connected=True, problem="")
                    logger.info("ingest: connected to %s as %s", self._settings.url, broker.client_id(self._settings))
                    await self._publish(client, await self._in_thread(self._standing_receipts))
                    async with self._company(client):
                        await self._ingest(client)
            except (aiomqtt.MqttError, OSError) as error:
                # A connection that lasted was a good one: begin again with a short wait.
                if connected_at is not None and self._uptime() - connected_at > RETRY_LONGEST:
                    wait = RETRY_FIRST
                cause = error.__cause__ if isinstance(error.__cause__, aiomqtt.MqttError) else error
                problem = broker.explain(cause, self._settings)
                self._say(connected=False, problem=problem)
                logger.error("ingest: %s (next try in %.1f s)", problem, wait)
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_LONGEST)

    @asynccontextmanager
    async def _company(self, client: aiomqtt.Client) -> AsyncIterator[None]:
        """What shares the connection, for as long as it lasts: the broker wants one client for each user."""
        if self._beside is None:
            yield
            return
        task = asyncio.create_task(self._beside(client), name="beside ingest")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        granted = await client.subscribe(topics.UP_ALL, qos=1)
        for code in granted:
            number = code if isinstance(code, int) else code.value
            if number >= 0x80:
                raise aiomqtt.MqttError(f"subscription to {topics.UP_ALL} not authorized ({code})")

    async def _ingest(self, client: aiomqtt.Client) -> None:
        while True:
            batch = await self._next_batch(client)
            self._state = msgspec.structs.replace(self._state, last_message=self._clock())
            with span("ingest.batch", messages=len(batch)):
                receipts = await self._commit(batch)
                await self._publish(client, receipts)

    async def _next_batch(self, client: aiomqtt.Client) -> list[aiomqtt.Message]:
        """What has arrived, at least one message: after the first one it lingers, so that many share a transaction."""
        first = await anext(client.messages)
        if self._queue.qsize() < self._limits.batch_messages:
            await asyncio.sleep(self._limits.linger)
        batch = [first]
        size = len(payload_bytes(first))
        while len(batch) < self._limits.batch_messages and size < BATCH_BYTES and not self._queue.empty():
            message = self._queue.get_nowait()
            batch.append(message)
            size += len(payload_bytes(message))
        return batch

    async def _commit(self, batch: list[aiomqtt.Message]) -> dict[str, list[Receipt]]:
        """Commit a batch; while the database takes nothing, say so and try again."""
        if self._live is not None:
            for message in batch:
                if (gateway := arrivals.live_gateway(message.topic.value)) is not None:
                    self._live(gateway, payload_bytes(message))
        found = [
            arrival
            for message in batch
            for arrival in arrivals.parse(message.topic.value, payload_bytes(message), retained=message.retain)
        ]
        wait = RETRY_FIRST
        failed = False
        began = self._uptime()
        while True:
            try:
                outcome = await self._in_thread(commit.commit, self._engine, found, self._clock(), self._limits)
            except commit.StoreUnavailableError as error:
                failed = True
                problem = f"the database takes nothing: {error}; is the disk full, or another process writing?"
                self._say(connected=True, problem=problem)
                logger.error("ingest: %s Nothing is receipted; next try in %.1f s", problem, wait)
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_LONGEST)
                continue
            self._state = msgspec.structs.replace(
                self._state,
                last_commit=self._clock(),
                batches=self._state.batches + 1,
                commit_seconds=self._state.commit_seconds + self._uptime() - began,
            )
            if failed:
                logger.info("ingest: the database works again")
                self._say(connected=True, problem="")
            if outcome.unparsed:
                logger.warning("ingest: %d messages or rows could not be parsed; they are kept raw", outcome.unparsed)
            logger.debug("ingest: %d messages, %d rows, %d again", len(batch), outcome.rows, outcome.duplicates)
            return outcome.receipts

    async def _publish(self, client: aiomqtt.Client, receipts: dict[str, list[Receipt]]) -> None:
        await asyncio.gather(
            *(
                client.publish(topics.gateway_down(gateway, "receipts"), to_bytes(receipt), qos=1)
                for gateway, each in receipts.items()
                for receipt in each
            )
        )

    def _standing_receipts(self) -> dict[str, list[Receipt]]:
        try:
            with reading(self._engine) as connection:
                ledgers = fleet_store.recent_ledgers(
                    connection, self._clock() - STANDING_SECONDS, epochs=STANDING_EPOCHS
                )
        except SQLAlchemyError as error:
            logger.warning("ingest: no receipts for what was committed before: %s", describe(error))
            return {}
        return commit.standing_receipts(ledgers)

    async def _prune(self) -> None:
        while True:
            try:
                gone = await self._in_thread(prune, self._engine, self._limits, self._clock())
                await self._in_thread(refresh_statistics, self._engine)
            except SQLAlchemyError as error:
                logger.warning("retention: %s", describe(error))
                gone = {}
            if gone:
                logger.info("retention: deleted %s", ", ".join(f"{name} {number}" for name, number in gone.items()))
            await asyncio.sleep(PRUNE_SECONDS if not gone else 1.0)

    async def _heartbeat(self) -> None:
        while True:
            self._say(connected=self._state.connected, problem=self._state.problem)
            await asyncio.sleep(ingest_state.HEARTBEAT_SECONDS)

    async def _in_thread(self, function: Callable[..., _T], *arguments: object) -> _T:
        self._busy_since = self._uptime()
        try:
            # With the context, in which the span is that this belongs to.
            run = contextvars.copy_context().run
            return await asyncio.get_running_loop().run_in_executor(self._thread, run, function, *arguments)
        finally:
            self._busy_since = None

    def _say(self, *, connected: bool, problem: str) -> None:
        used = os.times()
        self._state = msgspec.structs.replace(
            self._state,
            written=self._clock(),
            connected=connected,
            problem=problem,
            dropped=self._queue.dropped,
            waiting=self._queue.qsize(),
            cpu_seconds=used.user + used.system,
            memory_bytes=_resident_bytes(),
        )
        try:
            ingest_state.write(self._state_dir, self._state)
        except OSError as error:
            logger.warning("ingest: cannot write its state for the web workers: %s", error)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
