"""Fetcher: artefacts by their exact hash from the hub's broker. Asking does not wait: what comes wakes the updater.

Other bytes under that name have not come: they are no fault of the model, and the hub publishes the right ones again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.mqtt.transport import NotConnected
from vedette_models import topics
from vedette_models.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vedette_agent.mqtt.connection import Connection

logger = logging.getLogger(__name__)

LONGEST = 3600.0
"""Seconds between two reports that an artefact is missing; they begin with the timeout and double."""


@dataclass
class _Asked:
    wait: float
    due: float
    """When it is missing, by the clock that nobody sets."""
    subscribed: bool = False
    data: bytes | None = None
    problem: str = ""


class Fetcher:
    """Stays subscribed to the artefacts it was asked for until they have come, or are wanted no more."""

    def __init__(self, timeout: float, arrived: Callable[[], None], *, clock: Clock = SYSTEM) -> None:
        """`arrived` is called when something has come; `timeout`: seconds until an artefact counts as missing."""
        self._timeout, self._arrived, self._clock = timeout, arrived, clock
        self._connection: Connection | None = None
        self._asked: dict[str, _Asked] = {}

    def attach(self, connection: Connection) -> None:
        """The hub's connection, once there is one."""
        self._connection = connection

    def connected(self) -> None:
        """A new connection: everything is asked for again."""
        for asked in self._asked.values():
            asked.subscribed = False
            asked.due = self._clock.uptime() + asked.wait

    def received(self, topic: str, payload: bytes) -> bool:
        """A message on the hub's connection: True if it was an artefact, wanted or not."""
        name = topic.rpartition("/")[2]
        if topic != topics.artifact(name):
            return False
        asked = self._asked.get(name)
        if asked is not None and asked.data is None and payload:
            self._look_at(asked, name, payload)
        return True

    def _look_at(self, asked: _Asked, sha256: str, payload: bytes) -> None:
        came = hashlib.sha256(payload).hexdigest()
        if came == sha256:
            asked.data = payload
        else:
            problem = f"{Rejection.WRONG_HASH}: the broker gives other bytes under its name, {came}"
            if problem == asked.problem:
                return
            asked.problem = problem
            if asked.wait == self._timeout:  # told at once, the first time
                asked.due = self._clock.uptime()
        self._arrived()

    async def get(self, sha256: str) -> bytes | None:
        """The bytes with this hash, verified by nobody else yet; None: not yet, it has been asked for."""
        connection = self._connection
        asked = self._asked.get(sha256)
        if asked is None:
            asked = self._asked[sha256] = _Asked(self._timeout, self._clock.uptime() + self._timeout)
        if asked.data is None and not asked.subscribed and connection is not None and connection.up:
            asked.subscribed, asked.problem = True, ""
            try:
                async with asyncio.timeout(self._timeout):
                    await connection.subscribe([topics.artifact(sha256)], retained_always=True)
            except (NotConnected, TimeoutError) as error:
                asked.problem = str(error) or "the broker does not answer"
                logger.warning("artefact %s: %s", sha256, asked.problem)
        return asked.data

    def missing(self, sha256: str) -> str | None:
        """Why an artefact is missing, once at the timeout, then ever less often; while we are away nothing is."""
        asked = self._asked.get(sha256)
        if asked is None or not asked.subscribed or asked.data is not None or self._clock.uptime() < asked.due:
            return None
        if self._connection is None or not self._connection.up:
            return None
        asked.wait = min(2 * asked.wait, LONGEST)
        asked.due = self._clock.uptime() + asked.wait
        asked.subscribed = False  # ask again, in case the broker has lost what we asked
        return asked.problem or f"it has not come within {self._timeout:.0f} s"

    def wait(self) -> float | None:
        """Seconds until an artefact is missing; None: nothing is awaited, or we are away."""
        if self._connection is None or not self._connection.up:
            return None
        due = [asked.due for asked in self._asked.values() if asked.data is None and asked.subscribed]
        return max(0.0, min(due) - self._clock.uptime()) if due else None

    def keep(self, wanted: Collection[str]) -> None:
        """Let go of every other artefact."""
        for sha256 in [name for name in self._asked if name not in wanted]:
            del self._asked[sha256]
            if self._connection is not None:
                self._connection.unsubscribe([topics.artifact(sha256)])
