"""The publisher: what has been ordered goes to the broker, artefact first, manifest after the artefact's PUBACK.

It shares ingest's connection, and learns from the database what is due: whoever orders only writes there, in the web
server or on the command line. What it has done it notes there too, so that `kill -9` at any point loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

import aiomqtt
from nacl.signing import SigningKey
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.fleet.issue import issue
from vedette_hub.learning import registry
from vedette_hub.store import rollout as store
from vedette_hub.store.database import describe, reading, writing
from vedette_models import topics
from vedette_models.keys import key_id

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
RETRY_FIRST, RETRY_LONGEST = 1.0, 60.0
PUBLISH_SECONDS = 60.0
"""How long the broker may take to acknowledge; an artefact over a slow line takes a while."""
BREAK_FIRST, BREAK_LONGEST = 5.0, 600.0
"""Seconds an artefact that has cost the connection waits; a broker that refuses its size must not cost us ingest."""
BATCH = 200
"""Manifests on their way at the same time."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Break:
    """An artefact during whose publication the connection ended."""

    until: float
    """Not to be tried again before this time of the monotonic clock."""
    wait: float


class Publisher:
    """Publishes manifests and artefacts; without a signing key only those that are signed already."""

    def __init__(
        self,
        engine: Engine,
        key: SigningKey | None,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._key = key
        self._clock, self._uptime = clock, uptime
        self._broke: dict[str, _Break] = {}

    async def run(self, client: aiomqtt.Client) -> None:
        """Publish over this connection until cancelled: at first everything, then what becomes due."""
        wait = RETRY_FIRST
        begun = False
        while True:
            try:
                if not begun:
                    await asyncio.to_thread(self._begin)
                    begun = True
                await self._publish_due(client)
            except (aiomqtt.MqttError, SQLAlchemyError, OSError) as error:
                # A broken connection is ingest's to report and to make again.
                logger.warning("publisher: %s; next try in %.0f s", describe(error), wait)
            except Exception:
                # Ours to mend, and no reason for ingest to stop.
                logger.exception("publisher: unexpected error; next try in %.0f s", wait)
            else:
                wait = RETRY_FIRST
                await asyncio.sleep(POLL_SECONDS)
                continue
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_LONGEST)

    async def _publish_due(self, client: aiomqtt.Client) -> None:
        due = await self._read(store.work_due)
        if due.sign:
            await asyncio.to_thread(self._sign_again)
            due = await self._read(store.work_due)
        for sha256 in due.artifacts:
            if sha256 not in self._broke or self._broke[sha256].until <= self._uptime():
                await self._publish_artifact(client, sha256)
        if due.manifests:
            await self._publish_manifests(client)
        # A manifest that is still to come may replace one that refers to these.
        elif due.unused:
            await self._clear_artifacts(client)

    async def _publish_artifact(self, client: aiomqtt.Client, sha256: str) -> None:
        data = await self._read(registry.artifact, sha256)
        if data is None:
            logger.error("publisher: artefact %s is not in the registry; what refers to it is held back", sha256)
            await self._write(store.artifact_published, sha256, None)
            return
        try:
            await client.publish(topics.artifact(sha256), data, qos=1, retain=True, timeout=PUBLISH_SECONDS)
        except (aiomqtt.MqttError, asyncio.CancelledError):
            last = self._broke.get(sha256)
            wait = BREAK_FIRST if last is None else min(2 * last.wait, BREAK_LONGEST)
            self._broke[sha256] = _Break(self._uptime() + wait, wait)
            if last is not None:
                logger.error(
                    "publisher: the connection ends again while artefact %s is published, %d bytes; does the broker "
                    "take messages of this size (message_size_limit)? next try in %.0f s",
                    sha256,
                    len(data),
                    wait,
                )
            raise
        self._broke.pop(sha256, None)
        await self._write(store.artifact_published, sha256, self._clock())
        logger.info("publisher: artefact %s published, %d bytes", sha256, len(data))

    async def _publish_manifests(self, client: aiomqtt.Client) -> None:
        """Publish those whose artefacts the broker has."""
        published, after = 0, ""
        while names := await self._read(store.due_manifests, "publish", limit=BATCH, after=after):
            ready = await self._read(store.ready_manifests, names)
            await asyncio.gather(
                *(
                    client.publish(
                        topics.gateway_down(name, "desired"), body, qos=1, retain=True, timeout=PUBLISH_SECONDS
                    )
                    for name, (_, body) in ready.items()
                )
            )
            counters = {name: counter for name, (counter, _) in ready.items()}
            await self._write(store.manifests_published, counters, self._clock())
            published += len(ready)
            after = names[-1]
        if published:
            logger.info("publisher: %d manifests published", published)

    async def _clear_artifacts(self, client: aiomqtt.Client) -> None:
        for sha256 in await self._write(store.retire_artifacts):
            await client.publish(topics.artifact(sha256), b"", qos=1, retain=True, timeout=PUBLISH_SECONDS)
            await self._write(store.artifact_cleared, sha256)
            logger.info("publisher: artefact %s cleared, nobody refers to it", sha256)

    def _begin(self) -> None:
        with writing(self._engine) as connection:
            store.publish_everything_again(connection, key_id(self._key.verify_key) if self._key else None)

    def _sign_again(self) -> None:
        with reading(self._engine) as connection:
            names = store.due_manifests(connection, "sign", limit=BATCH)
        if not names:
            return
        if self._key is None:  # what was signed is better than nothing
            with writing(self._engine) as connection:
                store.mark_manifests(connection, dict.fromkeys(names, "publish"))
            return
        with writing(self._engine) as connection:
            issued = issue(connection, self._key, names, self._clock(), again=True)
            store.mark_manifests(connection, dict.fromkeys(issued.failures, ""))
        for name, counter in issued.counters.items():
            logger.info("publisher: gateway %r gets a new manifest, counter %d", name, counter)
        for name, reason in issued.failures.items():
            logger.error("publisher: gateway %r: no manifest can be made: %s", name, reason)

    async def _read(self, query: Callable[Concatenate[Connection, _P], _T], *what: _P.args, **how: _P.kwargs) -> _T:
        def run() -> _T:
            with reading(self._engine) as connection:
                return query(connection, *what, **how)

        return await asyncio.to_thread(run)

    async def _write(self, change: Callable[Concatenate[Connection, _P], _T], *what: _P.args, **how: _P.kwargs) -> _T:
        def run() -> _T:
            with writing(self._engine) as connection:
                return change(connection, *what, **how)

        return await asyncio.to_thread(run)
