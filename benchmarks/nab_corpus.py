"""The corpus of the Numenta Anomaly Benchmark: labelled series, as its folder holds them.

    data/<category>/<file>.csv      timestamp,value
    labels/combined_windows.json    by "<category>/<file>.csv", the first and last timestamp of each labelled window
    config/profiles.json            by application profile, what finding, missing and crying wolf are worth

Timestamps without an offset are read as UTC.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_agent.reading.decoding.timestamps import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LABELS = Path("labels/combined_windows.json")
PROFILES = Path("config/profiles.json")
STANDARD, LOW_FP, LOW_FN = "standard", "reward_low_FP_rate", "reward_low_FN_rate"
NEEDED_PROFILES = (STANDARD, LOW_FP, LOW_FN)
HEADER = ("timestamp", "value")


class CorpusError(ValueError):
    """A folder that is not the benchmark's: says what was looked for, where, and what was seen."""


class Weights(NamedTuple):
    """What an application profile gives and takes."""

    true_positive: float
    false_negative: float
    false_positive: float


class Series(NamedTuple):
    """One file: N rows and the windows in which something is wrong."""

    category: str
    file: str
    """Name of the file, with its ending."""
    written: tuple[tuple[str, str], ...]
    """(N,) timestamp and value as they stand in the file."""
    time: NDArray[np.float64]
    """(N,) seconds since 1970 UTC, in the order of the file."""
    values: NDArray[np.float64]
    """(N,) finite."""
    windows: tuple[tuple[int, int], ...]
    """First and last row of each labelled window, both inclusive, in the order of time."""

    @property
    def name(self) -> str:
        """As in the labels: "<category>/<file>.csv"."""
        return f"{self.category}/{self.file}"

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(N,) rows within a labelled window."""
        inside = np.zeros(len(self.time), np.bool_)
        for first, last in self.windows:
            inside[first : last + 1] = True
        return inside


class Corpus(NamedTuple):
    """All series, sorted by name, and the weights of each application profile."""

    series: tuple[Series, ...]
    profiles: Mapping[str, Weights]
    missing: tuple[str, ...]
    """Labelled series that are not there."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(sorted({series.category for series in self.series}))


def load(folder: Path) -> Corpus:
    """Read the benchmark's folder.

    Raises:
        CorpusError: a part is missing or cannot be read; says which, and what is needed.
    """
    if not (folder / "data").is_dir():
        raise CorpusError(
            f"{folder}: no folder data/ in it; give the folder of the Numenta Anomaly Benchmark, the one with data/, "
            f"{LABELS} and {PROFILES}"
        )
    windows, profiles = _json(folder / LABELS), _profiles(folder / PROFILES)
    files = sorted((folder / "data").glob("*/*.csv"))
    if not files:
        raise CorpusError(f"{folder / 'data'}: no <category>/<file>.csv in it")
    series = tuple(_series(path, windows, folder / LABELS) for path in files)
    return Corpus(series, profiles, tuple(sorted(set(windows) - {s.name for s in series})))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}; the benchmark's folder holds it") from error
    except ValueError as error:
        raise CorpusError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CorpusError(f"{path}: an object is needed, this is a {type(content).__name__}")
    return content


def _profiles(path: Path) -> dict[str, Weights]:
    content = _json(path)
    profiles = {}
    for name in NEEDED_PROFILES:
        try:
            costs = content[name]["CostMatrix"]
            profiles[name] = Weights(*(float(costs[key]) for key in ("tpWeight", "fnWeight", "fpWeight")))
        except (KeyError, TypeError, ValueError) as error:
            raise CorpusError(
                f'{path}: profile "{name}" needs a CostMatrix with tpWeight, fnWeight and fpWeight ({error!r})'
            ) from error
    return profiles


def _series(path: Path, windows: Mapping[str, Any], labels: Path) -> Series:
    name = f"{path.parent.name}/{path.name}"
    if name not in windows:
        raise CorpusError(f'{labels}: nothing about "{name}"; a series without windows has an empty list there')
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: {error}") from error
    if not lines or tuple(column.strip() for column in lines[0][:2]) != HEADER:
        raise CorpusError(f"{path}: the header must begin with {','.join(HEADER)}, it is {','.join(lines[0][:4])!r}")
    written = tuple((line[0], line[1]) for line in lines[1:] if len(line) >= len(HEADER))
    if len(written) != len(lines) - 1 or not written:
        raise CorpusError(f"{path}: a timestamp and a value in each line, and at least one line, are needed")
    time = seconds([when for when, _ in written])
    try:
        values = np.array([float(value) for _, value in written])
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error
    if not (np.isfinite(time).all() and np.isfinite(values).all()):
        line = int(np.flatnonzero(~(np.isfinite(time) & np.isfinite(values)))[0])
        raise CorpusError(f"{path}: {','.join(written[line])!r} is no timestamp with a finite value")
    return Series(path.parent.name, path.name, written, time, values, _rows(windows[name], time, f'{labels}: "{name}"'))


def _rows(windows: Any, time: NDArray[np.float64], where: str) -> tuple[tuple[int, int], ...]:
    """First and last row of each window."""
    found: list[tuple[int, int]] = []
    if not isinstance(windows, list) or not all(isinstance(w, list) and len(w) == 2 for w in windows):
        raise CorpusError(f"{where}: a list of [first timestamp, last timestamp] is needed")
    for limits in windows:
        first, last = (_row(limit, time, where) for limit in limits)
        if first > last or (found and first <= found[-1][1]):
            raise CorpusError(
                f"{where}: window {_text(limits)} ends before it begins, or begins before the last has ended"
            )
        found.append((first, last))
    return tuple(found)


def _row(limit: Any, time: NDArray[np.float64], where: str) -> int:
    rows = np.flatnonzero(time == seconds([limit])[0]) if isinstance(limit, str) else np.empty(0, np.intp)
    if len(rows) == 0:
        raise CorpusError(f"{where}: no row has the timestamp {limit!r} of a window")
    return int(rows[0])


def _text(limits: Sequence[str]) -> str:
    return f"{limits[0]} – {limits[1]}"
