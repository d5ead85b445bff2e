"""Silent: a device has stopped reporting, by its own rhythm.

The rhythm is learnt from the gaps between arrivals, in seconds of listening (`listening`): the typical one, and the
longest usual one, which is the second longest of one to two weeks, so that one outage is not usual and two are. A
device is silent after a bit more than twice the typical gap (one reading may get lost), and after about twice the
longest usual one. The fewer gaps are known, and the less regular they are, the longer it is waited for. The longest of
some hundred gaps is a matter of luck: where gaps scatter about their logarithms as chance does, and the longest usual
one is no longer than they would make it, the limit is not that one but what they make in years.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.health.faults import Explained
from vedette_agent.reading.health.fields import Fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOWN = 8
"""Gaps from which a rhythm is known."""
LOST = 2.2
"""Typical gaps that a device may take: one reading and its jitter may get lost."""
LEAST, MOST = 1.85, 2.2
"""Times the longest usual gap, for regular and for irregular devices."""
SHORTEST = 10.0
"""Seconds before which nobody is silent."""
PACKET = 1.0
"""Readings within so many seconds, or a twentieth of the typical gap, are one packet."""
MEMORY, MEMORY_GAPS = 8 * 86_400.0, 64
"""The longest usual gap is that of the last one to two memories, each of so many seconds and gaps at least."""

CHANCE = 4.8
"""Standard deviations of the logarithm of a gap beyond which it is no chance: one in a million."""
CONSISTENT = 3.8
"""Standard deviations within which the second longest of thousands of gaps lies where they scatter as chance does."""
SCATTER_KNOWN, SCATTER_GAPS = 128.0, 512.0
"""Gaps from which their scatter is known, and after which earlier ones are forgotten."""

(
    _HEARD,
    _TYPICAL,
    _GAPS,
    _LONGEST,
    _SECOND,
    _EARLIER,
    _EARLIER_SECOND,
    _SINCE,
    _IN_MEMORY,
    _SILENT,
    _LOG,  # mean of the logarithms of the gaps, and of their squares about it
    _LOG_SPREAD,
) = range(12)
_FILLS = (math.nan, *(0.0,) * 11)


class Missed(NamedTuple):
    """A device that is silent, or was until now."""

    device: int
    quiet: float
    """Seconds of listening without a word from it."""
    typical: float
    """Seconds between its readings, usually."""

    def explain(self) -> Explained:
        """In words."""
        return Explained(reason.silent(self.quiet, self.typical))


class Silent:
    """The reporting rhythm of every device."""

    def __init__(self, silent_after: float | None = None) -> None:
        """`silent_after`: seconds after which a device is silent at the latest, whatever its rhythm."""
        self._after = math.inf if silent_after is None else silent_after
        self.fields = Fields(_FILLS, 1, "rhythm")

    def examine(self, device: NDArray[np.intp], heard: NDArray[np.float64]) -> dict[int, Missed]:
        """Readings of `device` (M,), each once, arrived at `heard` (M,) seconds of listening, never falling.

        Returns the devices that had been silent, by position.
        """
        f = self.fields.take(device)
        gap = heard - f[_HEARD]
        new = np.isnan(gap)
        if new.any():
            np.copyto(gap, 0.0, where=new)
            np.copyto(f[_SINCE], heard, where=new)
        missed = {}
        late = (gap >= self._limit(f)) | (f[_SILENT] > 0.0)
        for i in np.flatnonzero(late).tolist():
            missed[i] = Missed(int(device[i]), float(gap[i]), float(f[_TYPICAL, i]))
        f[_SILENT] = 0.0
        f[_HEARD] = heard
        apart = np.flatnonzero(gap >= np.maximum(PACKET, 0.05 * f[_TYPICAL]))
        if len(apart):
            f[:, apart] = _learnt(f[:, apart], gap[apart], heard[apart])
        self.fields.put(device, f)
        return missed

    def tick(self, clock: float) -> list[Missed]:
        """All devices that are silent at `clock` seconds of listening."""
        f = self.fields.table.T
        with np.errstate(invalid="ignore"):
            quiet = clock - f[_HEARD]
            silent = (quiet >= self._limit(f)) | (f[_SILENT] > 0.0)
        f[_SILENT, silent] = 1.0
        return [
            Missed(row, float(quiet[row]) if quiet[row] == quiet[row] else 0.0, float(f[_TYPICAL, row]))
            for row in np.flatnonzero(silent).tolist()
        ]

    def due(self, device: NDArray[np.intp]) -> NDArray[np.float64]:
        """(M,) seconds of listening after which each of `device` (M,) is silent."""
        return self._limit(self.fields.take(device))

    def _limit(self, f: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M,) seconds of listening after which a device is silent."""
        typical, gaps = np.maximum(f[_TYPICAL], 1e-9), f[_GAPS]
        usual = np.maximum(np.minimum(f[_LONGEST], f[_EARLIER]), np.maximum(f[_SECOND], f[_EARLIER_SECOND]))
        irregular = np.maximum(usual / typical - 1.0, 0.0)
        times = np.clip(1.75 + 0.07 * irregular, LEAST, MOST)
        few = 1.0 + (4.0 + 24.0 * np.minimum(irregular, 3.0)) / np.maximum(gaps, 1.0)
        longest = times * usual * few
        scatter = np.sqrt(f[_LOG_SPREAD])
        by_chance = (gaps >= SCATTER_KNOWN) & (usual <= np.exp(np.minimum(f[_LOG] + CONSISTENT * scatter, 700.0)))
        error = 1.0 + 0.5 / np.sqrt(np.clip(gaps, 1.0, SCATTER_GAPS))  # of the scatter, by so many gaps
        chance = np.exp(np.minimum(f[_LOG] + CHANCE * scatter * error, 700.0))
        np.minimum(longest, chance, out=longest, where=by_chance)
        limit = np.maximum(np.maximum(LOST * typical * few, longest), SHORTEST)
        return np.minimum(np.where(gaps < KNOWN, np.inf, limit), self._after)

    def mark(self, device: int) -> None:
        """This device was silent when we stopped, and is until it is heard."""
        self.fields.table[device, _SILENT] = 1.0

    def anew(self, clock: float) -> None:
        """We have not listened: every device that is not silent already has its usual gap from now on."""
        heard = self.fields.table[:, _HEARD]
        heard[~np.isnan(heard)] = clock

    def restored(self) -> None:
        """After a restart the clock begins at 0: so does every device's gap."""
        table = self.fields.table
        shift = np.where(np.isnan(table[:, _HEARD]), 0.0, table[:, _HEARD])
        table[:, _SINCE] -= shift
        table[:, _HEARD] -= shift
        table[:, _SILENT] = 0.0

    @property
    def count(self) -> int:
        """Devices that are silent now."""
        return int(np.count_nonzero(self.fields.table[:, _SILENT]))


