"""A clock that a test sets."""

from __future__ import annotations

import time

from vedette_agent.clock import Clock


class SetClock(Clock):
    """Runs as the real one does, from the time it was given."""

    def __init__(self, now: float, steered: bool | None = True) -> None:
        self._asleep = 0.0
        self._steered = steered
        self._offset = now - self.uptime()

    def now(self) -> float:
        return self.uptime() + self._offset

    def uptime(self) -> float:
        return time.monotonic() + self._asleep

    def steered(self) -> bool | None:
        return self._steered

    def set(self, now: float, steered: bool | None = True) -> None:
        """What a time server or a person does."""
        self._offset, self._steered = now - self.uptime(), steered

    def sleep(self, seconds: float) -> None:
        """What a suspend does."""
        self._asleep += seconds
