"""Samples: what the reservoirs hold, packed for the hub within a budget of bytes. Pure: time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vedette_models.messages import SampleBatch, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROW_BYTES = 48 * 1024
"""A row of the outbox holds about so much."""
DAY = 86_400.0
BURST = 0.25
"""Share of a day's bytes that may go at once."""


class Budget:
    """Token bucket of bytes: full at first, refilled evenly over the day."""

    def __init__(self, bytes_per_day: int, now: float) -> None:
        self._per_second = bytes_per_day / DAY
        self._most = bytes_per_day * BURST
        self._left, self._time = self._most, now

    def take(self, size: int, now: float) -> bool:
        """Spend so many bytes, if there are as many."""
        self._left = min(self._most, self._left + max(0.0, now - self._time) * self._per_second)
        self._time = now
        if size > self._left:
            return False
        self._left -= size
        return True


def pack(profile: str, channels: tuple[str, ...], segments: Sequence[Segment], time: float) -> Iterator[SampleBatch]:
    """Batches of about `ROW_BYTES`; a longer segment stands alone."""
    part: list[Segment] = []
    size = 0
    for segment in segments:
        length = len(msgspec.json.encode(segment))
        if part and size + length > ROW_BYTES:
            yield SampleBatch(profile, channels, tuple(part), time)
            part, size = [], 0
        part.append(segment)
        size += length
    if part:
        yield SampleBatch(profile, channels, tuple(part), time)
