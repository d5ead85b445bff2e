"""Backtest: what versions of a model would have said of data that was kept for judging. Pure.

Readings go through the detectors as on a gateway, before its own calibration, cooldown and rate limit. Every version is
asked about the same readings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Dataset, touching
from vedette_hub.learning.episodes import episodes
from vedette_hub.learning.hygiene import Mark
from vedette_hub.learning.training.boundary import WEEK
from vedette_models.detectors.base import Detector
from vedette_models.readings import ReadingBatch

MAX_READINGS = 200_000
"""Readings that are judged at most; of more, stretches spread over all are."""
LEAD = 256
"""Readings entered before those that are judged, at least, so that detectors have settled."""
LONGEST_LEAD = 4_096
SHORTEST_WATCH = 86_400.0
"""A device watched for less, in seconds, says nothing about how often it alerts."""
LONGEST_GAP = 86_400.0
"""A longer gap between two readings counts as this: a device that was away was not watched."""
TIMELINE_BINS = 60
_GROUP_VALUES = 500_000
"""Values (readings x channels) that go through a detector side by side."""


@dataclass(frozen=True)
class Judged:
    """M readings that are judged, in order of series and position."""

    series: NDArray[np.intp]
    position: NDArray[np.intp]
    device: NDArray[np.intp]
    """Number in `Dataset.devices`."""
    time: NDArray[np.float64]
    seconds: NDArray[np.float64]
    """Since the reading before."""
    anomalous: NDArray[np.bool_]
    """Known to be: no normal time."""
    excused: NDArray[np.bool_]
    """Of an alert that was labelled false or normal."""
    held_out: NDArray[np.bool_]

    @property
    def normal(self) -> NDArray[np.bool_]:
        """(M,) held-out normal time."""
        return self.held_out & ~self.anomalous


def judged(dataset: Dataset) -> Judged:
    """The readings of a dataset that are held out, or of which something is known."""
    names = {name: number for number, name in enumerate(dataset.devices)}
    parts = []
    for number, one in enumerate(dataset.series):
        held_out = dataset.blocks.judged(number) & ~touching(one, Mark.NEAR, 1)
        anomalous = touching(one, Mark.ANOMALOUS, dataset.width)
        excused = touching(one, Mark.FALSE_ALARM, dataset.width) & ~anomalous
        position = np.flatnonzero(held_out | anomalous | excused)
        steps = np.diff(one.times, prepend=one.times[:1] - _step(one.times))
        parts.append(
            Judged(
                np.full(len(position), number),
                position,
                np.full(len(position), names[one.device]),
                one.times[position],
                np.minimum(steps[position], LONGEST_GAP),
                anomalous[position],
                excused[position],
                held_out[position],
            )
        )
    found = Judged(*(np.concatenate(column) for column in zip(*(_columns(part) for part in parts), strict=True)))
    return _bounded(found, dataset.width)


def replay(detector: Detector, dataset: Dataset, chosen: Judged) -> NDArray[np.float64]:
    """(M,) scores of the judged readings by a detector that knows no device, divided by its threshold."""
    scores = np.zeros(len(chosen.position))
    channels = len(dataset.source.channels)
    for group in _groups(list(_stretches(dataset, chosen)), channels):
        parts = [dataset.series[one.series] for one in group]
        lengths = [one.end - one.lead for one in group]
        device = np.repeat(np.arange(len(group)), lengths)
        times = np.concatenate([part.times[one.lead : one.end] for part, one in zip(parts, group, strict=True)])
        values = np.concatenate([part.values[one.lead : one.end] for part, one in zip(parts, group, strict=True)])
        detector.resize(max(len(group), detector.devices))
        total = detector.score(ReadingBatch.of(device, times, values)).total / detector.default_threshold
        detector.forget(np.arange(len(group)))
        first = np.cumsum([0, *lengths])
        for start, one in zip(first.tolist(), group, strict=False):
            scores[one.rows] = total[start - one.lead + chosen.position[one.rows]]
    return scores


def figures(chosen: Judged, scores: NDArray[np.float64], devices: int) -> dict[str, Any]:
    """How often a version alerts in normal time, and what it finds of what is known; scores of 1 and more alert."""
    flagged = scores >= 1.0
    normal = chosen.normal
    watched = np.bincount(chosen.device[normal], chosen.seconds[normal], devices)
    alerts = _alerts(chosen, flagged & normal)
    raised = np.bincount(chosen.device[alerts], minlength=devices)
    enough = watched >= SHORTEST_WATCH
    rates = raised[enough] / watched[enough] * WEEK
    weeks = float(watched.sum()) / WEEK
    return {
        "device_weeks": round(weeks, 4),
        "alerts": len(alerts),
        "alerts_per_device_week": round(len(alerts) / weeks, 4) if weeks else None,
        "p90_device": round(float(np.quantile(rates, 0.9)), 4) if len(rates) else None,
        "devices_watched_for_a_day": int(enough.sum()),
        **_found("true", chosen, chosen.anomalous, flagged),
        **_found("false", chosen, chosen.excused, flagged),
    }


def flips(one: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, float]:
    """The share of readings (M,) on which two versions disagree, and which of them alerts there."""
    mine, theirs = one >= 1.0, other >= 1.0
    total = max(1, len(mine))
    return {
        "readings": len(mine),
        "share": round(float((mine != theirs).sum()) / total, 6),
        "only_this": round(float((mine & ~theirs).sum()) / total, 6),
        "only_previous": round(float((theirs & ~mine).sum()) / total, 6),
    }


def timeline(chosen: Judged, versions: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Alerts of each version over time, in at most TIMELINE_BINS bins, and when something anomalous is known."""
    first, last = float(chosen.time.min()), float(chosen.time.max())
    width = max((last - first) / TIMELINE_BINS, 1.0)
    alerts = []
    for scores in versions:
        begun = _alerts(chosen, (scores >= 1.0) & (chosen.normal | chosen.anomalous))
        alerts.append(np.bincount(_bins(chosen.time[begun], first, width), minlength=TIMELINE_BINS).tolist())
    known = np.unique(_bins(chosen.time[chosen.anomalous], first, width))
    return {"first": first, "bin_seconds": round(width, 3), "alerts": alerts, "known_anomalous": known.tolist()}


