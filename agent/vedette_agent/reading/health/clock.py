"""Clock: a device's time runs ahead, behind or backwards.

Where arrivals are known, a reading's lag (arrival less its time) is compared with the device's usual one, packet by
packet, the freshest reading counting. Ahead: a time beyond the tolerance in our future, several packets in a row.
Behind: a lag that is larger than usual by more than the tolerance and stays the same over several packets that come at
their own pace; what was buffered comes late too, but its lag shrinks from reading to reading, and a link that was
always slow is the usual lag. A lag of whole half hours from the first reading on is a time zone. Backwards: several
times in a row, each before the one before, that did not arrive at once as a buffer sent in reverse does. In a file,
where arrivals are not known: backwards, or set back and going on from there; ahead of all other devices, while they
are heard from; or ahead for a while, which is known when the time is back where it had been going.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.health.faults import CLOCK, Explained, Found
from vedette_agent.reading.health.fields import Fields
from vedette_models.readings import Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

PACKET = 0.5
"""Readings that arrive within so many seconds are one packet."""
KNOWN = 8
"""Packets with the same lag from which it is known."""
IN_A_ROW = 4
"""Packets, or readings in a file, that show a fault."""
SOUND = 2
"""Packets in a row without it that end it."""
DOWN = 3
"""Times in a row, each before the one before, that run backwards."""
STEADY, STEADY_SHARE = 3.0, 0.25
"""A lag is the same within so many seconds, or this share of the time in which the packets arrived."""
HALF_HOUR, ZONES = 1_800.0, 28
LEAP, BACK = 8.0, 4.0
"""Usual intervals that a time in a file leaps at least to be ahead, and within which it must come back to where it had
been going."""
ACCEPTED = 64
"""Readings in a file after which a time that was set back is the time."""
READINGS_OF_LAG = 32.0

(
    _LAST,  # time of the reading before
    _NEWEST,  # newest time so far, where arrivals are not known
    _LAG,  # usual lag
    _KNOWN,  # packets that it was learnt from
    _PACKET_AT,  # arrival of the packet that is coming in
    _PACKET_LAG,  # least lag in it
    _RUN,  # packets in a row with the same suspicion; negative: ahead
    _RUN_FROM,  # arrival of the first of them
    _RUN_LEAST,
    _RUN_MOST,
    _SOUND,
    _FAULT,
    _AMOUNT,  # seconds ahead or behind
    _FALLS,  # times in a row before the one before
    _FALL_FROM,  # arrival and time before the first of them
    _FALL_TIME,
    _BEFORE,  # readings in a row before the newest, where arrivals are not known
    _INTERVAL,  # usual time between readings there
    _LEAP_FROM,  # time before the last leap there; NaN: none
    _LEAP_BY,
    _LEAPT,  # readings since then
    _BACK_FROM,  # time of the first reading before the newest
) = range(22)
_FILLS = (math.nan, -math.inf, *(0.0,) * 2, math.nan, *(0.0,) * 13, math.nan, *(0.0,) * 3)
_NONE, _AHEAD, _BEHIND, _BACKWARDS, _ZONE, _WAS_AHEAD = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0
_STATES = {_AHEAD: "ahead", _BEHIND: "behind", _BACKWARDS: "backwards", _ZONE: "zone", _WAS_AHEAD: "was ahead"}


class WrongClock(NamedTuple):
    """What is wrong with a device's time."""

    state: str
    """`ahead`, `behind`, `backwards`, `zone`: behind by whole half hours, or `was ahead`: it is back."""
    amount: float
    """Seconds, where it is ahead or behind."""

    def explain(self) -> Explained:
        """In words."""
        return Explained(reason.clock(self.state, self.amount))


