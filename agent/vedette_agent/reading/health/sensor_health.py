"""SensorHealth: all checks of one profile's sensors and devices, before anything is scored or learnt.

What a fault takes out: impossible values and repeats of a stuck channel are neither scored nor learnt. A wrong clock
takes no value out, but the reading's time: the arrival stands in where it is known. A jump is known only when it is
over; the anomaly it opened is cleared. No reading at fault is learnt from at the hub.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.health.clock import Clock, own_times
from vedette_agent.reading.health.faults import SILENT, Explained, Faults, Found, Transient
from vedette_agent.reading.health.impossible import Impossible
from vedette_agent.reading.health.jump import Jump
from vedette_agent.reading.health.silent import Missed, Silent
from vedette_agent.reading.health.stuck import Stuck
from vedette_agent.reading.health.unreported import Lacking, Unreported
from vedette_models.columns import LARGEST
from vedette_models.detectors.base import StateError
from vedette_models.readings import Quality
from vedette_models.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_agent.reading.devices import DeviceTable
    from vedette_agent.reading.health.fields import Remembered
    from vedette_agent.reading.health.jump import Jumped
    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch

NAME = "sensor_health"
"""As the detector of its alerts, and in checkpoints."""


class Examined(NamedTuple):
    """A batch and what is wrong with it."""

    batch: ReadingBatch
    """As received, with the arrival for the time where the clock is known to be wrong."""
    faults: Faults


class SensorHealth:
    """What is known of the health of one profile's devices; kept, forgotten and resized like a detector's state."""

    def __init__(self, profile: Profile) -> None:
        rules = profile.health
        self._channels = len(profile.channels)
        self._impossible = Impossible(profile) if rules.impossible else None
        self._stuck = Stuck(profile) if rules.stuck else None
        self._jump = Jump(profile) if rules.jump else None
        self._clock = Clock(rules.clock_tolerance) if rules.clock else None
        self._silent = Silent(rules.silent_after) if rules.silent else None
        self._unreported = Unreported(profile) if rules.silent else None
        checks = {"stuck": self._stuck, "jump": self._jump, "clock": self._clock, "silent": self._silent}
        self._fields: dict[str, Remembered] = {
            name: check.fields for name, check in checks.items() if check is not None
        }
        if self._unreported is not None:
            self._fields |= {"unreported": self._unreported.fields, "messages": self._unreported.devices}
        self.devices = 0
        """Rows there is room for."""

    def examine(self, batch: ReadingBatch, table: DeviceTable, heard: NDArray[np.float64] | None = None) -> Examined:
        """Look at each reading, and learn it; `heard` (N,): seconds of listening at each arrival, never falling.

        Without `heard`, no rhythm is learnt.
        """
        self.make_room(table.rows)
        found: list[Found] = []
        withheld: NDArray[np.bool_] | None = None
        if self._impossible is not None and self._impossible.needed:
            outside = self._impossible.outside(batch, table)
            if outside.any():
                withheld = outside
                found.append(self._impossible.found(batch, outside, table))
        stuck: dict[tuple[int, int], tuple[float, float]] = {}
        jumps: dict[tuple[int, int], Jumped] = {}
        wrong, missed = {}, {}
        lacking: dict[int, list[Lacking]] = {}
        reported = batch.values == batch.values
        times, lags, arrivals = own_times(batch)
        values = np.clip(batch.values, -LARGEST, LARGEST)
        if withheld is not None:
            values[withheld] = np.nan
        for rows in rounds(batch.device):
            device = batch.device[rows]
            if self._clock is not None:
                told = self._clock.examine(device, times[rows], lags[rows], arrivals[rows])
                wrong.update({int(rows[i]): what for i, what in told.items()})
            if heard is not None and self._silent is not None and self._unreported is not None:
                late = self._silent.examine(device, heard[rows])
                missed.update({int(rows[i]): what for i, what in late.items()})
                absent = self._unreported.examine(device, reported[rows], heard[rows], self._silent.due(device))
                lacking.update({int(rows[i]): what for i, what in absent.items()})
            self._look(batch, values, rows, stuck, jumps)
        if self._stuck is not None and stuck:
            withheld = np.zeros(values.shape, np.bool_) if withheld is None else withheld
            for at in stuck:
                withheld[at] = True
            found.append(self._stuck.found(batch, stuck))
        transients: dict[int, list[Transient]] = {}
        if self._jump is not None and jumps:
            found.append(self._jump.found(batch, jumps))
            for (row, column), jumped in jumps.items():
                transients.setdefault(row, []).append(Transient(column, jumped.began))
        if wrong:
            found.append(Clock.found(batch, wrong))
            batch = _by_arrival(batch, np.array(sorted(wrong), np.intp))
        if missed or lacking:
            found.append(self._silences(batch, missed, lacking))
        unreported = {row: tuple(one.column for one in channels) for row, channels in lacking.items()}
        return Examined(batch, Faults(tuple(found), withheld, transients, unreported))

    def _silences(self, batch: ReadingBatch, missed: dict[int, Missed], lacking: dict[int, list[Lacking]]) -> Found:
        """Devices that had been silent until their reading, and those of which a channel is."""
        rows = np.zeros(len(batch), np.bool_)
        rows[[*missed, *lacking]] = True

        def explain(row: int) -> Explained:
            if row in missed or self._unreported is None:
                return missed[row].explain()
            return self._unreported.explain(lacking[row])

        return Found(SILENT, rows, explain)

    def _look(
        self,
        batch: ReadingBatch,
        values: NDArray[np.float64],
        rows: NDArray[np.intp],
        stuck: dict[tuple[int, int], tuple[float, float]],
        jumps: dict[tuple[int, int], Jumped],
    ) -> None:
        """The checks of single channels, of readings of different devices."""
        if self._stuck is None and self._jump is None:
            return
        x = values[rows].reshape(-1)
        series = (batch.device[rows][:, None] * self._channels + np.arange(self._channels)).reshape(-1)
        time = batch.time[rows].repeat(self._channels)
        place = np.arange(len(x))
        reported = x == x
        if not reported.all():
            place, x, series, time = place[reported], x[reported], series[reported], time[reported]
        if self._stuck is not None:
            repeating = self._stuck.examine(series, x, time)
            if repeating:
                for i, what in repeating.items():
                    stuck[self._at(rows, int(place[i]))] = what
                if self._jump is not None:
                    self._jump.leave(series[list(repeating)])
                others = np.ones(len(x), np.bool_)
                others[list(repeating)] = False
                place, x, series, time = place[others], x[others], series[others], time[others]
        if self._jump is not None:
            for i, jumped in self._jump.examine(series, x, time).items():
                jumps[self._at(rows, int(place[i]))] = jumped

    def _at(self, rows: NDArray[np.intp], place: int) -> tuple[int, int]:
        return int(rows[place // self._channels]), place % self._channels

    def tick(self, clock: float) -> list[Missed]:
        """The devices that are silent at `clock` seconds of listening."""
        return [] if self._silent is None else self._silent.tick(clock)

    @property
    def silent(self) -> int:
        """Devices that are silent now."""
        return 0 if self._silent is None else self._silent.count

    @property
    def silent_channels(self) -> int:
        """Channels that are silent now, while their devices go on."""
        return 0 if self._unreported is None else self._unreported.count

    def never_reported(self) -> list[tuple[int, int]]:
        """(device row, column) of channels that a device has never reported, in enough messages to say so."""
        never = np.zeros((0, 0), np.bool_) if self._unreported is None else self._unreported.never()
        rows, columns = never.nonzero()
        return list(zip(rows.tolist(), columns.tolist(), strict=True))

    def due(self, device: int) -> float:
        """Seconds of listening after which a device is silent; infinite where that is not known."""
        self.make_room(device + 1)
        return math.inf if self._silent is None else float(self._silent.due(np.array([device], np.intp))[0])

    def anew(self, clock: float) -> None:
        """We could not listen until `clock`: every device, and every channel, has its usual gap anew."""
        for check in (self._silent, self._unreported):
            if check is not None:
                check.anew(clock)

    def mark_silent(self, device: int, column: int = -1) -> None:
        """The alert that this device, or one channel of it, is silent is still open."""
        if self._silent is None or self._unreported is None or device >= self.devices:
            return
        if column < 0:
            self._silent.mark(device)
        else:
            self._unreported.mark(device, column)

    def clock_set(self) -> None:
        """Our own clock was set."""
        if self._clock is not None:
            self._clock.stepped()

    # ------------------------------------------------------------------- state

    def make_room(self, devices: int) -> None:
        """Grow by a sixteenth, as the detectors do."""
        if self.devices < devices:
            self.devices = max(devices, self.devices + max(16, self.devices // 16))
            for fields in self._fields.values():
                fields.resize(self.devices)

    def forget(self, row: int) -> None:
        """Return a device's row to knowing nothing."""
        if row < self.devices:
            for fields in self._fields.values():
                fields.forget(np.array([row], np.intp))

    def state(self, rows: int) -> dict[str, NDArray[np.generic]]:
        """Copies of everything learnt about the first `rows` devices."""
        self.make_room(rows)
        return {
            name: array[:rows] for check, fields in self._fields.items() for name, array in fields.state(check).items()
        }

    def restore(self, state: Mapping[str, NDArray[np.generic]], rows: int) -> None:
        """Take over what `state` returned; a check that was switched on since then starts from nothing, and so does one
        that remembered something else in an earlier version.

        Raises:
            StateError: it does not fit; nothing is taken over.
        """
        self.make_room(rows)
        saved = {name: fields for name, fields in self._fields.items() if fields.holds(name, state)}
        for name, fields in saved.items():
            fields.check(name, state)
        for name, fields in saved.items():
            fields.restore(name, state)
        for check in (self._silent, self._unreported):
            if check is not None:
                check.restored()
        for array in state.values():
            if array.dtype.kind not in "fiub":
                raise StateError(f"saved sensor health holds {array.dtype}")


def _by_arrival(batch: ReadingBatch, rows: NDArray[np.intp]) -> ReadingBatch:
    """The batch with the arrivals for the times of `rows`, where they are known."""
    if batch.arrival is None:
        return batch
    time, quality = batch.time.copy(), batch.quality.copy()
    time[rows] = batch.arrival[rows]
    quality[rows] |= np.uint8(Quality.CLOCK_WRONG)
    return replace(batch, time=time, quality=quality)
