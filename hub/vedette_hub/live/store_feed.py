"""StoreFeed: what sockets need of the store, in a thread of its own that sleeps while nobody wants anything.

While somebody listens to alerts it looks every POLL_SECONDS for those that have changed, in the order in which that was
committed, so that none is told twice or left out.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.api.answers import alert_answer
from vedette_hub.live.client_messages import channels_of
from vedette_hub.live.frames import frame
from vedette_hub.store.alert_rows import StoredAlert
from vedette_hub.store.alerts import alerts_changed, last_change
from vedette_hub.store.database import describe, reading

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
RETRY_SECONDS = 2.0
BATCH = 250
"""Alerts read at once; also the most that a client is told of from before it subscribed."""

Told = tuple[frozenset[str], bytes]
"""A frame, and the channels it belongs to."""


class CaughtUp(NamedTuple):
    """What somebody who begins to listen is told first."""

    change: int
    """The newest change so far; what comes after it is told as it comes."""
    told: list[Told]
    missed: int
    """Changes that were too many to tell."""


class StoreFeed:
    """Follows changes of alerts for as long as `listen` has been called more often than `leave`."""

    def __init__(
        self, engine: Engine, changed: Callable[[Sequence[Told]], None], *, uptime: Callable[[], float] = time.monotonic
    ) -> None:
        """`changed` is given what has changed, from the thread of this feed."""
        self._engine, self._changed, self._uptime = engine, changed, uptime
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._listeners: set[int] = set()
        self._cursor = 0
        self._due = 0.0
        self._problem = ""
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self, question: Callable[[], None]) -> None:
        """Run a function in the thread of this feed, where it may wait for the store."""
        self._asked.put(question)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alert feed", daemon=True)
                self._thread.start()

    def listen(self, number: int, after: int | None) -> CaughtUp:
        """Begin to listen; in the thread of this feed (`ask`), so that nothing is told twice or left out.

        Raises:
            SQLAlchemyError: the store does not answer; nobody listens then.
        """
        with reading(self._engine) as connection:
            if not self._listeners:
                self._cursor = last_change(connection)
            caught_up = self._catch_up(connection, after)
        self._listeners.add(number)
        return caught_up

    def leave(self, number: int) -> None:
        """Listen no more."""
        self.ask(lambda: self._listeners.discard(number))

    def _catch_up(self, connection: Connection, after: int | None) -> CaughtUp:
        if after is None or after >= self._cursor:
            return CaughtUp(self._cursor, [], 0)
        found = [one for one in alerts_changed(connection, after, limit=BATCH + 1) if one.changed <= self._cursor]
        if len(found) > BATCH:
            return CaughtUp(self._cursor, [], self._cursor - after)
        return CaughtUp(self._cursor, [_told(one) for one in found], 0)

    def _run(self) -> None:
        while True:
            wait = max(0.0, self._due - self._uptime()) if self._listeners else None
            try:
                question = self._asked.get(timeout=wait)
            except queue.Empty:
                question = self._follow
            try:
                question()
            except SQLAlchemyError as error:
                self._report(describe(error))
                self._due = self._uptime() + RETRY_SECONDS
            except Exception:
                logger.exception("alert feed: unexpected error; please report this")
                self._due = self._uptime() + RETRY_SECONDS

    def _follow(self) -> None:
        """Tell what has changed since the last time."""
        self._due = self._uptime() + POLL_SECONDS
        with reading(self._engine) as connection:
            found = alerts_changed(connection, self._cursor, limit=BATCH)
        self._report("")
        if found:
            self._cursor = found[-1].changed
            self._changed([_told(one) for one in found])
        if len(found) == BATCH:
            self._due = 0.0

    def _report(self, problem: str) -> None:
        if problem and problem != self._problem:
            logger.error("alert feed: the store does not answer: %s; it is asked again", problem)
        self._problem = problem


def _told(stored: StoredAlert) -> Told:
    data = {"alert": alert_answer(stored), "change": stored.changed}
    return channels_of(stored.record.event.severity), frame("alert", data)
