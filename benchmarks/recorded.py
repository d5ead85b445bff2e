"""Scores of detectors, computed once, and decided on as often as wanted: through the gateway's own stages.

Calibration and decisions cost little, detectors much. `record` lets a gateway score every series and keeps what its
detectors said; `replay` runs one series through `ProfileWatch` again, with the detectors' places taken by what they
said. A detector's scores do not depend on budget or threshold, so alerts are those of the detectors themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.devices import DeviceTable
from vedette_agent.reading.health.faults import Faults
from vedette_agent.reading.health.sensor_health import SensorHealth
from vedette_agent.reading.pipeline import Pipeline
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.detectors.base import Finding
from vedette_models.profile import Channel, Decisions, Profile
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vedette_models.calibration import Prior

Examined = list[tuple[ReadingBatch, Faults]]
"""Batches of one series as they are judged, and the faults found in them."""
BATCH = 512
CHANNELS = (Channel("value"),)


class Said(NamedTuple):
    """What one detector said of one series."""

    detector: str
    default_threshold: float
    prior: Prior
    total: NDArray[np.float64]
    """(N,) scores."""

    @property
    def strength(self) -> NDArray[np.float64]:
        """(N,) scores / default threshold."""
        return self.total / self.default_threshold


def record(times: Sequence[NDArray[np.float64]], values: Sequence[NDArray[np.float64]]) -> list[tuple[Said, ...]]:
    """What the default detectors say of each series, all of them devices of one gateway, read side by side."""
    watch = ProfileWatch(Profile("recorded", CHANNELS), "benchmark", "e", len(times))
    for device in range(len(times)):
        watch.table.row(str(device))
    watch.pipeline.make_room(len(times))
    detectors = watch.pipeline.detectors
    totals = [[np.zeros(len(time)) for time in times] for _ in detectors]
    for batch, place in _side_by_side(times, values):
        scored = watch.process(batch).verdicts.scored
        for said, total in zip(scored, totals, strict=True):
            for device, at, score in zip(
                batch.device.tolist(), place.tolist(), said.scores.total.tolist(), strict=True
            ):
                total[device][at] = score
    return [
        tuple(
            Said(d.name, d.default_threshold, d.prior, total[device])
            for d, total in zip(detectors, totals, strict=True)
        )
        for device in range(len(times))
    ]


def _side_by_side(
    times: Sequence[NDArray[np.float64]], values: Sequence[NDArray[np.float64]]
) -> Iterator[tuple[ReadingBatch, NDArray[np.intp]]]:
    """Batches of the first reading of each series, then the second of each; and the row of each reading."""
    place = np.concatenate([np.arange(len(time)) for time in times])
    device = np.repeat(np.arange(len(times)), [len(time) for time in times])
    order = np.lexsort((device, place))
    place, device = place[order], device[order]
    when, what = np.concatenate(times)[order], np.concatenate(values)[order]
    for first in range(0, len(order), BATCH):
        part = slice(first, first + BATCH)
        yield ReadingBatch.of(device[part], when[part], what[part, None]), place[part]


def examine(time: NDArray[np.float64], values: NDArray[np.float64]) -> Examined:
    """What sensor health makes of one series, alone on its gateway: no budget changes that."""
    health, table = SensorHealth(Profile("recorded", CHANNELS)), DeviceTable(1)
    row = table.row("device")
    examined: Examined = []
    for first in range(0, len(time), BATCH):
        part = slice(first, first + BATCH)
        device = np.full(len(time[part]), row, np.intp)
        examined.append(health.examine(ReadingBatch.of(device, time[part], values[part, None]), table, None))
    return examined


def replay(
    examined: Examined, said: Sequence[Said], decisions: Decisions, priors: Mapping[str, Prior] | None = None
) -> NDArray[np.bool_]:
    """(N,) readings at which an anomaly alert is raised, on a gateway of its own; `priors` replace the detectors'."""
    profile = Profile("recorded", CHANNELS, decisions)
    watch = ProfileWatch(profile, "benchmark", "e", 1)
    watch.table.row("device")
    watch.health = _ExaminedHealth(examined)  # type: ignore[assignment] # it stands in for as far as `process` asks
    watch.pipeline = Pipeline(profile, [_Recorded(s, (priors or {}).get(s.detector, s.prior)) for s in said])
    raised = []
    for batch, _ in examined:
        decided = watch.process(batch).decided
        rows = np.zeros(len(batch), np.bool_)
        for at, event in zip(decided.rows, decided.events, strict=True):
            rows[at] |= event.revision == 1 and event.kind == "anomaly"
        raised.append(rows)
    return np.concatenate(raised)


class _ExaminedHealth:
    """Sensor health's place, taken by what it made of one series."""

    def __init__(self, examined: Examined) -> None:
        self._examined = iter(examined)

    def examine(
        self, batch: ReadingBatch, table: DeviceTable, heard: NDArray[np.float64] | None
    ) -> tuple[ReadingBatch, Faults]:
        """What was made of the next batch."""
        return next(self._examined)


class _Recorded:
    """A detector's place, taken by what it said of one series."""

    def __init__(self, said: Said, prior: Prior) -> None:
        self.name, self.default_threshold, self.prior = said.detector, said.default_threshold, prior
        self._total, self._next = said.total, 0
        self.devices = 0

    def resize(self, devices: int) -> None:
        """Nothing grows."""
        self.devices = devices

    def score(self, batch: ReadingBatch) -> _RecordedScores:
        """What was said of the next readings."""
        first, self._next = self._next, self._next + len(batch)
        return _RecordedScores(self._total[first : self._next], batch.values)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """What was said stands."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """None."""
        return {}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """None."""


class _RecordedScores:
    def __init__(self, total: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        self.total, self.by_channel, self._values = total, total[:, None], values

    def finding(self, row: int, channel: int) -> Finding | None:
        """The value itself: why it was said was not kept."""
        value = float(self._values[row, channel])
        return Finding("value", value, value, value) if self.total[row] > 0.0 else None
