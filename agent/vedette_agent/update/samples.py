"""Samples: what the reservoirs hold, packed for the hub within a budget of bytes. Pure: time is an argument."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from vedette_models import messages
from vedette_models.messages import SampleBatch, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vedette_agent.reading.reservoir import Reservoir

ROW_BYTES = 48 * 1024
"""A row of the outbox holds about so much at most."""
DAY = 86_400.0
BURST = 0.25
"""Share of a day's bytes that may go at once."""
FRAME_BYTES = 1024
"""What a row takes beside its segments, with some room."""


class Budget:
    """Token bucket of bytes: full at first, refilled evenly over the day."""

    def __init__(self, bytes_per_day: int, now: float) -> None:
        self._per_second = bytes_per_day / DAY
        self._most = bytes_per_day * BURST
        self._left, self._time = self._most, now

    @property
    def row_bytes(self) -> int:
        """How large the segments of a row may be, to fit however small the budget is."""
        return max(1, min(ROW_BYTES, int(self._most) - FRAME_BYTES))

    def take(self, size: int, now: float) -> bool:
        """Spend so many bytes, if there are as many."""
        self._left = min(self._most, self._left + max(0.0, now - self._time) * self._per_second)
        self._time = max(now, self._time)
        if size > self._left:
            return False
        self._left -= size
        return True

    def choose(self, by_profile: Sequence[Iterable[SampleBatch]], now: float) -> list[SampleBatch]:
        """What can be sent now: of each profile in turn one, as long as something fits."""
        turns = zip_longest(*by_profile)
        offered = (batch for turn in turns for batch in turn if batch is not None)
        return [batch for batch in offered if self.take(len(messages.to_bytes(batch)), now)]


def pack(
    profile: str,
    channels: tuple[str, ...],
    segments: Sequence[Segment],
    time: float,
    row_bytes: int = ROW_BYTES,
    *,
    suspect: bool = False,
) -> Iterator[SampleBatch]:
    """Batches whose segments take at most `row_bytes`; a longer segment is cut, down to single readings."""
    part: list[Segment] = []
    size = 0
    for whole in segments:
        for segment, length in _cut(whole, row_bytes):
            if part and size + length > row_bytes:
                yield SampleBatch(profile, channels, tuple(part), time, suspect)
                part, size = [], 0
            part.append(segment)
            size += length
    if part:
        yield SampleBatch(profile, channels, tuple(part), time, suspect)


def pack_both(
    profile: str, channels: tuple[str, ...], reservoir: Reservoir, time: float, row_bytes: int
) -> Iterator[SampleBatch]:
    """Everything a reservoir holds, which begins anew; first what is suspect, for it is rare."""
    suspect, normal = reservoir.take_suspect(), reservoir.take()
    yield from pack(profile, channels, suspect, time, row_bytes, suspect=True)
    yield from pack(profile, channels, normal, time, row_bytes)


def _cut(segment: Segment, most: int) -> Iterator[tuple[Segment, int]]:
    """The segment in pieces of at most `most` bytes, each with its size."""
    length = len(msgspec.json.encode(segment)) + 1  # and a comma
    half = len(segment.times) // 2
    if length <= most or not half:
        yield segment, length
        return
    for piece in (slice(None, half), slice(half, None)):
        part = Segment(segment.device, segment.times[piece], segment.values[piece], segment.time_quality)
        yield from _cut(part, most)
