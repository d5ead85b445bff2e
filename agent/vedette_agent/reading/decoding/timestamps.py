"""Times as devices write them → seconds since 1970 UTC, and what the gateway makes of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.clock import EARLIEST as BUILT
from vedette_agent.clock import LATEST
from vedette_agent.reading.dead_letter import Reason
from vedette_agent.reading.decoding.document import shown
from vedette_models.readings import Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vedette_agent.config.models import TimePolicy

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC).timestamp()
"""What lies before is no time of a reading, but the zero of somebody's calendar."""
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""(below, units a second): seconds up to the year 5138, milliseconds from 1973 on, micro- and nanoseconds."""
_LONGEST = 64


class Arrival(NamedTuple):
    """When readings arrived, by our own clock."""

    time: float
    """Seconds since 1970 UTC."""
    quality: int = 0
    """`Quality` of that: what is known of our own clock."""


class Times(NamedTuple):
    """Times of N readings."""

    seconds: NDArray[np.float64]
    """(N,) finite where not refused."""
    quality: NDArray[np.uint8]
    """(N,) `Quality` flags."""
    refused: dict[int, tuple[Reason, str]]
    """By index, why a reading cannot be placed in time."""
    ahead: NDArray[np.float64]
    """(N,) seconds by which the time as sent was ahead of the arrival; NaN where none was sent, or the arrival is not
    known."""


def judge(raw: Sequence[float | str | None], arrival: Arrival, policy: TimePolicy) -> Times:
    """Times of readings that arrived: arrival stands in for what is missing or too far ahead."""
    if arrival.quality & Quality.GATEWAY_UNSET:
        return _unjudged(raw, arrival)
    now = arrival.time
    quality = np.full(len(raw), arrival.quality, np.uint8)
    oldest = EARLIEST if policy.max_age is None else max(now - policy.max_age, EARLIEST)
    newest = min(now + policy.max_ahead, _UNITS[0][0])
    # Nearly always all times are plain seconds of the last minutes.
    if set(map(type, raw)) == {float} and oldest <= min(raw) and max(raw) < newest:  # type: ignore[type-var, operator]  # floats all
        plain = np.array(raw, np.float64)
        return Times(plain, quality, {}, plain - now)
    found = seconds(raw)
    sent_ahead = found - now
    absent = np.isnan(found)
    ahead = (found > now + policy.max_ahead) & (found < math.inf)
    if absent.any():
        quality[absent] |= np.uint8(Quality.ARRIVAL_TIME)
    if ahead.any():
        quality[ahead] |= np.uint8(Quality.CLOCK_AHEAD)
    found[absent | ahead] = now
    refused = _no_times(raw, found)
    if policy.max_age is not None:
        for i in np.flatnonzero(found < now - policy.max_age).tolist():
            refused[i] = ("too_old", _too_old(raw[i], now - float(found[i]), policy.max_age))
    return Times(found, quality, refused, sent_ahead)


def _unjudged(raw: Sequence[float | str | None], arrival: Arrival) -> Times:
    """Times of readings that arrived when our own clock was not set: a device's is believed where it can be true."""
    found = seconds(raw)
    quality = np.full(len(raw), arrival.quality, np.uint8)
    quality[np.isnan(found)] |= np.uint8(Quality.ARRIVAL_TIME)
    impossible = ((found < BUILT) | (found >= LATEST)) & (found < math.inf)
    quality[impossible] |= np.uint8(Quality.CLOCK_WRONG)
    found[np.isnan(found) | impossible] = arrival.time
    return Times(found, quality, _no_times(raw, found), np.full(len(raw), np.nan))


def _no_times(raw: Sequence[float | str | None], found: NDArray[np.float64]) -> dict[int, tuple[Reason, str]]:
    return {
        i: ("no_time", f"the time {_written(raw[i])} is none: send seconds or milliseconds since 1970, or ISO 8601")
        for i in np.flatnonzero(found == math.inf).tolist()
    }


def seconds(times: Sequence[float | str | None]) -> NDArray[np.float64]:
    """(N,) seconds since 1970-01-01 UTC: NaN where there is no time, infinite where what is there is none.

    Numbers are seconds, milliseconds, microseconds or nanoseconds by magnitude: below 1e11, 1e14, 1e17 and 1e20.
    Texts are ISO 8601, in UTC where they name no offset.

    >>> seconds([1.7e9, 1.7e12, "2023-11-14T22:13:20Z", None, "yesterday"]).tolist()
    [1700000000.0, 1700000000.0, 1700000000.0, nan, inf]
    """
    return np.array([_one(time) for time in times], np.float64)


def _one(time: float | str | None) -> float:
    if time is None:
        return math.nan
    found = math.inf
    if isinstance(time, str):
        found = _iso(time)
    else:
        magnitude = abs(time)
        for below, unit in _UNITS:
            if magnitude < below:
                found = time / unit
                break
    return found if found >= EARLIEST else math.inf


def _iso(text: str) -> float:
    # Digits alone could be a date ("20240101") as well as a counter: they are neither.
    if len(text) > _LONGEST or text[4:5] != "-":
        return math.inf
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.inf


def _too_old(raw: float | str | None, age: float, max_age: float) -> str:
    return (
        f"the time {_written(raw)} is {_span(age)} ago, time.max_age is {_span(max_age)}: "
        'is the device\'s clock set? For history, set max_age = "none"'
    )


def _written(raw: float | str | None) -> str:
    return f"{raw:.15g}" if isinstance(raw, float | int) else shown(raw)


def _span(span: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if span >= length:
            return f"{span / length:.3g} {unit}" if span < 1_000 * length else f"{span / length:.0f} {unit}"
    return f"{span:.3g} s"
