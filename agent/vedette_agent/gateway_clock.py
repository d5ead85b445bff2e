"""GatewayClock: how far the time of this machine is to be trusted.

A gateway without a battery for its clock wakes up in 1970, or at the last moment that was written to its disk, until a
time server sets it. What it records meanwhile says so (`readings.Quality`). The clock is *unset* when it is earlier
than this program, or than the newest moment at which a time server was known to steer it, which is kept in the state
folder; it is *unsynced* when the kernel says that no time server steers it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from vedette_agent.clock import EARLIEST, LATEST, SYSTEM, Clock
from vedette_models.readings import Quality

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

FILE = "clock.json"
TOLERANCE = 86_400.0
"""Seconds by which a right clock may be behind the newest moment that was sure: a day, as for manifests."""
STEP = 5.0
"""Seconds by which a clock is set when it is not merely adjusted."""
LOOK_EVERY = 5.0
KEEP_EVERY = 3_600.0


class _Kept(msgspec.Struct):
    sure: float
    """The newest moment at which a time server steered the clock."""


class GatewayClock(Clock):
    """The clock of this machine, judged."""

    def __init__(self, folder: Path, clock: Clock = SYSTEM) -> None:
        self._path, self._clock = folder / FILE, clock
        self._sure = self._kept = _read(self._path)
        self._quality = Quality.DEVICE_TIME
        self._looked: float | None = None
        self._offset = 0.0

    def now(self) -> float:
        """Seconds since 1970 UTC, as this machine believes."""
        return self._clock.now()

    def uptime(self) -> float:
        """Seconds of a clock that nobody sets."""
        return self._clock.uptime()

    def steered(self) -> bool | None:
        """Whether a time server steers `now`; None where nobody says."""
        return self._clock.steered()

    @property
    def floor(self) -> float:
        """It is later than this, whatever the clock says: seconds since 1970."""
        return max(EARLIEST, self._sure - TOLERANCE)

    def quality(self) -> Quality:
        """What is known of the clock now; the kernel is asked every few seconds, and when the clock was set."""
        now, uptime = self._clock.now(), self._clock.uptime()
        looked_lately = self._looked is not None and uptime - self._looked < LOOK_EVERY
        if looked_lately and abs(now - uptime - self._offset) <= STEP:
            return self._quality
        self._looked, self._offset = uptime, now - uptime
        steered = self._clock.steered()
        self._quality = _judge(now, self.floor, steered)
        if steered and self._quality == Quality.DEVICE_TIME:
            self._sure = now  # also where that is earlier: a time server that was wrong is not believed for ever
        return self._quality

    def keep(self) -> None:
        """Write down the newest sure moment, at most once an hour; a disk that refuses is said and changes nothing."""
        if abs(self._sure - self._kept) < KEEP_EVERY:
            return
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(msgspec.json.encode(_Kept(self._sure)))
            temporary.replace(self._path)
        except OSError as error:
            logger.warning("%s: %s", self._path, error)
        else:
            self._kept = self._sure

    async def watch(self) -> None:
        """Look at the clock and keep what is sure, until cancelled."""
        while True:
            self.quality()
            self.keep()
            await asyncio.sleep(KEEP_EVERY / 10)

    def problem(self) -> str | None:
        """What an operator should know, in a sentence."""
        if self.quality() & Quality.GATEWAY_UNSET:
            return (
                "the clock of this machine is not set: readings are scored, and what is recorded is marked; "
                "look: timedatectl timesync-status"
            )
        return None


def _judge(now: float, floor: float, steered: bool | None) -> Quality:
    plausible = EARLIEST <= now <= LATEST
    if not plausible or (now < floor and not steered):
        return Quality.GATEWAY_UNSET if steered is not False else Quality.GATEWAY_UNSET | Quality.GATEWAY_UNSYNCED
    return Quality.GATEWAY_UNSYNCED if steered is False else Quality.DEVICE_TIME


def _read(path: Path) -> float:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept).sure
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError) as error:  # msgspec's errors and those of UTF-8 are ValueErrors
        logger.warning("%s: %s; going by the age of this program alone", path, error)
        return 0.0
    return kept if EARLIEST <= kept <= LATEST else 0.0