class Clock:
    """The time of every device."""

    def __init__(self, tolerance: float) -> None:
        """`tolerance`: seconds by which a clock may be off."""
        self._tolerance = tolerance
        self.fields = Fields(_FILLS, 1, "times")

    def examine(
        self,
        device: NDArray[np.intp],
        time: NDArray[np.float64],
        lag: NDArray[np.float64],
        arrival: NDArray[np.float64],
    ) -> dict[int, WrongClock]:
        """Readings of `device` (M,), each once, with their own times, lags and arrivals (M,), NaN where not known.

        A lag without an arrival is one behind all other devices, as far as a file shows it.

        Returns the readings whose device's clock is wrong, by position.
        """
        f = self.fields.take(device)
        # nearly always a packet of its own with the usual lag, or no arrival and a newer time
        with np.errstate(invalid="ignore"):
            apart = arrival - f[_PACKET_AT] >= PACKET
            usual = np.abs(f[_PACKET_LAG] - f[_LAG]) <= self._tolerance
            plain = apart & usual & (f[_KNOWN] > KNOWN) & (f[_PACKET_LAG] >= -self._tolerance)
            step = time - f[_NEWEST]
            near = (lag >= -self._tolerance) | np.isnan(lag)
            plain |= np.isnan(arrival) & (step >= 0.0) & (step <= LEAP * f[_INTERVAL]) & near
            plain &= (time >= f[_LAST]) & (f[_FAULT] == _NONE) & (f[_RUN] == 0.0) & (f[_BEFORE] == 0.0)
        plain &= time == time
        live = plain & apart
        in_file = plain & ~live
        f[_INTERVAL] += in_file * (np.where(in_file, step, 0.0) - f[_INTERVAL]) / READINGS_OF_LAG
        f[_LEAPT] += in_file
        f[_LAG] += live * (f[_PACKET_LAG] - f[_LAG]) / READINGS_OF_LAG
        for field, now in ((_PACKET_AT, arrival), (_PACKET_LAG, lag)):
            np.copyto(f[field], now, where=live)
        np.copyto(f[_NEWEST], time, where=in_file)
        np.copyto(f[_LAST], time, where=plain)
        np.copyto(f[_FALLS], 0.0, where=plain)
        wrong = {}
        for i in np.flatnonzero(~plain & (time == time)).tolist():
            g = f[:, i].tolist()
            self._look(g, float(time[i]), float(lag[i]), float(arrival[i]))
            f[:, i] = g
            if g[_FAULT] != _NONE:
                wrong[i] = WrongClock(_STATES[g[_FAULT]], g[_AMOUNT])
        self.fields.put(device, f)
        return wrong

    def _look(self, g: list[float], time: float, lag: float, arrival: float) -> None:
        """One reading, whatever it is."""
        self._backwards(g, time, arrival)
        if math.isnan(arrival):
            self._in_file(g, time, lag)
        elif math.isnan(g[_PACKET_AT]):
            g[_PACKET_AT], g[_PACKET_LAG] = arrival, lag
        elif arrival - g[_PACKET_AT] < PACKET:
            g[_PACKET_LAG] = min(g[_PACKET_LAG], lag)
        else:
            if g[_FAULT] != _BACKWARDS:
                self._packet(g, g[_PACKET_LAG], g[_PACKET_AT])
            g[_PACKET_AT], g[_PACKET_LAG] = arrival, lag
        g[_LAST] = time

    def _backwards(self, g: list[float], time: float, arrival: float) -> None:
        """Times that fall from reading to reading."""
        if not time < g[_LAST]:
            g[_FALLS] = min(g[_FALLS], 0.0) - 1.0 if g[_FAULT] == _BACKWARDS else 0.0
            if g[_FAULT] == _BACKWARDS and g[_FALLS] <= -SOUND:
                g[_FAULT], g[_NEWEST], g[_FALLS] = _NONE, time, 0.0
            return
        if g[_FALLS] <= 0.0:
            g[_FALLS], g[_FALL_FROM], g[_FALL_TIME] = 0.0, g[_PACKET_AT], g[_LAST]
        g[_FALLS] += 1.0
        fallen = g[_FALL_TIME] - time
        at_once = arrival - g[_FALL_FROM] < STEADY_SHARE * fallen  # false where arrivals are not known
        if g[_FALLS] >= DOWN and not at_once and fallen > 1.0:
            g[_FAULT], g[_AMOUNT], g[_RUN] = _BACKWARDS, fallen, 0.0

    def _in_file(self, g: list[float], time: float, lag: float) -> None:
        """A time that goes on, leaps, is ahead of all others, or was set back and goes on from there."""
        ahead = lag < -self._tolerance
        g[_RUN] = min(g[_RUN] - 1.0, -1.0) if ahead else 0.0
        if g[_RUN] <= -IN_A_ROW and g[_FAULT] != _BACKWARDS:
            g[_FAULT], g[_AMOUNT] = _AHEAD, -lag
        elif not ahead and g[_FAULT] in (_AHEAD, _WAS_AHEAD):
            if g[_FAULT] == _AHEAD:  # the others say that it is in step again
                g[_NEWEST], g[_BEFORE], g[_LEAP_FROM] = min(time, g[_NEWEST]), 0.0, math.nan
            g[_FAULT] = _NONE
        if time >= g[_NEWEST]:
            self._goes_on(g, time)
        elif g[_FAULT] != _BACKWARDS and time < g[_NEWEST] - self._tolerance:
            if g[_BEFORE] == 0.0:
                g[_BACK_FROM] = time
            g[_BEFORE] = g[_BEFORE] + 1.0 if time > g[_LAST] or g[_BEFORE] == 0.0 else 0.0
            if g[_BEFORE] == IN_A_ROW:
                self._is_back(g, time)
            elif g[_BEFORE] >= ACCEPTED:
                g[_FAULT], g[_NEWEST], g[_BEFORE] = _NONE, time, 0.0

    @staticmethod
    def _goes_on(g: list[float], time: float) -> None:
        step = time - g[_NEWEST] if g[_NEWEST] > -math.inf else 0.0
        if g[_INTERVAL] > 0.0 and step > LEAP * g[_INTERVAL]:
            g[_LEAP_FROM], g[_LEAP_BY], g[_LEAPT] = g[_NEWEST], step - g[_INTERVAL], 0.0
        elif step > 0.0:
            g[_INTERVAL] += (step - g[_INTERVAL]) / (READINGS_OF_LAG if g[_INTERVAL] else 1.0)
        g[_LEAPT] += 1.0
        g[_NEWEST], g[_BEFORE] = time, 0.0
        if g[_FAULT] == _BEHIND:
            g[_FAULT] = _NONE

    @staticmethod
    def _is_back(g: list[float], time: float) -> None:
        """Set back, or back from having been ahead: then it is where it would be, had it not leapt."""
        interval = (time - g[_BACK_FROM]) / (IN_A_ROW - 1)
        expected = g[_LEAP_FROM] + (g[_LEAPT] + 1.0) * g[_INTERVAL]  # NaN without a leap
        slack = min((BACK + 0.1 * g[_LEAPT]) * g[_INTERVAL], 0.25 * g[_LEAP_BY])
        if abs(g[_BACK_FROM] - expected) <= slack and g[_BACK_FROM] > g[_LEAP_FROM]:
            g[_FAULT], g[_AMOUNT] = _WAS_AHEAD, g[_LEAP_BY]
            g[_NEWEST], g[_BEFORE], g[_LEAP_FROM] = time, 0.0, math.nan
        else:
            # what it had come to by the time of the first reading that was set back
            g[_FAULT], g[_AMOUNT] = _BEHIND, g[_NEWEST] + (interval or g[_INTERVAL]) - g[_BACK_FROM]

    def _packet(self, g: list[float], lag: float, arrival: float) -> None:
        """A packet is complete: its least lag, and when it arrived."""
        tolerance, known = self._tolerance, g[_KNOWN] >= KNOWN
        ahead = lag < -tolerance
        behind = known and lag > g[_LAG] + tolerance
        if not known and not ahead:
            self._get_to_know(g, lag, arrival)
        if ahead or behind:
            self._suspect(g, lag, arrival, ahead=ahead)
            return
        g[_RUN] = 0.0
        if known and lag < g[_LAG] - tolerance:
            g[_LAG] = lag  # the way has become shorter: nothing arrives before it was sent
        elif known:
            g[_KNOWN] += 1.0
            g[_LAG] += (lag - g[_LAG]) / READINGS_OF_LAG
        if g[_FAULT] in (_AHEAD, _BEHIND) or (g[_FAULT] == _ZONE and lag < HALF_HOUR - tolerance):
            g[_SOUND] += 1.0
            if g[_SOUND] >= SOUND:
                g[_FAULT], g[_SOUND] = _NONE, 0.0

    def _suspect(self, g: list[float], lag: float, arrival: float, *, ahead: bool) -> None:
        g[_SOUND] = 0.0
        if (g[_RUN] < 0.0) != ahead:
            g[_RUN] = 0.0
        least, most = min(g[_RUN_LEAST], lag), max(g[_RUN_MOST], lag)
        steady = most - least <= max(STEADY, STEADY_SHARE * (arrival - g[_RUN_FROM]))
        if g[_RUN] == 0.0 or not (ahead or steady):
            g[_RUN], g[_RUN_FROM], least, most = 0.0, arrival, lag, lag
        g[_RUN] += -1.0 if ahead else 1.0
        g[_RUN_LEAST], g[_RUN_MOST] = least, most
        if abs(g[_RUN]) >= IN_A_ROW or (g[_FAULT] == _AHEAD and ahead):
            g[_FAULT], g[_AMOUNT] = (_AHEAD, -lag) if ahead else (_BEHIND, lag - g[_LAG])

    def _get_to_know(self, g: list[float], lag: float, arrival: float) -> None:
        """The usual lag is one that stays the same for KNOWN packets."""
        if g[_KNOWN] == 0.0 or abs(lag - g[_LAG]) > max(STEADY, STEADY_SHARE * (arrival - g[_RUN_FROM])):
            g[_KNOWN], g[_LAG] = 0.0, lag
        g[_KNOWN] += 1.0
        apart = arrival - g[_RUN_FROM]
        g[_RUN_FROM] = arrival
        g[_LAG] += (lag - g[_LAG]) / g[_KNOWN]
        zones = round(g[_LAG] / HALF_HOUR)
        # who stamps an hour with its beginning is late by an hour, and sends every hour
        far = g[_KNOWN] >= KNOWN and 1 <= zones <= ZONES and g[_LAG] > 2.5 * apart
        if far and abs(g[_LAG] - zones * HALF_HOUR) <= self._tolerance:
            g[_FAULT], g[_AMOUNT] = _ZONE, g[_LAG]

    def stepped(self) -> None:
        """Our own clock was set: every device's usual lag is to be learnt anew."""
        table = self.fields.table
        for field in (_KNOWN, _LAG, _RUN, _SOUND, _FALLS):
            table[:, field] = 0.0
        table[:, _PACKET_AT] = math.nan

    @staticmethod
    def found(batch: ReadingBatch, wrong: dict[int, WrongClock]) -> Found:
        """The fault, from `wrong` by row."""
        rows = np.zeros(len(batch), np.bool_)
        rows[list(wrong)] = True
        return Found(CLOCK, rows, lambda row: wrong[row].explain())


def own_times(batch: ReadingBatch) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(N,) times as the devices sent them, NaN where they sent none; lags and arrivals, NaN where not known."""
    if batch.arrival is None or batch.ahead is None:
        unknown = np.full(len(batch), np.nan)
        lags = unknown if batch.ahead is None else -batch.ahead
        return np.where(batch.quality & Quality.ARRIVAL_TIME, np.nan, batch.time), lags, unknown
    return batch.arrival + batch.ahead, -batch.ahead, batch.arrival
