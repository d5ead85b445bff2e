"""Live: what is shown of readings while somebody looks at their device. Pure, and bounded.

A `LiveTap` hangs on a `ProfileWatch` only while somebody looks: otherwise nothing here runs. It keeps the newest
readings of the devices looked at until they are taken, and counts those that there was no room for.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.trial import OnTrial
from vedette_models.detectors.forecast import Forecast
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.messages import LiveReading, LiveScore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_agent.reading.devices import DeviceTable
    from vedette_agent.reading.pipeline import Pipeline, Verdicts
    from vedette_models.readings import ReadingBatch

READINGS = 256
"""Readings of a device that wait to be taken."""
SCORES = 4_096
"""Devices whose scores wait to be taken, where all are looked at; of those that come later nothing is kept."""


class Taken(NamedTuple):
    """What was kept of a device since the last time."""

    readings: list[LiveReading]
    skipped: int


class Band(NamedTuple):
    """What was expected of K readings of C channels before they came; NaN: not known."""

    rows: NDArray[np.intp]
    """(K,) in the batch."""
    low: NDArray[np.float64]
    """(K, C)"""
    high: NDArray[np.float64]
    """(K, C)"""


def expected(pipeline: Pipeline, device: int, times: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """(K, C) lower and upper end of what is expected of a device at `times` (K,), before it is known.

    The band of the forecast where one runs, and where it says nothing the range of the newest readings.
    """
    own = next((one for one in pipeline.own if isinstance(one, RangeBreak)), None)
    channels = len(pipeline.profile.channels)
    usual = own.usual(device) if own is not None and device < own.devices else np.full((2, channels), np.nan)
    low, high = (np.broadcast_to(end, (len(times), channels)) for end in usual)
    model = pipeline.model.new if isinstance(pipeline.model, OnTrial) else pipeline.model
    if isinstance(model, Forecast) and device < model.devices:
        band = model.forecast(device, times)
        known = np.isfinite(band.expected)
        low, high = np.where(known, band.low, low), np.where(known, band.high, high)
    return low, high


class LiveTap:
    """The devices of one profile that somebody looks at; `everybody`: also the scores of all of them."""

    def __init__(self) -> None:
        self._devices: dict[str, deque[LiveReading]] = {}
        self._skipped: dict[str, int] = {}
        self._scores: dict[int, tuple[float, float]] | None = None
        """By row of a device, the largest score since the last time, and its time."""

    def __bool__(self) -> bool:
        return bool(self._devices) or self._scores is not None

    def watch(self, device: str) -> None:
        """Keep the readings of a device from now on; the empty name stands for the scores of all."""
        if not device:
            self._scores = {} if self._scores is None else self._scores
        else:
            self._devices.setdefault(device, deque(maxlen=READINGS))
            self._skipped.setdefault(device, 0)

    def leave(self, device: str) -> None:
        """Nobody looks at it any more."""
        if not device:
            self._scores = None
        self._devices.pop(device, None)
        self._skipped.pop(device, None)

    def forget(self, row: int) -> None:
        """The row of a device is free."""
        if self._scores is not None:
            self._scores.pop(row, None)

    def expect(self, batch: ReadingBatch, table: DeviceTable, pipeline: Pipeline) -> dict[str, Band]:
        """What is expected of the readings in a batch that somebody looks at, before they are judged."""
        bands = {}
        for device in self._devices:
            row = table.find(device)
            if row is not None and len(rows := np.flatnonzero(batch.device == row)):
                bands[device] = Band(rows, *expected(pipeline, row, batch.time[rows]))
        return bands

    def note(self, verdicts: Verdicts, bands: dict[str, Band]) -> None:
        """Keep the readings of a batch that somebody looks at, as they were judged."""
        batch = verdicts.batch
        for device, band in bands.items():
            kept = self._devices[device]
            self._skipped[device] += max(0, len(kept) + len(band.rows) - READINGS)
            for i, row in enumerate(band.rows.tolist()):
                kept.append(
                    LiveReading(
                        float(batch.time[row]),
                        _plain(batch.values[row]),
                        _plain(band.low[i]),
                        _plain(band.high[i]),
                        round(float(verdicts.anomaly[row]), 4),
                        int(batch.quality[row]),
                    )
                )
        if self._scores is not None:
            self._note_scores(self._scores, batch, verdicts.anomaly)

    @staticmethod
    def _note_scores(scores: dict[int, tuple[float, float]], batch: ReadingBatch, anomaly: NDArray[np.float64]) -> None:
        order = np.lexsort((anomaly, batch.device))
        devices = batch.device[order]
        last = np.flatnonzero(np.append(devices[1:] != devices[:-1], True)) if len(devices) else devices
        for at in order[last].tolist():
            device, score = int(batch.device[at]), float(anomaly[at])
            before = scores.get(device)
            if before is None and len(scores) >= SCORES:
                continue
            if before is None or score >= before[0]:
                scores[device] = (score, float(batch.time[at]))

    def take(self, device: str) -> Taken:
        """What was kept of a device, oldest first; it is gone from here."""
        kept, skipped = self._devices.get(device, deque()), self._skipped.get(device, 0)
        readings = list(kept)
        kept.clear()
        if device in self._skipped:
            self._skipped[device] = 0
        return Taken(readings, skipped)

    def take_scores(self, profile: str, table: DeviceTable) -> list[LiveScore]:
        """The scores of all devices, the largest first; they are gone from here."""
        if self._scores is None:
            return []
        found = sorted(self._scores.items(), key=lambda item: -item[1][0])
        self._scores = {}
        names = table.names()
        return [
            LiveScore(name, profile, time, round(score, 4))
            for row, (score, time) in found
            if row < len(names) and (name := names[row]) is not None
        ]


def _plain(row: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(value if value == value else None for value in row.tolist())
