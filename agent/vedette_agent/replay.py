"""Replay: a CSV file through exactly the stages of the live agent, in order, no broker, no look-ahead."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from vedette_agent.file_clock import FileClock
from vedette_agent.file_order import LATE, Line, blocks, by_time, order_of
from vedette_agent.reading.decide import Decided
from vedette_agent.reading.decoding.document import shown
from vedette_agent.reading.decoding.timestamps import seconds
from vedette_agent.reading.health.listening import Listening
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.replay_layout import ReplayError, find_layout
from vedette_models.messages import Alert, AlertRate
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from numpy.typing import NDArray

    from vedette_agent.config import Config

BATCH = 512
TICK = 900.0
"""Seconds of the file's time after which, at the latest, it is looked at who is silent."""
DELIMITERS = ",;\t|"
SKIPPED_SHOWN = 5
WEEK = 604_800.0
MISSING = frozenset(("", "nan", "null", "none", "na", "n/a"))
PAUSE = 2.0
"""Usual intervals of a lone device from which it is looked whether it had been silent."""
SHORTEST = 10.0
OrderBy = Literal["auto", "file", "time"]
_DAY_FIRST = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b")


class ReplayedReading(NamedTuple):
    """A reading, its score (1 and more is anomalous), and whether it raised an alert."""

    time: str
    """As in the file."""
    device: str
    score: float
    raised: bool


@dataclass
class Summary:
    """What a replay came to."""

    profile: str
    readings: int = 0
    skipped: int = 0
    """Lines that could not be used at all."""
    bad_cells: int = 0
    """Values that could not be used, in lines that otherwise could."""
    values: int = 0
    """Of all channels, that could be used."""
    duplicates: int = 0
    """Readings with the time of the one before of their device."""
    unordered: int = 0
    """Readings older than the one before of their device, as they stand in the file."""
    sorted: bool = False
    """Whether they were read in order of time, not of the file."""
    first: float | None = None
    """Time of the earliest reading, seconds since 1970."""
    last: float | None = None
    devices: set[str] = field(default_factory=set)
    suppressed: int = 0
    severities: Counter[str] = field(default_factory=Counter)
    rate: AlertRate = field(default_factory=AlertRate)
    """The alert budget, and what it came to."""
    problems: list[str] = field(default_factory=list)
    """The first lines and values that could not be used, and why."""
    notes: list[str] = field(default_factory=list)
    """What else the person should know who looks at the result."""
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    """By device and channel, which were not judged together with the others in the end, and why."""

    def as_json(self) -> dict[str, object]:
        """For a machine."""
        weeks = len(self.devices) * ((self.last or 0.0) - (self.first or 0.0)) / WEEK
        alerts = self.severities.total()
        return {
            "profile": self.profile,
            "readings": self.readings,
            "skipped": self.skipped,
            "bad_cells": self.bad_cells,
            "duplicates": self.duplicates,
            "unordered": self.unordered,
            "sorted": self.sorted,
            "devices": len(self.devices),
            "from": self.first,
            "to": self.last,
            "alerts": alerts,
            "severities": dict(self.severities),
            "suppressed": self.suppressed,
            "alerts_per_device_week": round(alerts / weeks, 3) if weeks > 0 else None,
            "budget": {
                "target": self.rate.target,
                "realised": round(self.rate.alerts / self.rate.device_weeks, 3) if self.rate.device_weeks > 0 else None,
                "device_weeks": round(self.rate.device_weeks, 3),
            },
            "left_out": self.left_out,
        }


