"""The ledger: which rows of one gateway, class and epoch the hub has dealt with. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

MAX_RANGES = 10_000
"""Gaps a ledger remembers. One row more that would open a new gap is left to be sent again."""


class LedgerFullError(Exception):
    """A row would open one gap more than the ledger remembers."""


class Ledger:
    """Sequence numbers already dealt with: all of 1 to `through`, and the ranges above it.

    Ranges rather than single numbers keep it small when a sequence starts high or a large loss is declared.
    """

    def __init__(
        self, through: int = 0, ranges: Iterable[tuple[int, int]] = (), *, max_ranges: int = MAX_RANGES
    ) -> None:
        self._through = through
        self._first: list[int] = []
        self._last: list[int] = []
        self._max_ranges = max_ranges
        for first, last in ranges:
            self._first.append(first)
            self._last.append(last)

    @property
    def through(self) -> int:
        """Watermark: 1 to this have been dealt with."""
        return self._through

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """What has been dealt with above the watermark: (first, last), ascending, with a gap before each."""
        return tuple(zip(self._first, self._last, strict=True))

    def copy(self) -> Ledger:
        """Another with the same numbers."""
        return Ledger(self._through, self.ranges, max_ranges=self._max_ranges)

    def __contains__(self, sequence: int) -> bool:
        if sequence <= self._through:
            return True
        i = bisect_right(self._first, sequence) - 1
        return i >= 0 and sequence <= self._last[i]

    def add(self, first: int, last: int | None = None) -> int:
        """Count `first` to `last` (one number without `last`) as dealt with: committed, or declared lost.

        Returns how many of them are new.

        Raises:
            ValueError: not 1 <= first <= last.
            LedgerFullError: it would open a gap beyond the bound; the ledger is unchanged.
        """
        last = first if last is None else last
        if not 1 <= first <= last:
            raise ValueError(f"sequence numbers {first} to {last}: must be 1 or more, in ascending order")
        first = max(first, self._through + 1)
        if last < first:
            return 0
        # Those ranges that touch first-1 … last+1 become one with it.
        low = bisect_right(self._last, first - 2)
        high = bisect_right(self._first, last + 1)
        overlap = sum(max(0, min(last, self._last[i]) - max(first, self._first[i]) + 1) for i in range(low, high))
        new = last - first + 1 - overlap
        if low < high:
            first, last = min(first, self._first[low]), max(last, self._last[high - 1])
        if first <= self._through + 1:
            self._through = last
            del self._first[:high], self._last[:high]
            return new
        if low == high and len(self._first) >= self._max_ranges:
            raise LedgerFullError(f"{len(self._first)} gaps below sequence number {first}")
        self._first[low:high], self._last[low:high] = [first], [last]
        return new

    def above(self, limit: int, wanted: Iterable[int] = ()) -> tuple[int, ...]:
        """At most `limit` numbers dealt with above the watermark, ascending: of `wanted` first, then the lowest."""
        chosen = {number for number in wanted if number > self._through and number in self}
        if len(chosen) > limit:
            return tuple(sorted(chosen)[:limit])
        for first, last in zip(self._first, self._last, strict=True):
            for number in range(first, last + 1):
                if len(chosen) >= limit:
                    return tuple(sorted(chosen))
                chosen.add(number)
        return tuple(sorted(chosen))