class _Stretch(NamedTuple):
    """Consecutive judged readings of a series, and where to begin before them."""

    series: int
    lead: int
    end: int
    rows: slice
    """Of the judged readings."""


def _columns(part: Judged) -> tuple[Any, ...]:
    return tuple(part.__dict__.values())


def _step(times: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _bounded(found: Judged, width: int) -> Judged:
    total = len(found.position)
    if total <= MAX_READINGS:
        return found
    # Every so many stretches, whole ones, so that alerts are not cut.
    stretch = np.cumsum(np.concatenate([[True], _broken(found)]))
    every = -(-total // MAX_READINGS)
    kept = (stretch % every == 0) | found.anomalous | found.excused
    return Judged(*(column[kept] for column in _columns(found)))


def _broken(found: Judged) -> NDArray[np.bool_]:
    """(M - 1,) whether a judged reading does not follow the one before it."""
    broken: NDArray[np.bool_] = (np.diff(found.series) != 0) | (np.diff(found.position) != 1)
    return broken


def _stretches(dataset: Dataset, chosen: Judged) -> Iterator[_Stretch]:
    if not len(chosen.position):
        return
    edges = [0, *(np.flatnonzero(_broken(chosen)) + 1).tolist(), len(chosen.position)]
    for start, end in pairwise(edges):
        number, first = int(chosen.series[start]), int(chosen.position[start])
        lead = _lead(dataset.series[number], first, dataset.width)
        yield _Stretch(number, lead, int(chosen.position[end - 1]) + 1, slice(start, end))


def _lead(series: Series, first: int, width: int) -> int:
    """Where to begin, so that at `first` every channel that ever reports has a full window, if it can have one."""
    back = max(0, first - LONGEST_LEAD)
    reported = ~np.isnan(series.values[back : first + 1])
    lead = max(0, first - max(LEAD, width))
    for column in reported.T:
        places = np.flatnonzero(column)
        if len(places):
            lead = min(lead, back + int(places[max(0, len(places) - width)]))
    return lead


def _groups(stretches: list[_Stretch], channels: int) -> Iterator[list[_Stretch]]:
    group: list[_Stretch] = []
    values = 0
    for one in sorted(stretches, key=lambda one: (one.lead - one.end, one.series, one.lead)):
        more = (one.end - one.lead) * channels
        if group and values + more > _GROUP_VALUES:
            yield group
            group, values = [], 0
        group.append(one)
        values += more
    if group:
        yield group


def _alerts(chosen: Judged, flagged: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows at which an episode of flagged readings begins."""
    rows = np.flatnonzero(flagged)
    order = np.lexsort((chosen.time[rows], chosen.device[rows]))
    number = episodes(chosen.device[rows], chosen.time[rows])[order]
    first: NDArray[np.intp] = rows[order][np.unique(number, return_index=True)[1]]
    return first


def _found(label: str, chosen: Judged, known: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> dict[str, Any]:
    """Of the stretches that have this label, and their readings, how many are flagged."""
    rows = np.flatnonzero(known)
    number = episodes(chosen.device[rows], chosen.time[rows])
    total = int(number.max(initial=-1)) + 1
    hit = len(np.unique(number[flagged[rows]]))
    return {
        f"labelled_{label}": total,
        f"labelled_{label}_alerted": hit,
        f"labelled_{label}_share": round(hit / total, 4) if total else None,
        f"labelled_{label}_readings": len(rows),
        f"labelled_{label}_readings_alerted": int(flagged[rows].sum()),
    }


def _bins(time: NDArray[np.float64], first: float, width: float) -> NDArray[np.intp]:
    return np.clip((time - first) // width, 0, TIMELINE_BINS - 1).astype(np.intp)
