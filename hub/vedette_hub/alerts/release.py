"""When a silence or a maintenance window ends, alerts that still last are looked at again by whoever tells people.

A gateway has no news of an alert that merely lasts, so that nobody would hear of it otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import time

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.alerts.matching import Matchers
from vedette_hub.store.alerts import renew
from vedette_hub.store.database import describe, insert_new, reading, writing
from vedette_hub.store.maintenance import list_windows
from vedette_hub.store.schema import counters
from vedette_hub.store.silences import silences_ended

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
NOTE_SECONDS = 60.0
"""How often it is written down how far it has come; what ended since is looked at twice after a crash, which does no
harm."""

_RELEASED = "suppressed_until"


def release(engine: Engine, now: float) -> int:
    """Renew the alerts of all silences and windows that have ended since the last call; how many alerts those were."""
    with reading(engine) as connection:
        last = _last(connection)
        if last is not None and last <= now < last + NOTE_SECONDS and not _ended(connection, last, now):
            return 0
    with writing(engine) as connection:
        last = _last(connection)
        # On the first start, and after a clock that was ahead, nothing is known to have ended.
        ended = _ended(connection, last, now) if last is not None and last <= now else []
        insert_new(connection, counters, [{"name": _RELEASED, "value": 0}])
        connection.execute(update(counters).where(counters.c.name == _RELEASED).values(value=int(now)))
        return renew(connection, ended) if ended else 0


def _last(connection: Connection) -> float | None:
    value = connection.execute(select(counters.c.value).where(counters.c.name == _RELEASED)).scalar()
    return None if value is None else float(value)


def _ended(connection: Connection, after: float, until: float) -> list[Matchers]:
    found = [silence.matchers for silence in silences_ended(connection, after, until)]
    return found + [window.matchers for window in list_windows(connection) if window.ended(after, until)]


class Release:
    """`release` every few seconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(self) -> None:
        """Run until cancelled; a database that does not answer is asked again."""
        while True:
            try:
                number = await asyncio.to_thread(release, self._engine, time.time())
            except SQLAlchemyError as error:
                logger.error("what silences held back cannot be looked at again: %s", describe(error))
            else:
                if number:
                    logger.info("%d alerts are still active after a silence or a maintenance window", number)
            await asyncio.sleep(LOOK_SECONDS)
