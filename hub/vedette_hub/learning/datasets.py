"""Datasets: series of readings → vectors to train with and to hold out, named by what they hold. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning import hygiene
from vedette_hub.learning.cleaning import Note, Series, channel_notes, clean, missing_notes
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.holdout import Blocks
from vedette_hub.learning.hygiene import Mark, Period
from vedette_hub.learning.vectors import Vectors, window_vectors

Origin = Literal["gateways", "csv", "synthetic", "api"]

MAX_FEATURE_VALUES = 12_000_000
"""Vectors x features kept: they take up to 100 MB, and training a few times that."""


@dataclass(frozen=True)
class Source:
    """Readings of devices of one profile, as they were found."""

    profile: str
    channels: tuple[str, ...]
    series: tuple[Series, ...]
    origin: Origin
    name: str = ""
    """Of the file, where there is one."""
    through: int = 0
    """Number of the newest sample in the store that was read."""
    notes: tuple[Note, ...] = ()
    anomalous: tuple[NDArray[np.bool_], ...] | None = None
    """By series, (R,) whether a reading is known to be anomalous; None: nothing is known."""
    periods: tuple[Period, ...] = ()
    """What alerts and their labels tell about these devices."""
    seed: int | None = None
    """For everything random; None: it follows from the data."""


@dataclass(frozen=True)
class Dataset:
    """N vectors of windows of one profile's devices, and where they come from."""

    source: Source
    series: tuple[Series, ...]
    """What is left after cleaning, without the readings that must not be learnt."""
    width: int
    """Readings in a window."""
    vectors: Vectors
    blocks: Blocks
    """Which readings are held out."""
    held_out: NDArray[np.bool_]
    """(N,) kept for judging: no window of these shares a reading with one that is trained with, labelled ones aside."""
    anomalous: NDArray[np.bool_]
    """(N,) known to hold an anomalous reading."""
    excused: NDArray[np.bool_]
    """(N,) of an alert that was labelled false or normal, and nothing else is known: normal time."""
    windows: int
    """Full windows there were; more than N where some were drawn."""
    sha256: str
    """Of everything that the vectors follow from."""
    notes: tuple[Note, ...]

    @property
    def trained(self) -> NDArray[np.bool_]:
        """(N,) what to train with."""
        return ~(self.held_out | self.anomalous)

    @property
    def learnable(self) -> tuple[NDArray[np.bool_], ...]:
        """By series, (R,) readings to train with, for who learns from readings and not from windows."""
        unusable = [int(Mark.NEAR), int(Mark.ANOMALOUS)]
        return tuple(
            self.blocks.learnable(number) & (True if one.marks is None else ~np.isin(one.marks, unusable))
            for number, one in enumerate(self.series)
        )

    @property
    def readings(self) -> int:
        """After cleaning."""
        return sum(len(one) for one in self.series)

    @property
    def devices(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(sorted({one.device for one in self.series}))

    @property
    def period(self) -> tuple[float, float]:
        """Times of the oldest and the newest reading."""
        return min(float(one.times[0]) for one in self.series), max(float(one.times[-1]) for one in self.series)

    @property
    def device_seconds(self) -> float:
        """How long devices were watched, in sum."""
        return sum(float(one.times[-1] - one.times[0]) for one in self.series)

    @property
    def seed(self) -> int:
        """For everything random: the same data gives the same model."""
        return int(self.sha256[:8], 16) if self.source.seed is None else self.source.seed


def build(
    source: Source, *, width: int, at_least: int, at_most: int, tell: Callable[[float], None] = lambda done: None
) -> Dataset:
    """The dataset of a source: windows of `width` readings; of more than `at_most` windows about so many are drawn.

    `tell` is called with the share that is done, 0 to 1.

    Raises:
        TrainingRefusedError: fewer than `at_least` windows, or no channel that changes.
    """
    series, notes = clean(_with_labels(source))
    _check_channels(source, series)
    series = hygiene.mark(series, source.periods, width)
    most = max(1, min(at_most, MAX_FEATURE_VALUES // (6 * len(source.channels))))
    found = _windows(source, series, hygiene.LEFT_OUT, width, most, tell)
    if found.normal < at_least and _has(series, Mark.SUSPECT):
        found = _windows(source, series, hygiene.UNLESS_TOO_LITTLE, width, most, tell)
    notes += hygiene.notes(series, found.without)
    if len(found.vectors.series) < found.windows:
        reason = f"of {found.windows} full windows so many were drawn, for learning.max_vectors or memory"
        notes.append(Note("vectors", "", len(found.vectors.series), reason))
    if found.normal < at_least:
        raise TrainingRefusedError(
            f"{_where(source)}: {found.normal} full windows of {width} readings in {_seen(source, found.series)}; "
            f"at least {at_least} are needed (learning.min_vectors){_left_out([*source.notes, *notes])}"
        )
    channels = _check_channels(source, hygiene.cut(found.series, {Mark.ANOMALOUS}))
    notes += missing_notes(found.series, source.channels)
    blocks = Blocks([len(one) for one in found.series], width)
    held_out, kept = blocks.judge(found.vectors.series, found.vectors.position)
    kept |= found.anomalous | found.excused
    return Dataset(
        source=source,
        series=tuple(found.series),
        width=width,
        vectors=found.vectors.take(kept),
        blocks=blocks,
        held_out=held_out[kept],
        anomalous=found.anomalous[kept],
        excused=found.excused[kept],
        windows=found.windows,
        sha256=found.digest,
        notes=(*source.notes, *channels, *notes),
    )


class _Windows(NamedTuple):
    """The vectors of all windows without the readings of some marks, and how many windows there are."""

    without: frozenset[Mark]
    series: list[Series]
    digest: str
    vectors: Vectors
    windows: int
    anomalous: NDArray[np.bool_]
    excused: NDArray[np.bool_]

    @property
    def normal(self) -> int:
        """Windows that are not known to be anomalous."""
        return self.windows - int(self.anomalous.sum())


def _windows(
    source: Source,
    series: Sequence[Series],
    without: frozenset[Mark],
    width: int,
    most: int,
    tell: Callable[[float], None],
) -> _Windows:
    usable = hygiene.cut(series, without)
    digest = _digest(source.channels, width, usable)
    always = [None if one.marks is None else _labelled(one, width) for one in usable]
    vectors, windows = window_vectors(usable, len(source.channels), width, most, int(digest[:8], 16), tell, always)
    anomalous = _touching(usable, Mark.ANOMALOUS, vectors, width)
    kept = anomalous | ~_touching(usable, Mark.NEAR, vectors, 1)
    windows -= int((~kept).sum())
    vectors, anomalous = vectors.take(kept), anomalous[kept]
    excused = _touching(usable, Mark.FALSE_ALARM, vectors, width) & ~anomalous
    return _Windows(without, usable, digest, vectors, windows, anomalous, excused)


def shortened(series: Series, readings: int) -> Series:
    """The newest so many readings of a series."""
    marks = None if series.marks is None else series.marks[-readings:]
    return replace(series, times=series.times[-readings:], values=series.values[-readings:], marks=marks)


def _with_labels(source: Source) -> list[Series]:
    if source.anomalous is None:
        return list(source.series)
    return [hygiene.labelled(one, known) for one, known in zip(source.series, source.anomalous, strict=True)]


def _has(series: Sequence[Series], mark: Mark) -> bool:
    return any(one.marks is not None and (one.marks == mark).any() for one in series)


def _check_channels(source: Source, series: Sequence[Series]) -> list[Note]:
    """What is wrong with which channel.

    Raises:
        TrainingRefusedError: something is, with every one.
    """
    found = channel_notes(series, source.channels)
    if len(found) == len(source.channels):
        said = "; ".join(f"{note.name} {note.reason.split(':')[0]}" for note in found)
        raise TrainingRefusedError(
            f"{_where(source)}: no channel of which anything can be learnt in {_seen(source, series)} ({said}); "
            "at least one must report and change"
        )
    return found


def _where(source: Source) -> str:
    return f"profile {source.profile!r}" + (f", {source.name}" if source.name else "")


def _seen(source: Source, series: Sequence[Series]) -> str:
    found = sum(len(one) for one in source.series)
    kept = sum(len(one) for one in series)
    devices = len({one.device for one in source.series})
    return f"{kept} of {found} readings of {devices} devices"


def _left_out(notes: Sequence[Note]) -> str:
    if not notes:
        return ""
    return "; " + "; ".join(f"{note.count} {note.what}: {note.reason}" for note in notes)


def _digest(channels: Sequence[str], width: int, series: Sequence[Series]) -> str:
    digest = hashlib.sha256(repr((tuple(channels), width)).encode())
    for one in series:
        digest.update(repr((one.device, len(one))).encode())
        digest.update(np.ascontiguousarray(one.times, "<f8").tobytes())
        digest.update(np.ascontiguousarray(one.values, "<f8").tobytes())
        if one.marks is not None and one.marks.any():
            digest.update(one.marks.tobytes())
    return digest.hexdigest()


def _labelled(series: Series, width: int) -> NDArray[np.bool_]:
    """(R,) windows whose labels count, so that none of them may be left to chance."""
    known = touching(series, Mark.ANOMALOUS, width) | touching(series, Mark.FALSE_ALARM, width)
    return known | touching(series, Mark.NEAR, 1)


def touching(series: Series, mark: Mark, width: int) -> NDArray[np.bool_]:
    """(R,) whether one of the last `width` readings has this mark."""
    if series.marks is None:
        return np.zeros(len(series), bool)
    counts = np.concatenate([[0], np.cumsum(series.marks == mark)])
    end = np.arange(1, len(series) + 1)
    found: NDArray[np.bool_] = counts[end] > counts[np.maximum(end - width, 0)]
    return found


def _touching(series: Sequence[Series], mark: Mark, vectors: Vectors, width: int) -> NDArray[np.bool_]:
    """(N,) whether one of a window's readings has this mark."""
    found = np.zeros(len(vectors.series), bool)
    for number, one in enumerate(series):
        if one.marks is not None and (one.marks == mark).any():
            own = vectors.series == number
            found[own] = touching(one, mark, width)[vectors.position[own]]
    return found
