"""Intake: which decoded readings of one profile go on to be judged; the others are dead letters that say why. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_agent.reading.dead_letter import DeadLetter
from vedette_agent.reading.decoding.decoder import ProfileReadings
from vedette_agent.reading.lateness import Lateness
from vedette_agent.reading.rate_limit import RateLimit
from vedette_models.readings import Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_agent.config.models import Limits, TimePolicy
    from vedette_agent.reading.devices import DeviceTable

_NOT_OWN = np.uint8(Quality.ARRIVAL_TIME | Quality.CLOCK_AHEAD | Quality.CLOCK_WRONG)


class Intake:
    """What each device of a profile may send, by how much and by when."""

    def __init__(self, time: TimePolicy, limits: Limits) -> None:
        self._time, self._limits = time, limits
        self._rates = (
            RateLimit(limits.device_rate, limits.device_burst, any_age=time.max_age is None)
            if limits.device_rate > 0
            else None
        )
        self._lateness = Lateness(time.max_late)

    def admit(
        self, part: ProfileReadings, table: DeviceTable, now: float, uptime: float
    ) -> tuple[ProfileReadings, list[DeadLetter]]:
        """The readings to be judged, and dead letters for those that are too many or too late.

        Retained readings pass: they are not judged. `now`: when they arrived, seconds since 1970; `uptime`: the same by
        a clock that nobody sets.
        """
        live = np.flatnonzero(~part.retained) if part.retained.any() else None
        batch = part.batch if live is None else part.batch.take(live)
        self._lateness.make_room(table.rows)
        dead: list[DeadLetter] = []
        refused = None
        if self._rates is not None:
            self._rates.make_room(table.rows, now, uptime)
            own = batch.time
            stood_in = batch.quality & _NOT_OWN != 0
            if stood_in.any():
                own = np.where(stood_in, np.nan, own)
            over = self._rates.over(batch.device, own, self._lateness.newest, now, uptime)
            if len(over):
                refused = self._refuse(over, len(batch), refused)
                detail = f"more than limits.device_rate = {self._limits.device_rate:g} readings a second"
                dead += [
                    DeadLetter(origin, "rate_limited", detail, table.name(row))
                    for origin, row in zip(batch.origin[over].tolist(), batch.device[over].tolist(), strict=True)
                ]
        kept = None if refused is None else np.flatnonzero(~refused)
        rest = batch if kept is None else batch.take(kept)
        late = self._lateness.late(rest.device, rest.time, uptime)
        if len(late):
            dead += [self._too_late(rest.origin[i], rest.time[i], rest.device[i], table) for i in late.tolist()]
            refused = self._refuse(late if kept is None else kept[late], len(batch), refused)
        if refused is None:
            return part, []
        gone = np.zeros(len(part.batch), np.bool_)
        gone[np.flatnonzero(refused) if live is None else live[refused]] = True
        rows = np.flatnonzero(~gone)
        sequence = [part.sequence[i] for i in rows.tolist()]
        return ProfileReadings(part.batch.take(rows), sequence, part.retained[rows]), dead

    @staticmethod
    def _refuse(at: NDArray[np.intp], count: int, refused: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        refused = np.zeros(count, np.bool_) if refused is None else refused
        refused[at] = True
        return refused

    def _too_late(self, origin: np.intp, time: np.float64, row: np.intp, table: DeviceTable) -> DeadLetter:
        behind = float(self._lateness.newest[row] - time)
        detail = (
            f"{behind:.0f} s older than the newest reading of this device, time.max_late is {self._time.max_late:g} s: "
            "it came too late to be judged"
        )
        return DeadLetter(int(origin), "late", detail, table.name(int(row)))

    def forget(self, row: int) -> None:
        """A device's row is free."""
        self._lateness.forget(row)
        if self._rates is not None:
            self._rates.forget(row)

    def absent(self, seconds: float, uptime: float) -> None:
        """We could not be reached for so long, until `uptime`."""
        if self._rates is not None:
            self._rates.absent(seconds, uptime)

    def clock_set(self, now: float) -> None:
        """Our own clock was set to `now`."""
        self._lateness.clock_set()
        if self._rates is not None:
            self._rates.clock_set(now)
