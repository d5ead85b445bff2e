"""Backlog: what waits to be sent to one client, bounded; who reads too slowly is told how much they missed. Pure."""

from __future__ import annotations

from vedette_hub.live.frames import frame

MAX_BYTES = 512 * 1024


class Backlog:
    """Frames in order; at most `limit` of them, and MAX_BYTES, until they are taken."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: list[bytes] = []
        self._bytes = 0
        self._missed = 0
        self.missed_in_all = 0

    def __bool__(self) -> bool:
        return bool(self._frames or self._missed)

    def add(self, message: bytes) -> None:
        """Add a frame; when there is no room, it and those after it are counted instead, until the backlog is taken.

        So what is missing is missing in one place, where the client is told of it.
        """
        if self._missed or len(self._frames) >= self._limit or self._bytes + len(message) > MAX_BYTES:
            self.miss(1)
            return
        self._frames.append(message)
        self._bytes += len(message)

    def miss(self, count: int) -> None:
        """Count messages that this client does not get."""
        self._missed += count
        self.missed_in_all += count

    def take(self) -> bytes:
        """Everything that waits, to be sent; at its end how much is missing, if anything is."""
        frames, missed = self._frames, self._missed
        self._frames, self._bytes, self._missed = [], 0, 0
        if missed:
            frames.append(frame("missed", {"count": missed}))
        return b"".join(frames)
