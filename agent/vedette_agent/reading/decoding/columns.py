"""Lane: the rows of one profile on their way into columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.dead_letter import DeadLetter
from vedette_agent.reading.decoding.row import CELLS, SEQUENCE, TIMES, Row
from vedette_agent.reading.decoding.timestamps import Arrival, judge
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from vedette_agent.config.models import TimePolicy
    from vedette_agent.reading.devices import DeviceTable


class Columns(NamedTuple):
    """The usable readings of a lane, at least one."""

    batch: ReadingBatch
    sequence: list[int | None]


class Lane:
    """Readings of one profile, in order of arrival."""

    def __init__(self) -> None:
        self.origins: list[int] = []
        self.devices: list[str] = []
        self.rows: list[Row] = []

    def add(self, origin: int, device: str, row: Row) -> None:
        """One reading: index of its message, device, row."""
        self.origins.append(origin)
        self.devices.append(device)
        self.rows.append(row)

    def readings(self) -> Iterator[tuple[int, str, Row]]:
        """What was added."""
        return zip(self.origins, self.devices, self.rows, strict=True)

    def columns(
        self, table: DeviceTable, arrival: Arrival, policy: TimePolicy, retained: Collection[int]
    ) -> tuple[Columns | None, list[DeadLetter]]:
        """What is usable, and dead letters for readings without a usable time or without room in the device table.

        The readings of the messages `retained` may be of any age: they say what was last known.
        """
        if not self.rows:
            return None, []
        gathered = list(zip(*self.rows, strict=True))
        times = judge(_first_given(gathered[:TIMES]), arrival, policy)
        for i in [i for i, (reason, _) in times.refused.items() if reason == "too_old" and self.origins[i] in retained]:
            del times.refused[i]
        dead = [DeadLetter(self.origins[i], *why, self.devices[i]) for i, why in times.refused.items()]
        # A device that never sent a usable reading takes no row.
        rows: list[int | None] = [table.find(device) for device in self.devices]
        if dead or None in rows:
            for i, device in enumerate(self.devices):
                if i in times.refused:
                    rows[i] = None
                elif rows[i] is None and (row := table.row(device)) is not None:
                    rows[i] = row
                elif rows[i] is None:
                    dead.append(DeadLetter(self.origins[i], "device_limit", _full(table), device))
        origins = np.array(self.origins, np.intp)
        # (C, N) as gathered; a copy in row order is what the stages after this one run through.
        values = np.ascontiguousarray(np.array(gathered[CELLS:], np.float64).T)
        sequence: list[int | None] = list(gathered[SEQUENCE])
        if not dead:
            batch = ReadingBatch(
                np.array(rows, np.intp),
                times.seconds,
                values,
                times.quality,
                origins,
                np.full(len(rows), arrival.time),
                times.ahead,
            )
            return Columns(batch, sequence), []
        kept = [i for i, row in enumerate(rows) if row is not None]
        if not kept:
            return None, dead
        known = np.array([rows[i] for i in kept], np.intp)
        batch = ReadingBatch(
            known,
            times.seconds[kept],
            values[kept],
            times.quality[kept],
            origins[kept],
            np.full(len(kept), arrival.time),
            times.ahead[kept],
        )
        return Columns(batch, [sequence[i] for i in kept]), dead


def _first_given(candidates: Sequence[Sequence[float | str | None]]) -> Sequence[float | str | None]:
    """Per reading the first of its times that is there."""
    times = candidates[0]
    for others in candidates[1:]:
        if None not in times:
            break
        times = [other if time is None else time for time, other in zip(times, others, strict=True)]
    return times


def _full(table: DeviceTable) -> str:
    return (
        f"already {len(table)} devices: raise limits.max_devices, "
        "or free room with `vedette-agent forget DEVICE` for devices that are gone"
    )
