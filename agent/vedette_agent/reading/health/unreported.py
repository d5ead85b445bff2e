"""Unreported: a channel has stopped reporting while its device goes on, by the channel's own rhythm.

The rhythm is learnt twice: in messages of the device that came without the channel, and in seconds of listening
(`listening`); what counts is the second longest usual gap of each, as with devices (`silent`). A channel is silent when
it is late by both: an outage of the device takes time but no messages, and a burst of messages about other channels
takes no time. Channels that take turns, or report now and then, are late only beyond what is usual for them. A device
whose messages are always complete costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.health.faults import Explained
from vedette_agent.reading.health.fields import Fields
from vedette_models.messages import ChannelReason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.profile import Channel, Profile

KNOWN = 20
"""Reports from which a rhythm is known, and messages from which a channel that was in none of them never reports."""
FEWEST = 5
"""Messages in a row without the channel that are never enough before."""
REGULAR, IRREGULAR, PER_IRREGULARITY = 2.2, 3.5, 0.4
"""Times the longest usual gap, for regular and for irregular channels, and by how much that grows from one to the
other with the longest usual gap in mean ones."""
FEW = 24.0
"""Gaps that weigh as much as none: the longest of a few is not the longest of many."""
NOW_AND_THEN, QUIET_HOURS = 3.0, 2 * 86_400.0
"""A channel whose longest usual gap is so many mean ones must have been watched through its quiet hours, too."""
SHORTEST = 10.0
"""Seconds before which no channel is silent."""
MEMORY = 8 * 86_400.0
"""The longest usual gaps are those of the last one to two memories of so many seconds."""

# of a device: messages, those that were complete, the last of them and when it was heard, when the first message was
_COUNT, _COMPLETE, _COMPLETE_AT, _COMPLETE_HEARD, _BEGAN, _LACKING = range(6)
_DEVICE = (0.0, 0.0, 0.0, -np.inf, np.nan, 0.0)
# of a channel: reports in incomplete messages, the last of them, gaps, the two longest in messages and in seconds
_REPORTS, _AT, _HEARD, _GAPS, _MOST, _SECOND, _LONGEST, _NEXT, _EARLIER, _EARLIER_TIME, _SINCE, _SILENT = range(12)
_CHANNEL = (0.0, 0.0, -np.inf, *(0.0,) * 9)


class Lacking(NamedTuple):
    """A channel that is silent at a reading of its device."""

    column: int
    quiet: float
    """Seconds of listening since it was reported; 0: not known."""
    messages: int
    """Readings of the device in a row without it."""


class Unreported:
    """The reporting rhythm of every channel of every device, among the device's messages."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.devices = Fields(_DEVICE, 1)
        self.fields = Fields(_CHANNEL, len(profile.channels))

    def examine(
        self,
        device: NDArray[np.intp],
        reported: NDArray[np.bool_],
        heard: NDArray[np.float64],
        due: NDArray[np.float64],
    ) -> dict[int, list[Lacking]]:
        """Readings of `device` (M,), each once, `heard` (M,) at seconds of listening, with the channels `reported`.

        `reported` (M, C); `due` (M,): seconds of listening after which each device itself would be silent. Returns the
        channels that are silent, by position.
        """
        d = self.devices.table
        count = d[device, _COUNT] + 1.0
        d[device, _COUNT] = count
        complete = reported.all(axis=1)
        close = ~complete | (d[device, _LACKING] > 0.0)
        first = count == 1.0
        if first.any():
            d[device[first], _BEGAN] = heard[first]
        silent: dict[int, list[Lacking]] = {}
        if close.any():
            at = np.flatnonzero(close)
            silent = self._look(device[at], reported[at], heard[at], due[at], count[at], at)
        whole = device if complete.all() else device[complete]
        if len(whole):
            d[whole, _COMPLETE] += 1.0
            d[whole, _COMPLETE_AT] = count[complete]
            d[whole, _COMPLETE_HEARD] = heard[complete]
        return silent

    def _look(
        self,
        device: NDArray[np.intp],
        reported: NDArray[np.bool_],
        heard: NDArray[np.float64],
        due: NDArray[np.float64],
        count: NDArray[np.float64],
        places: NDArray[np.intp],
    ) -> dict[int, list[Lacking]]:
        """Readings that lack a channel, or follow one that did."""
        channels = reported.shape[1]
        series = (device[:, None] * channels + np.arange(channels)).reshape(-1)
        f = self.fields.take(series)
        own = self.devices.table[device.repeat(channels)].T
        now, number, here = heard.repeat(channels), count.repeat(channels), reported.reshape(-1)
        reports = f[_REPORTS] + own[_COMPLETE]
        known = reports > 0.0
        missed = np.where(known, number - np.maximum(f[_AT], own[_COMPLETE_AT]) - here, 0.0)
        since = np.maximum(f[_HEARD], own[_COMPLETE_HEARD])
        quiet = np.where(known & np.isfinite(since), now - since, 0.0)
        late = ~here & self._is_late(f, own, reports, missed, quiet, due.repeat(channels), now)
        late |= ~here & (f[_SILENT] > 0.0)
        f[_SILENT] = late
        _learn(f, here & known & (missed > 0.0), missed, quiet, now)
        f[_REPORTS] += here & ~reported.all(axis=1).repeat(channels)
        np.copyto(f[_AT], number, where=here)
        np.copyto(f[_HEARD], now, where=here)
        self.fields.put(series, f)
        self.devices.table[device, _LACKING] = (~here & known).reshape(-1, channels).any(axis=1)
        silent: dict[int, list[Lacking]] = {}
        for i in np.flatnonzero(late).tolist():
            one = Lacking(i % channels, float(quiet[i]), int(missed[i]))
            silent.setdefault(int(places[i // channels]), []).append(one)
        return silent

    @staticmethod
    def _is_late(
        f: NDArray[np.float64],
        own: NDArray[np.float64],
        reports: NDArray[np.float64],
        missed: NDArray[np.float64],
        quiet: NDArray[np.float64],
        due: NDArray[np.float64],
        now: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """(S,) channels that are late by their messages and by the time."""
        usual = np.maximum(f[_SECOND], f[_EARLIER]) + 1.0
        mean = np.maximum(own[_COUNT] - missed, 1.0) / np.maximum(reports, 1.0)
        irregular = np.maximum(usual / np.maximum(mean, 1.0) - 1.0, 0.0)
        times = np.minimum(REGULAR + PER_IRREGULARITY * irregular, IRREGULAR)
        times *= np.where(f[_GAPS] > 0.0, 1.0 + FEW / np.maximum(f[_GAPS], 1.0), 1.0)
        times = np.where(usual > 1.0, times, 1.0)
        longest = times * np.maximum(f[_NEXT], f[_EARLIER_TIME])
        late: NDArray[np.bool_] = (missed >= np.maximum(FEWEST, times * usual)) & (reports >= KNOWN)
        late &= quiet >= np.maximum(np.maximum(longest, due), SHORTEST)
        late &= (irregular < NOW_AND_THEN) | (now - own[_BEGAN] >= QUIET_HOURS)
        return late

    def never(self) -> NDArray[np.bool_]:
        """(D, C) channels that a device has never reported, where there were enough messages of it to say so."""
        d = self.devices.table
        some = (d[:, _COUNT] >= KNOWN) & (d[:, _COMPLETE] == 0.0)
        never: NDArray[np.bool_] = some[:, None] & (
            self.fields.table[:, _REPORTS].reshape(len(d), len(self._profile.channels)) == 0.0
        )
        return never

    def mark(self, row: int, column: int) -> None:
        """This channel was silent when we stopped, and is until it is reported."""
        self.fields.table[row * len(self._profile.channels) + column, _SILENT] = 1.0
        self.devices.table[row, _LACKING] = 1.0

    def anew(self, clock: float) -> None:
        """We have not listened: every channel that is not silent already has its usual gap from now on."""
        d, f = self.devices.table, self.fields.table
        d[d[:, _COMPLETE] > 0.0, _COMPLETE_HEARD] = clock
        reporting = f[:, _REPORTS] > 0.0
        f[reporting, _HEARD] = clock
        f[reporting, _AT] = d[:, _COUNT].repeat(len(self._profile.channels))[reporting]
        d[:, _COMPLETE_AT] = np.where(d[:, _COMPLETE] > 0.0, d[:, _COUNT], 0.0)

    def restored(self) -> None:
        """After a restart the clock begins at 0: so does every channel's gap."""
        d, f = self.devices.table, self.fields.table
        shift = np.maximum(
            d[:, _COMPLETE_HEARD],
            f[:, _HEARD].reshape(len(d), len(self._profile.channels)).max(axis=1, initial=-np.inf),
        )
        shift = np.where(np.isfinite(shift), shift, 0.0)
        d[:, _BEGAN] -= shift
        f[:, _SINCE] -= shift.repeat(len(self._profile.channels))
        f[:, _SILENT] = 0.0
        self.anew(0.0)

    @property
    def count(self) -> int:
        """Channels that are silent now."""
        return int(np.count_nonzero(self.fields.table[:, _SILENT]))

    def explain(self, lacking: list[Lacking]) -> Explained:
        """In words."""
        channels: list[Channel] = [self._profile.channels[one.column] for one in lacking]
        first = lacking[0]
        reasons = tuple(
            ChannelReason(channel.name, one.messages, 0.0, 0.0, round(1.0 / len(lacking), 4), _ASPECT)
            for channel, one in zip(channels, lacking, strict=True)
        )
        others = [channel.name for channel in channels[1:]]
        sentence = reason.silent_channel(channels[0], first.quiet, first.messages, others)
        return Explained(sentence, reasons, first.column)


_ASPECT = "readings in a row without a value"


def _learn(
    f: NDArray[np.float64],
    ended: NDArray[np.bool_],
    missed: NDArray[np.float64],
    quiet: NDArray[np.float64],
    now: NDArray[np.float64],
) -> None:
    """Learn the gaps that `ended` (S,), in messages and in seconds; `f` (K, S) in place."""
    if not ended.any():
        return
    g = f[:, ended]
    missed, quiet, now = missed[ended], quiet[ended], now[ended]
    np.copyto(g[_SINCE], now, where=g[_GAPS] == 0.0)
    old = now - g[_SINCE] >= MEMORY
    for earlier, second, most in ((_EARLIER, _SECOND, _MOST), (_EARLIER_TIME, _NEXT, _LONGEST)):
        np.copyto(g[earlier], g[second], where=old)
        for field in (second, most):
            np.copyto(g[field], 0.0, where=old)
    np.copyto(g[_SINCE], now, where=old)
    g[_GAPS] += 1.0
    for second, most, gap in ((_SECOND, _MOST, missed), (_NEXT, _LONGEST, quiet)):
        g[second] = np.maximum(g[second], np.minimum(g[most], gap))
        g[most] = np.maximum(g[most], gap)
    f[:, ended] = g