def _learnt(f: NDArray[np.float64], gap: NDArray[np.float64], heard: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fields after one more gap each."""
    early = f[_GAPS] < 4.0
    counted = np.where(early, gap, np.minimum(gap, 3.0 * f[_TYPICAL]))
    f[_GAPS] += 1.0
    f[_TYPICAL] += (counted - f[_TYPICAL]) / np.minimum(f[_GAPS], 32.0)
    share = 1.0 / np.minimum(f[_GAPS], SCATTER_GAPS)
    # a gap that was a silence says nothing of the scatter
    off = np.log(np.maximum(np.where(early, gap, np.minimum(gap, 8.0 * f[_TYPICAL])), 1e-9)) - f[_LOG]
    f[_LOG] += share * off
    f[_LOG_SPREAD] += share * ((1.0 - share) * off**2 - f[_LOG_SPREAD])
    old = (heard - f[_SINCE] >= MEMORY) & (f[_IN_MEMORY] >= MEMORY_GAPS)
    if old.any():
        for earlier, now in ((_EARLIER, _LONGEST), (_EARLIER_SECOND, _SECOND)):
            np.copyto(f[earlier], f[now], where=old)
            np.copyto(f[now], 0.0, where=old)
        np.copyto(f[_IN_MEMORY], 0.0, where=old)
        np.copyto(f[_SINCE], heard, where=old)
    f[_IN_MEMORY] += 1.0
    f[_SECOND] = np.maximum(f[_SECOND], np.minimum(f[_LONGEST], gap))
    f[_LONGEST] = np.maximum(f[_LONGEST], gap)
    return f
