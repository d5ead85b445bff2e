"""Replay: a CSV file through exactly the stages of the live agent, in order, no broker, no look-ahead."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.decoding.timestamps import seconds
from vedette_agent.reading.health.listening import Listening
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.messages import Alert, AlertRate
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from numpy.typing import NDArray

    from vedette_agent.config import Config
    from vedette_models.profile import Profile

BATCH = 512
TICK = 900.0
"""Seconds of the file's time after which, at the latest, it is looked at who is silent."""
TIME_COLUMNS = ("time", "timestamp", "ts", "datetime", "date")
DEVICE_COLUMN = "device"
DELIMITERS = ",;\t|"
SKIPPED_SHOWN = 5
WEEK = 604_800.0
MISSING = frozenset(("", "nan", "null", "none", "na", "n/a"))


class ReplayError(ValueError):
    """A file that cannot be replayed: says what was seen and what is needed."""


class Layout(NamedTuple):
    """Which columns of a file are what."""

    profile: Profile
    time: int
    device: int | None
    channels: tuple[int | None, ...]
    """Column of each channel of the profile; None: the file does not have it."""
    notes: tuple[str, ...]
    """What was assumed, for the person who looks at the result."""


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
    first: float | None = None
    """Time of the earliest reading, seconds since 1970."""
    last: float | None = None
    devices: set[str] = field(default_factory=set)
    suppressed: int = 0
    severities: Counter[str] = field(default_factory=Counter)
    rate: AlertRate = field(default_factory=AlertRate)
    """The alert budget, and what it came to."""
    problems: list[str] = field(default_factory=list)
    """The first lines that could not be used, and why."""
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
    ) -> None:
        """Read the header.

        Raises:
            ReplayError: no header, no time column, or no profile whose channels are there.
        """
        self._device = device
        delimiter = _delimiter(file)
        self._decimal_comma = delimiter != ","
        self._lines = csv.reader(file, delimiter=delimiter)
        header = [name.strip() for name in next(self._lines, [])]
        self.layout = find_layout(config, header, profile, time_column, device_column)
        self._watch = ProfileWatch(self.layout.profile, config.gateway.id, "replay", config.limits.max_devices)
        self.summary = Summary(self.layout.profile.name, rate=self._watch.alert_rate)
        self._listening = Listening()
        self._newest = -math.inf
        self.events: list[Alert] = []
        """Of the batch whose readings are being returned."""

    def run(self) -> Iterator[ReplayedReading]:
        """Score every reading, in the order of the file."""
        taken: list[tuple[int, list[str]]] = []
        for line in self._lines:
            if line:
                taken.append((self._lines.line_num, line))
            if len(taken) == BATCH:
                yield from self._score(taken)
                taken = []
        yield from self._score(taken)
        self.summary.left_out = self._watch.left_out()

    def _score(self, lines: Sequence[tuple[int, list[str]]]) -> Iterator[ReplayedReading]:
        kept, batch, names = self._read(lines)
        if not kept:
            return
        self._count(batch, names)
        self.events, readings = [], []
        for part in self._moments(batch.time):
            readings += self._process(kept[part], batch.take(part), names[part])
        yield from readings

    def _moments(self, time: NDArray[np.float64]) -> Iterator[slice]:
        """Parts of a batch between which somebody may be found silent, where there is somebody to hear meanwhile."""
        first = 0
        if len(self._watch.table) > 1:
            newest = np.maximum.accumulate(np.maximum(time, self._newest))
            for end in (np.flatnonzero(np.diff(newest // TICK)) + 1).tolist():
                yield slice(first, end)
                first = end
        yield slice(first, len(time))

    def _process(self, written: list[str], batch: ReadingBatch, names: list[str]) -> list[ReplayedReading]:
        heard = np.array([self._listening.heard(self._newer(float(time))) for time in batch.time])
        watched = self._watch.process(batch, heard)
        missed = self._watch.tick(self._listening.clock, self._newest)
        events = watched.decided.events + missed.events
        raised = {
            row for row, event in zip(watched.decided.rows, watched.decided.events, strict=True) if event.revision == 1
        }
        self.events += events
        self.summary.suppressed += watched.decided.suppressed + missed.suppressed
        self.summary.severities.update(event.severity for event in events if event.revision == 1)
        self.summary.rate = self._watch.alert_rate
        strength = np.maximum(watched.verdicts.anomaly, watched.verdicts.faults.readings_withheld(len(batch)))
        return [
            ReplayedReading(time, device, float(strength[row]), row in raised)
            for row, (time, device) in enumerate(zip(written, names, strict=True))
        ]

    def _newer(self, time: float) -> float:
        """The newest time of any device by now: the clock of a file."""
        self._newest = max(self._newest, time)
        return self._newest

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
            name = self._device if layout.device is None else _field(line, layout.device) or self._device
            if not np.isfinite(times[i]):
                self._skip(number, f"time {whens[i]!r} is neither ISO 8601 nor seconds since 1970")
                continue
            try:
                value = [np.nan if c is None else self._value(_field(line, c)) for c in layout.channels]
            except ValueError as error:
                self._skip(number, str(error))
                continue
            row = self._watch.table.row(name)
            if row is None:
                self._skip(number, f"device {name!r}: more than limits.max_devices = {self._watch.table.limit}")
                continue
            kept.append(i)
            rows.append(row)
            names.append(name)
            values.append(value)
        columns = np.array(values, np.float64).reshape(len(kept), len(layout.channels))
        return [whens[i] for i in kept], ReadingBatch.of(rows, times[kept], columns), names

    def _value(self, text: str) -> float:
        if text.lower() in MISSING:
            return float("nan")
        if self._decimal_comma and text.count(",") == 1:
            text = text.replace(",", ".")
        value = float(text)  # says itself what it could not convert
        if not np.isfinite(value):
            raise ValueError(f"value {text!r} is not finite")
        return value

    def _skip(self, line: int, why: str) -> None:
        self.summary.skipped += 1
        if len(self.summary.problems) < SKIPPED_SHOWN:
            self.summary.problems.append(f"line {line}: {why}")


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


def find_layout(
    config: Config, header: Sequence[str], profile: str | None, time_column: str | None, device_column: str | None
) -> Layout:
    """What the columns of a file are, for the profile named or the one whose channels fit best.

    Raises:
        ReplayError: nothing fits; says what was seen and what is needed.
    """
    if not header:
        raise ReplayError("the file is empty: a header with a time column and value columns is needed")
    if profile is not None and profile not in config.profiles:
        raise ReplayError(f"no profile {profile!r} in {config.source}; there are: {', '.join(config.profiles)}")
    time = _find_time(header, time_column)
    device = _find_column(header, device_column or DEVICE_COLUMN)
    if device_column is not None and device is None:
        raise ReplayError(f"no column {device_column!r}; the header has: {', '.join(header)}")
    candidates = [config.profiles[profile]] if profile else list(config.profiles.values())
    columns = {p.name: _find_channels(config, p, header) for p in candidates}
    best = max(candidates, key=lambda p: sum(c is not None for c in columns[p.name]))
    channels = columns[best.name]
    notes = []
    if all(c is None for c in channels):
        others = [i for i in range(len(header)) if i not in (time, device)]
        if len(candidates) == 1 and len(channels) == 1 and len(others) == 1:
            channels = (others[0],)
            notes.append(f'column "{header[others[0]]}" is taken for channel "{best.channels[0].name}"')
        else:
            wanted = "; ".join(f"{p.name}: {', '.join(p.channel_names)}" for p in candidates)
            raise ReplayError(
                f"no column is a channel; the header has: {', '.join(header)}; the profiles have: {wanted}"
            )
    missing = [name for name, c in zip(best.channel_names, channels, strict=True) if c is None]
    if missing:
        notes.append(f"not in the file: {', '.join(missing)}")
    return Layout(best, time, device, channels, tuple(notes))


def _find_time(header: Sequence[str], wanted: str | None) -> int:
    for name in (wanted,) if wanted else TIME_COLUMNS:
        if (found := _find_column(header, name)) is not None:
            return found
    if wanted:
        raise ReplayError(f"no column {wanted!r}; the header has: {', '.join(header)}")
    raise ReplayError(f"no time column ({', '.join(TIME_COLUMNS)}); the header has: {', '.join(header)}; name it")


def _find_channels(config: Config, profile: Profile, header: Sequence[str]) -> tuple[int | None, ...]:
    """Columns of a profile's channels, by their names or by the names that devices use for them."""
    aliases = {c: path for s in config.streams if s.profile == profile.name for c, path in s.channels.items()}
    found = []
    for name in profile.channel_names:
        column = _find_column(header, name)
        found.append(_find_column(header, aliases[name]) if column is None and name in aliases else column)
    return tuple(found)


def _find_column(header: Sequence[str], name: str) -> int | None:
    wanted = name.casefold()
    return next((i for i, column in enumerate(header) if column.casefold() == wanted), None)


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