class Replay:
    """One run over one file. Iterate `run`; `events` then holds each batch's alert events, `summary` everything."""

    def __init__(
        self,
        config: Config,
        file: TextIO,
        *,
        profile: str | None = None,
        device: str = "device",
        time_column: str | None = None,
        device_column: str | None = None,
        order: OrderBy = "auto",
    ) -> None:
        """Read the header, and unless it is to be read in the order of the `file` whatever that is, all times.

        A file that is in order of neither time nor arrival is read in order of time.

        Raises:
            ReplayError: no header, no time column, or no profile whose channels are there.
        """
        self._device = device
        delimiter = _delimiter(file)
        self._decimal_comma = delimiter != ","
        self._file = csv.reader(file, delimiter=delimiter)
        self._header = [name.strip() for name in next(self._file, [])]
        self.layout = find_layout(config, self._header, profile, time_column, device_column)
        found = order_of((name, when) for name, when, _ in self._timed())
        file.seek(0)
        self._file = csv.reader(file, delimiter=delimiter)
        next(self._file, None)
        watched = self.layout.profile
        sort = order == "time" or (order == "auto" and not found.is_by_time)
        if not found.is_by_time:  # once, and not as many wrong clocks
            watched = msgspec.structs.replace(watched, health=msgspec.structs.replace(watched.health, clock=False))
        self._lines = by_time((when, line) for _, when, line in self._timed()) if sort else self._numbered()
        self._watch = ProfileWatch(watched, config.gateway.id, "replay", config.limits.max_devices)
        self.summary = Summary(watched.name, rate=self._watch.alert_rate, unordered=found.falls, sorted=sort)
        self._say_order(found.is_by_time, found.late)
        self._clock = FileClock()
        self._listening = Listening()
        self._newest = -math.inf
        self._last: dict[str, float] = {}
        self._channel_values = np.zeros(len(watched.channels), np.int64)
        self.events: list[Alert] = []
        """Of the batch whose readings are being returned."""

    def run(self) -> Iterator[ReplayedReading]:
        """Score every reading, in the order of the file, or of time where that is none."""
        for taken in blocks(self._lines, BATCH):
            yield from self._score(taken)
        self.summary.left_out = self._watch.left_out()
        self._say_values()

    def _numbered(self) -> Iterator[Line]:
        return ((self._file.line_num, line) for line in self._file if line)

    def _timed(self) -> Iterator[tuple[str, float, Line]]:
        """(device, time, line) of every line; the time is NaN or infinite where it cannot be used."""
        layout = self.layout
        for some in blocks(self._numbered()):
            times = seconds([_number_or_text(_field(line, layout.time)) for _, line in some])
            for when, line in zip(times.tolist(), some, strict=True):
                yield self._name(line[1]), when, line

    def _name(self, line: Sequence[str]) -> str:
        device = self.layout.device
        return self._device if device is None else _field(line, device) or self._device

    def _say_order(self, is_by_time: bool, late: int) -> None:
        summary = self.summary
        if not is_by_time:
            why = f"{summary.unordered} readings are older than the one before of their device"
            if late:
                why += f", {late} devices begin more than {LATE / 3600:.0f} h before others that stand before them"
            done = "it is read in order of time" if summary.sorted else "with --order time it is sorted"
            summary.notes.append(f"not in order of time: {why}; {done}; no clock is judged")
        elif summary.unordered and not summary.sorted:
            summary.notes.append(
                f"{summary.unordered} readings are older than the one before of their device: that is told as a clock "
                "that was set; if the file is out of order, use --order time"
            )

    def _say_values(self) -> None:
        summary, channels = self.summary, self.layout.profile.channel_names
        if summary.readings == 0 and summary.skipped == 0:
            summary.notes.append("the file has a header and no readings")
        elif summary.readings and not summary.values:
            summary.notes.append("the file has no value at all: nothing was watched")
        elif summary.readings:
            columns = zip(channels, self.layout.channels, self._channel_values.tolist(), strict=True)
            empty = [name for name, column, count in columns if column is not None and not count]
            if empty:
                summary.notes.append(f"no value in any line: {', '.join(empty)}")
        if summary.duplicates:
            summary.notes.append(f"{summary.duplicates} readings have the time of the one before of their device")

    def _score(self, lines: Sequence[tuple[int, list[str]]]) -> Iterator[ReplayedReading]:
        kept, batch, names = self._read(lines)
        if not kept:
            return
        self._count(batch, names)
        self.events, readings = [], []
        moments = [self._clock.read(row, when) for row, when in zip(batch.device, batch.time.tolist(), strict=True)]
        newest = np.array([moment.newest for moment in moments])
        batch = replace(batch, ahead=np.array([moment.ahead for moment in moments]))
        for part in self._moments(newest):
            readings += self._process(kept[part], batch.take(part), names[part], newest[part])
        yield from readings

    def _moments(self, newest: NDArray[np.float64]) -> Iterator[slice]:
        """Parts of a batch between which somebody may be found silent."""
        if self._clock.alone:
            steps = np.diff(newest, prepend=max(self._newest, -1e15))
            usual = float(np.median(steps))
            ends = np.flatnonzero(steps >= max(PAUSE * usual, SHORTEST))
        else:
            ends = np.flatnonzero(np.diff(newest // TICK)) + 1
        first = 0
        for end in ends.tolist():
            if end > first:
                yield slice(first, end)
                first = end
        yield slice(first, len(newest))

    def _process(
        self, written: list[str], batch: ReadingBatch, names: list[str], newest: NDArray[np.float64]
    ) -> list[ReplayedReading]:
        alone = self._clock.alone
        gone = self._was_gone(int(batch.device[0]), float(newest[0])) if alone else Decided([], [], [], 0)
        heard = np.array([self._listening.heard(float(time), alone=alone) for time in newest])
        watched = self._watch.process(batch, heard)
        self._newest = float(newest[-1])
        missed = self._watch.tick(self._listening.clock, self._newest)
        events = gone.events + watched.decided.events + missed.events
        raised = {
            row for row, event in zip(watched.decided.rows, watched.decided.events, strict=True) if event.revision == 1
        }
        self.events += events
        self.summary.suppressed += gone.suppressed + watched.decided.suppressed + missed.suppressed
        self.summary.severities.update(event.severity for event in events if event.revision == 1)
        self.summary.rate = self._watch.alert_rate
        strength = np.maximum(watched.verdicts.anomaly, watched.verdicts.faults.readings_withheld(len(batch)))
        return [
            ReplayedReading(time, device, float(strength[row]), row in raised)
            for row, (time, device) in enumerate(zip(written, names, strict=True))
        ]

    def _was_gone(self, row: int, time: float) -> Decided:
        """A lone device comes back at `time`: if it had been silent, that is told as of when it began to be.

        On a gateway that is ingest that stalls; in a file nothing stalls, and the gap is the device's.
        """
        gap = time - self._newest
        due = self._watch.health.due(row) if gap > SHORTEST else math.inf
        if not due <= gap < math.inf:
            return Decided([], [], [], 0)
        return self._watch.tick(self._listening.clock + gap, self._newest + due)

    def _count(self, batch: ReadingBatch, names: Sequence[str]) -> None:
        summary = self.summary
        summary.readings += len(batch)
        summary.devices.update(names)
        low, high = float(batch.time.min()), float(batch.time.max())
        summary.first = low if summary.first is None else min(low, summary.first)
        summary.last = high if summary.last is None else max(high, summary.last)

    def _read(self, lines: Sequence[tuple[int, list[str]]]) -> tuple[list[str], ReadingBatch, list[str]]:
        """(times as written, batch, device names) of the lines that can be used."""
        layout = self.layout
        whens = [_field(line, layout.time) for _, line in lines]
        times = seconds([_number_or_text(when) for when in whens])
        kept: list[int] = []
        rows: list[int] = []
        names: list[str] = []
        values: list[list[float]] = []
        for i, (number, line) in enumerate(lines):
            name = self._name(line)
            if not np.isfinite(times[i]):
                self._skip(number, _no_time(whens[i]))
                continue
            row = self._watch.table.row(name)
            if row is None:
                self._skip(number, f"device {name!r}: more than limits.max_devices = {self._watch.table.limit}")
                continue
            when = float(times[i])
            self.summary.duplicates += self._last.get(name) == when
            self._last[name] = when
            kept.append(i)
            rows.append(row)
            names.append(name)
            values.append([np.nan if c is None else self._value(_field(line, c), number, c) for c in layout.channels])
        columns = np.array(values, np.float64).reshape(len(kept), len(layout.channels))
        self._channel_values += np.count_nonzero(columns == columns, axis=0)
        self.summary.values = int(self._channel_values.sum())
        return [whens[i] for i in kept], ReadingBatch.of(rows, times[kept], columns), names

    def _value(self, text: str, line: int, column: int) -> float:
        """The number in a cell; NaN where there is none, which is said unless the cell says so itself."""
        if text.lower() in MISSING:
            return math.nan
        if self._decimal_comma and text.count(",") == 1:
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            value, why = math.nan, "is no number"
        else:
            why = "is not finite"
        if math.isfinite(value):
            return value
        self.summary.bad_cells += 1
        self._problem(f'line {line}, column "{self._header[column]}": {shown(text)} {why}; the other values count')
        return math.nan

    def _skip(self, line: int, why: str) -> None:
        self.summary.skipped += 1
        self._problem(f"line {line}: {why}")

    def _problem(self, what: str) -> None:
        if len(self.summary.problems) < SKIPPED_SHOWN:
            self.summary.problems.append(what)


def _no_time(text: str) -> str:
    said = f"time {text!r} is neither ISO 8601 nor seconds since 1970"
    if _DAY_FIRST.match(text):
        said += ": write the day as year-month-day, for example 2024-12-31 08:30:00 (01/02/2024 could be two days)"
    return said


def _field(line: Sequence[str], column: int) -> str:
    return line[column].strip() if column < len(line) else ""


def _number_or_text(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return text or None


def _delimiter(file: TextIO) -> str:
    """The delimiter that the header uses most; leaves the file at its beginning."""
    header = file.readline()
    file.seek(0)
    return max(DELIMITERS, key=header.count)


def open_input(path: Path) -> TextIO:
    """The file, as text.

    Raises:
        ReplayError: it cannot be read.
    """
    try:
        # a line that is not UTF-8 costs itself, not the file
        return path.open(newline="", encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ReplayError(str(error.strerror)) from error
