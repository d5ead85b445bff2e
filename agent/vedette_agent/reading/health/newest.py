"""Newest: the last readings of every channel of every device, in rings: those at hand exactly, the earlier ones not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vedette_models.columns import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

WINDOW = 20
"""Newest readings, kept exactly."""
EARLIER = 25
"""Readings before them, kept in single precision."""
MEAN = 5
"""Readings of which a mean is taken."""

LAYOUT = {
    "newest": Column((WINDOW,)),
    # in single precision, so relative to the first value: readings may lie far from zero
    "before": Column((EARLIER,), 0.0, np.float32),
    "anchor": Column(),
}
_PLACES = (np.arange(WINDOW) - 1 - np.arange(WINDOW)[:, None]) % WINDOW
"""By age, 0 being the newest before the present one, and by the place of the present one: where in the ring it is."""


def begin(columns: Mapping[str, NDArray[Any]], series: NDArray[np.intp], x: NDArray[np.float64]) -> None:
    """Nothing is known of `series` (M,): as if `x` (M,) had always been."""
    columns["newest"][series] = x[:, None]
    columns["anchor"][series] = x


class Means:
    """Means of MEAN readings that end with those before `x` (M,), with `x`, and 5 and 15 readings before it.

    What is read is read when it is made, before `add`.
    """

    def __init__(
        self,
        columns: Mapping[str, NDArray[Any]],
        series: NDArray[np.intp],
        count: NDArray[np.int64],
        x: NDArray[np.float64],
    ) -> None:
        """`count` (M,): readings of each of `series` (M,) before this one."""
        self._ring, self._series = columns["newest"].reshape(-1), series * WINDOW
        self._place = count % WINDOW
        # sums from the newest to the oldest, since their last digit depends on the order
        w = [self._aged(age) for age in range(MEAN)]
        self.last, self.last_but_one = w[0], w[1]
        self.before = _mean(w)
        self.newer = _mean([x, *w[:-1]])
        self.older = _mean([w[-1], *(self._aged(age) for age in range(MEAN, 2 * MEAN - 1))])
        self.oldest = _mean([self._aged(age) for age in range(3 * MEAN - 1, 4 * MEAN - 1)])

    def _aged(self, age: int) -> NDArray[np.float64]:
        # one age at a time: large arrays cost more than their contents, they are new pages every time
        at = _PLACES[age].take(self._place)
        at += self._series
        values: NDArray[np.float64] = self._ring.take(at)
        return values


def _mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    total = values[0] + values[1]
    for more in values[2:]:
        total += more
    total /= len(values)
    return total


def add(
    columns: Mapping[str, NDArray[Any]], series: NDArray[np.intp], count: NDArray[np.int64], x: NDArray[np.float64]
) -> None:
    """Keep `x` (M,) of `series` (M,), each once, which have had `count` (M,) readings before."""
    newest, before = columns["newest"].reshape(-1), columns["before"].reshape(-1)
    place = series * WINDOW
    place += count % WINDOW
    leaving = newest.take(place)
    newest[place] = x
    leaving -= columns["anchor"].take(series)
    place = series * EARLIER
    place += (count + (EARLIER - WINDOW)) % EARLIER
    before[place] = leaving


def last(columns: Mapping[str, NDArray[Any]], series: int, count: int, wanted: int) -> NDArray[np.float64]:
    """The last `wanted` values of one series, WINDOW or more of the `count` there were, oldest first.

    All in single precision, as they are relative to the first one, so that none stands out by being more exact.
    """
    anchor = float(columns["anchor"][series])
    newest, before = columns["newest"][series], columns["before"][series]
    at, start = count % WINDOW, (count - wanted) % EARLIER
    relative = np.empty(wanted, np.float32)
    early = wanted - WINDOW
    head = min(early, EARLIER - start)
    relative[:head] = before[start : start + head]
    relative[head:early] = before[: early - head]
    relative[early : wanted - at] = newest[at:] - anchor
    relative[wanted - at :] = newest[:at] - anchor
    return relative.astype(np.float64) + anchor
