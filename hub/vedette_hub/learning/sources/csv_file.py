"""Training data from a CSV file: a header, a time column, value columns, a device column where there are several.

A label column says which readings are known to be anomalous; it is never a channel, unless it is asked for as one.
"""

from __future__ import annotations

import csv
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from vedette_hub.learning.cleaning import Note, Series
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.errors import TrainingRefusedError

TIME_COLUMNS = ("time", "timestamp", "ts", "datetime", "date")
DEVICE_COLUMN = "device"
LABEL_COLUMNS = ("anomaly", "is_anomaly", "anomalous", "label")
ANOMALOUS = frozenset({"true", "yes", "anomaly", "anomalous"})
USUAL = frozenset({"false", "no", "normal"})
"""What a label column may say beside numbers, of which 0 is normal; so is a missing one."""
DELIMITERS = ",;\t|"
MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})
MAX_VALUES = 20_000_000
"""Lines x channels read at most: bounds the memory to about 200 MB."""
MAX_DEVICES = 100_000
_MILLISECONDS = 1e11
"""A number above this is a time in milliseconds: in seconds it would be the year 5138."""
_TELL_EVERY = 20_000


def read(
    path: Path,
    profile: str,
    channels: Sequence[str] = (),
    *,
    time_column: str = "",
    device_column: str = "",
    label_column: str = "",
    tell: Callable[[float], None] = lambda done: None,
) -> Source:
    """The readings in a file. Without `channels`, every column that is not time, device or label and holds numbers.

    Raises:
        TrainingRefusedError: no file, no such columns, or not one line that can be used.
    """
    try:
        size = path.stat().st_size
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(file, path, profile, list(channels), time_column, device_column, label_column, tell, size)
    except OSError as error:
        raise TrainingRefusedError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise TrainingRefusedError(f"{path}: this is no CSV file in UTF-8: {error}") from error


def _read(
    file: TextIO,
    path: Path,
    profile: str,
    wanted: list[str],
    time_column: str,
    device_column: str,
    label_column: str,
    tell: Callable[[float], None],
    size: int,
) -> Source:
    rows = csv.reader(file, delimiter=_delimiter(file))
    header = [name.strip() for name in next(rows, [])]
    if not header:
        raise TrainingRefusedError(f"{path}: empty; a header with a time column and value columns is needed")
    time_at = _time_column(path, header, time_column)
    device_at = _device_column(path, header, device_column)
    label_at = _label_column(path, header, label_column, wanted)
    first = next((line for line in rows if line), [])
    if not first:
        raise TrainingRefusedError(f"{path}: there is only a header, and not one reading below it")
    others = _other_columns(header, first, {time_at, device_at, label_at})
    names = wanted or [name for name, problem in others.items() if not problem]
    columns = [_column(path, header, name) for name in names]
    if not columns:
        raise TrainingRefusedError(f"{path}: no column holds numbers; the header has: {', '.join(header)}")
    numbers: dict[str, array[float]] = defaultdict(lambda: array("d"))
    skipped = read = taken = 0
    problem = ""
    stopped = False
    for line in _from(first, rows):
        if not line:
            continue
        read += 1
        if read * len(columns) > MAX_VALUES:
            stopped = True
            break
        try:
            reading = [_seconds(line[time_at]), *(_value(line[column]) for column in columns)]
            reading.append(0.0 if label_at is None else _label(line[label_at]))
            device = line[device_at].strip() if device_at is not None else path.stem
        except (ValueError, IndexError) as error:
            skipped += 1
            problem = problem or f"line {rows.line_num}: {error}"
            continue
        if device not in numbers and len(numbers) >= MAX_DEVICES:
            skipped += 1
            problem = problem or f"line {rows.line_num}: more than {MAX_DEVICES} devices"
            continue
        numbers[device].extend(reading)
        taken += sum(map(len, line)) + len(line)
        if not read % _TELL_EVERY:
            tell(min(1.0, taken / size))
    notes = [] if wanted else [Note("column", name, 0, problem) for name, problem in others.items() if problem]
    if skipped:
        notes.append(Note("readings", "", skipped, f"cannot be read ({problem}): left out"))
    if stopped:
        notes.append(
            Note("readings", "", read - 1, f"the first {MAX_VALUES:,} values of the file; the rest is left out")
        )
    if not numbers:
        raise TrainingRefusedError(f"{path}: not one of {skipped} lines can be used; {problem}")
    tables = {device: np.frombuffer(flat).reshape(-1, 2 + len(columns)) for device, flat in numbers.items()}
    series = tuple(Series(device, table[:, 0], table[:, 1:-1]) for device, table in tables.items())
    labels = tuple(table[:, -1] != 0.0 for table in tables.values()) if label_at is not None else None
    return Source(profile, tuple(names), series, "csv", name=str(path), notes=tuple(notes), anomalous=labels)


