"""Datasets: series of readings → vectors to train with and to hold out, named by what they hold. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Note, Series, channel_notes, clean
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.vectors import Vectors, window_vectors

Origin = Literal["gateways", "csv", "synthetic"]

HELD_OUT_OF = 5
"""One block of so many is held out."""
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


@dataclass(frozen=True)
class Dataset:
    """N vectors of windows of one profile's devices, and where they come from."""

    source: Source
    series: tuple[Series, ...]
    """What is left after cleaning."""
    width: int
    """Readings in a window."""
    vectors: Vectors
    held_out: NDArray[np.bool_]
    """(N,) kept for judging: no window of these shares a reading with one that is trained with."""
    anomalous: NDArray[np.bool_]
    """(N,) known to hold an anomalous reading."""
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
        return int(self.sha256[:8], 16)


def build(
    source: Source, *, width: int, at_least: int, at_most: int, tell: Callable[[float], None] = lambda done: None
) -> Dataset:
    """The dataset of a source: windows of `width` readings; of more than `at_most` windows about so many are drawn.

    `tell` is called with the share that is done, 0 to 1.

    Raises:
        TrainingRefusedError: fewer than `at_least` windows, or no channel that changes.
    """
    labelled = source.anomalous is not None
    series, notes = (list(source.series), []) if labelled else clean(source.series)
    channels = channel_notes(series, source.channels)
    if len(channels) == len(source.channels):
        said = "; ".join(f"{note.name} {note.reason.split(':')[0]}" for note in channels)
        raise TrainingRefusedError(
            f"{_where(source)}: no channel of which anything can be learnt in {_seen(source, series)} ({said}); "
            "at least one must report and change"
        )
    digest = _digest(source.channels, width, series)
    most = max(1, min(at_most, MAX_FEATURE_VALUES // (6 * len(source.channels))))
    vectors, windows = window_vectors(series, len(source.channels), width, most, int(digest[:8], 16), tell)
    if len(vectors.series) < windows:
        reason = f"of {windows} full windows so many were drawn, for learning.max_vectors or memory"
        notes.append(Note("vectors", "", len(vectors.series), reason))
    if windows < at_least:
        raise TrainingRefusedError(
            f"{_where(source)}: {windows} full windows of {width} readings in {_seen(source, series)}; "
            f"at least {at_least} are needed (learning.min_vectors){_left_out([*source.notes, *notes])}"
        )
    part, kept = _held_out(series, vectors, width)
    vectors = vectors.take(kept)
    anomalous = np.zeros(len(vectors.series), bool)
    if source.anomalous is not None:
        anomalous = _touching(source.anomalous, vectors, width)
        notes.append(Note("vectors", "", int(anomalous.sum()), "known to be anomalous: judged, not trained with"))
    notes = [*source.notes, *channels, *notes]
    return Dataset(source, tuple(series), width, vectors, part[kept], anomalous, windows, digest, tuple(notes))


def shortened(series: Series, readings: int) -> Series:
    """The newest so many readings of a series."""
    return replace(series, times=series.times[-readings:], values=series.values[-readings:])


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
    return digest.hexdigest()


def _held_out(series: Sequence[Series], vectors: Vectors, width: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(held out (N,), kept (N,)): every fifth block of each series, in time; blocks of a series overlap, and of those
    that are held out only what shares no reading with a neighbour is kept."""
    lengths = np.array([len(one) for one in series])
    block = int(np.clip(lengths.sum() // 40, 2 * width, 8 * width))
    first = np.concatenate([[0], np.cumsum(-(-lengths // block))[:-1]])
    number, place = np.divmod(vectors.position, block)
    held = (first[vectors.series] + number) % HELD_OUT_OF == 2
    after = lengths[vectors.series] > (number + 1) * block
    shared = ((number > 0) & (place < width - 1)) | (after & (place > block - width))
    return held, ~(held & shared)


def _touching(labels: Sequence[NDArray[np.bool_]], vectors: Vectors, width: int) -> NDArray[np.bool_]:
    """(N,) whether one of a window's readings is labelled."""
    found = np.zeros(len(vectors.series), bool)
    for number, label in enumerate(labels):
        counts = np.concatenate([[0], np.cumsum(label)])
        own = vectors.series == number
        end = vectors.position[own] + 1
        found[own] = counts[end] > counts[np.maximum(end - width, 0)]
    return found
