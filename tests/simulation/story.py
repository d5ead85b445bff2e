"""The story of one seed: what happened when, for whoever wants to know why it ended badly."""

from __future__ import annotations

import logging
from collections.abc import Callable


class Story:
    """Events in order, and what was found to be wrong."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clock: Callable[[], float] = lambda: 0.0
        self.violations: list[str] = []
        self._events: list[tuple[float, str, str, tuple[object, ...]]] = []

    def tell(self, who: str, what: str, *details: object) -> None:
        """Something happened; `what` is filled in with `details` only if somebody reads it."""
        self._events.append((self.clock(), who, what, details))

    def wrong(self, invariant: str, what: str) -> None:
        """An invariant does not hold."""
        self.violations.append(f"{invariant}: {what}")
        self._events.append((self.clock(), "VIOLATION", f"{invariant}: {what}".replace("%", "%%"), ()))

    def __str__(self) -> str:
        lines = [f"{time:9.3f} s  {who:<9} {what % details}" for time, who, what, details in self._events]
        again = f"run it again: python -m tests.simulation {self.seed}"
        return "\n".join([*lines, "", *self.violations, again])


class StoryHandler(logging.Handler):
    """What agent and hub log becomes part of the story."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.story: Story | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.story is not None:
            who = "agent log" if record.name.startswith("vedette_agent") else "hub log"
            arguments = record.args if isinstance(record.args, tuple) else (record.args,)
            self.story.tell(who, str(record.msg), *(arguments or ()))
            if record.exc_info:
                self.story.tell(who, "%s", repr(record.exc_info[1]))
