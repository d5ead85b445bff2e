"""Where rates are counted: the memory of this process, for so many keys at most."""

from __future__ import annotations

import threading
import time

from limits.storage import MemoryStorage

MOST_KEYS = 20_000
"""Keys counted at a time. One more forgets those whose time is over, then those whose time is over soonest."""


class BoundedMemory(MemoryStorage):
    """Counters of fixed windows, which all threads of a process share; another process counts for itself.

    With several web workers each of them would allow as much as the limits say; the hub runs one.
    """

    STORAGE_SCHEME = ["vedette"]  # noqa: RUF012  # as the base declares it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        self._guard = threading.Lock()
        super().__init__(uri, wrap_exceptions, **options)

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count up, and say how far; the window begins with the first count."""
        with self._guard:
            now = time.time()
            if self.expirations.get(key, 0.0) <= now:
                self.clear(key)
                if len(self.expirations) >= MOST_KEYS:
                    self._make_room(now)
                self.expirations[key] = now + expiry
            self.storage[key] += amount
            return self.storage[key]

    def _make_room(self, now: float) -> None:
        gone = [key for key, end in self.expirations.items() if end <= now]
        if not gone:
            soonest = sorted(self.expirations, key=self.expirations.__getitem__)
            gone = soonest[: MOST_KEYS // 10]
        for key in gone:
            self.clear(key)
