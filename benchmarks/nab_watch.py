"""The series of the corpus, watched as the gateway would: through `ProfileWatch`, reading by reading, no look-ahead."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.nab_corpus import Series
    from vedette_agent.reading.pipeline import Verdicts

PROFILE = Profile("nab", (Channel("value"),))
"""Nothing but the channel's name: every default."""
BATCH = 512
"""Readings, as in `vedette-agent replay`."""
COPIES, FLEET_READINGS = 16, 4_032
"""Devices that read each series, and how many of its readings, where the cost of a fleet is measured."""


class WatchedSeries(NamedTuple):
    """What the gateway made of one series of N rows."""

    strength: NDArray[np.float64]
    """(N,) largest score of any detector over its default threshold, before calibration."""
    raised: NDArray[np.bool_]
    """(N,) rows at which an alert of kind `anomaly` was raised."""
    raised_any: NDArray[np.bool_]
    """(N,) rows at which an alert of any kind was raised: what replay marks."""
    kinds: Counter[str]
    """Alerts raised."""
    severities: Counter[str]
    """Of alerts of kind `anomaly`, as they were raised."""
    sentences: tuple[tuple[int, str, str], ...]
    """(row, kind, sentence) of each."""


def watch(series: Series) -> WatchedSeries:
    """Run one series through the stages."""
    watched = _new_watch(1)
    row = watched.table.row(series.file)
    rows = len(series.time)
    strength = np.zeros(rows)
    raised, raised_any = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    kinds: Counter[str] = Counter()
    severities: Counter[str] = Counter()
    sentences = []
    for first in range(0, rows, BATCH):
        part = slice(first, min(first + BATCH, rows))
        count = part.stop - first
        batch = ReadingBatch.of(np.full(count, row, np.intp), series.time[part], series.values[part, None])
        said = watched.process(batch)
        strength[part] = strengths(said.verdicts)
        for at, event in zip(said.decided.rows, said.decided.events, strict=True):
            if event.revision == 1:
                kinds[event.kind] += 1
                raised_any[first + at] = True
                sentences.append((first + at, event.kind, event.reason))
                if event.kind == "anomaly":
                    raised[first + at] = True
                    severities[event.severity] += 1
    return WatchedSeries(strength, raised, raised_any, kinds, severities, tuple(sentences))


def strengths(verdicts: Verdicts) -> NDArray[np.float64]:
    """(N,) largest score of any detector over the threshold it has by default."""
    strength = np.zeros(len(verdicts.batch))
    for said in verdicts.scored:
        np.maximum(strength, said.scores.total / DEFAULTS[said.detector], out=strength)
    return strength


def watch_all(corpus: Sequence[Series], jobs: int) -> Iterator[WatchedSeries]:
    """Every series on its own, in order, by so many processes."""
    if jobs == 1:
        yield from map(watch, corpus)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(watch, corpus)


def watch_together(corpus: Sequence[Series]) -> list[NDArray[np.float64]]:
    """Strength by series, as of `WatchedSeries`, when all are read side by side, each a device of one gateway."""
    watched = _new_watch(len(corpus))
    for series in corpus:
        watched.table.row(series.name)
    strength = [np.zeros(len(series.time)) for series in corpus]
    seen = [0] * len(corpus)
    for batch in _side_by_side(corpus):
        said = watched.process(batch)
        for device, value in zip(batch.device.tolist(), strengths(said.verdicts).tolist(), strict=True):
            strength[device][seen[device]] = value
            seen[device] += 1
    return strength


def us_per_value(corpus: Sequence[Series]) -> float:
    """CPU microseconds of the detectors per value of a fleet in which COPIES devices read each series."""
    fleet = [
        series._replace(time=series.time[:FLEET_READINGS], values=series.values[:FLEET_READINGS])
        for series in corpus
        for _ in range(COPIES)
    ]
    batches = list(_side_by_side(fleet))
    detectors = _new_watch(len(fleet)).pipeline.detectors
    for detector in detectors:
        detector.resize(len(fleet))
    began = time.process_time()
    for batch in batches:
        for detector in detectors:
            detector.score(batch)
    return 1e6 * (time.process_time() - began) / sum(len(batch) for batch in batches)


def _side_by_side(corpus: Sequence[Series]) -> Iterator[ReadingBatch]:
    """The first reading of each series, then the second of each, and so on while they last."""
    place = np.concatenate([np.arange(len(series.time)) for series in corpus])
    device = np.repeat(np.arange(len(corpus)), [len(series.time) for series in corpus])
    order = np.lexsort((device, place))
    device = device[order]
    when = np.concatenate([series.time for series in corpus])[order]
    values = np.concatenate([series.values for series in corpus])[order, None]
    for first in range(0, len(order), BATCH):
        part = slice(first, first + BATCH)
        yield ReadingBatch.of(device[part], when[part], values[part])


def _new_watch(devices: int) -> ProfileWatch:
    return ProfileWatch(PROFILE, "benchmark", "nab", devices)


DEFAULTS = {detector.name: detector.default_threshold for detector in _new_watch(1).pipeline.detectors}
"""Threshold by detector."""
