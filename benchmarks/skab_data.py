"""The runs of the Skoltech Anomaly Benchmark (SKAB): where they are, and what is in them."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.decoding.timestamps import seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = ("anomaly", "changepoint")


class SkabError(ValueError):
    """A folder or file that is not SKAB's: says what was seen and what is needed."""


class Run(NamedTuple):
    """One file: R readings of C channels at 1 Hz."""

    name: str
    time: NDArray[np.float64]
    """(R,) seconds."""
    values: NDArray[np.float64]
    """(R, C)"""
    anomalous: NDArray[np.bool_]
    """(R,) as labelled."""
    channels: tuple[str, ...]


def read_runs(folder: Path) -> list[Run]:
    """All labelled runs in a folder, or else in the folders in it; in the order of their numbers.

    Raises:
        SkabError: there are none, a file is broken, or their channels differ.
    """
    if not folder.is_dir():
        raise SkabError(f"{folder} is no folder; give the one that holds SKAB's valve1, or its files")
    files = sorted(folder.glob("*.csv")) or sorted(folder.glob("*/*.csv"))
    runs = [run for run in (_read(path, folder) for path in sorted(files, key=_number)) if run is not None]
    if not runs:
        raise SkabError(f"{folder}: no csv file with a column {LABELS[0]!r}, separated by semicolons")
    if len({run.channels for run in runs}) > 1:
        raise SkabError(f"{folder}: the files differ in their channels; give a folder of one plant")
    return runs


def _number(path: Path) -> tuple[str, int, str]:
    digits = re.findall(r"\d+", path.stem)
    return str(path.parent), int(digits[0]) if digits else -1, path.name


def _read(path: Path, folder: Path) -> Run | None:
    """A run; None for a file without labels, such as the anomaly-free one."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, delimiter=";")
        header = next(lines, [])
        rows = [line for line in lines if line]
    if LABELS[0] not in header:
        return None
    columns = [i for i, name in enumerate(header) if i > 0 and name not in LABELS]
    label = header.index(LABELS[0])
    try:
        values = np.array([[float(row[i] or "nan") for i in columns] for row in rows])
        anomalous = np.array([float(row[label]) for row in rows]) > 0.0
    except (ValueError, IndexError) as error:
        raise SkabError(f"{path}: {error}") from error
    time = seconds([row[0] for row in rows])
    if not len(rows) or not np.isfinite(time).all():
        raise SkabError(f"{path}: no readings, or a time that is neither ISO 8601 nor seconds")
    name = str(path.relative_to(folder))
    return Run(name, time, values, anomalous, tuple(header[i] for i in columns))