def _from(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _delimiter(file: TextIO) -> str:
    """The delimiter that the header uses most; leaves the file at its beginning."""
    header = file.readline()
    file.seek(0)
    return max(DELIMITERS, key=header.count)


def _time_column(path: Path, header: list[str], name: str) -> int:
    for wanted in (name,) if name else TIME_COLUMNS:
        found = [i for i, column in enumerate(header) if column.casefold() == wanted.casefold()]
        if found:
            return found[0]
    wanted = repr(name) if name else " or ".join(TIME_COLUMNS)
    raise TrainingRefusedError(f"{path}: no time column {wanted}; the header has: {', '.join(header)}")


def _device_column(path: Path, header: list[str], name: str) -> int | None:
    if name:
        return _column(path, header, name)
    return next((i for i, column in enumerate(header) if column.casefold() == DEVICE_COLUMN), None)


def _label_column(path: Path, header: list[str], name: str, wanted: Sequence[str]) -> int | None:
    if name:
        return _column(path, header, name)
    channels = {channel.casefold() for channel in wanted}
    known = (i for i, column in enumerate(header) if column.casefold() in LABEL_COLUMNS)
    return next((i for i in known if header[i].casefold() not in channels), None)


def _column(path: Path, header: list[str], name: str) -> int:
    for i, column in enumerate(header):
        if column.casefold() == name.strip().casefold():
            return i
    raise TrainingRefusedError(f"{path}: no column {name!r}; the header has: {', '.join(header)}")


def _other_columns(header: list[str], first: list[str], taken: set[int | None]) -> dict[str, str]:
    """The columns that may be channels, by name, and why one is none, by the first line; empty where it is one."""
    found = {}
    for i, name in enumerate(header):
        if i in taken or not name:
            continue
        try:
            _value(first[i])
        except (ValueError, IndexError):
            said = repr(first[i][:40]) if i < len(first) else "nothing"
            found[name] = f"holds no number in the first line, but {said}: taken for no channel"
        else:
            found[name] = ""
    return found


def _value(text: str) -> float:
    """A number; NaN where there is none.

    Raises:
        ValueError: something else.
    """
    return float("nan") if text.strip().lower() in MISSING else float(text)


def _label(text: str) -> float:
    """1 for a reading that is known to be anomalous, else 0.

    Raises:
        ValueError: it says neither.
    """
    said = text.strip().casefold()
    if said in MISSING or said in USUAL:
        return 0.0
    return 1.0 if said in ANOMALOUS else float(float(said) != 0.0)


def _seconds(text: str) -> float:
    """Seconds since 1970 of a number of seconds or milliseconds, or of ISO 8601 (UTC where it does not say).

    Raises:
        ValueError: something else.
    """
    try:
        number = float(text)
    except ValueError:
        parsed = datetime.fromisoformat(text.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    return number / 1000.0 if abs(number) > _MILLISECONDS else number
