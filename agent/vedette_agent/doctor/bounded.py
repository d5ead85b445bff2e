"""Calls that end in time, whatever becomes of what they wait for."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from vedette_agent.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Until(NamedTuple):
    """A moment by which everything must have ended, on the clock that nobody sets."""

    moment: float

    @classmethod
    def after(cls, seconds: float) -> Until:
        """So many seconds from now."""
        return cls(SYSTEM.uptime() + seconds)

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, min(at_most, self.moment - SYSTEM.uptime()))

    def sooner(self, seconds: float) -> Until:
        """In so many seconds, but not later than this."""
        return Until(SYSTEM.uptime() + self.left(seconds))


def bounded(call: Callable[[], _T], seconds: float) -> _T:
    """What `call` returns or raises.

    It runs in a thread of its own that is left alone when it takes longer: name lookups and dead disks cannot be
    interrupted, and such a thread does not keep the program from ending.

    Raises:
        TimeoutError: it has not returned in time.
    """
    answer: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer.put((call(), None))
        except BaseException as error:
            answer.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = answer.get(timeout=max(0.001, seconds))
    except queue.Empty:
        raise TimeoutError(f"not within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]  # without an error it is what the call returned
