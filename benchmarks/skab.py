"""SKAB: several sensors on one plant, judged together.

    python -m benchmarks.skab DATA_DIR --json

The benchmark's protocol: the first 400 readings of each run train, the rest is judged reading by reading. The hub's own
training makes a baseline of them; the gateway's detector begins with it and goes on learning, with no look-ahead. Which
channels drift, on most runs or on this one, is asked of the training readings of all runs, as a hub does with the
devices of a fleet; no label is used. The one parameter, the factor on the threshold, is the one that is best on all
other runs: their F1, averaged over neighbouring factors, so that no lucky peak decides.

F1, false and missing alarm rate are over the judged readings of all runs, as the benchmark computes them. An event is a
stretch of labelled readings; it is found when a reading in it is flagged. A false event is a stretch of flagged
readings outside the labels, no two of them more than a minute apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.skab_data import Run, SkabError, read_runs
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.training.mahalanobis import drifting, smooth, smoothed_t_squared, t_squared, teach
from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.detectors.mahalanobis_progress import least_reach
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TRAINING = 400
SETTLING = 20
"""First readings of a run whose T² does not count for the reach: its smoothing begins with them."""
FACTORS = np.round(np.geomspace(0.3, 6.0, 121), 4)
"""Factors on the detector's own threshold that are tried."""
NEIGHBOURS = 5
"""Factors on either side that a factor is averaged with when one is chosen."""
APART = 60.0
"""Seconds between flagged readings from which they are two events."""


class Counts(NamedTuple):
    """Of each run and factor, (F, G): flagged readings among the anomalous ones and among the others; (F,) of each."""

    hits: NDArray[np.int64]
    false: NDArray[np.int64]
    anomalous: NDArray[np.int64]
    normal: NDArray[np.int64]


def taught_scores(runs: Sequence[Run]) -> list[NDArray[np.float64]]:
    """Scores of every reading by a detector that the hub has taught with the first TRAINING readings of its run."""
    training = [Series(run.name, run.time[:TRAINING], run.values[:TRAINING]) for run in runs]
    on_most = drifting(training)
    scores = []
    for run, series in zip(runs, training, strict=True):
        levels = smooth([series])
        everything = [np.ones(len(series), np.bool_)]
        start = teach([series], levels, everything, on_most | drifting([series])).start
        far = t_squared(start, [series], levels)
        channels = np.array([int((start.scale > 0.0).sum())])
        reach = float(least_reach(channels)[0])
        for _ in range(3):
            reach = max(float(smoothed_t_squared(far, reach)[0][SETTLING:].max()), float(least_reach(channels)[0]))
        scores.append(_streamed(Mahalanobis(len(run.channels), 1, start=start._replace(reach=reach)), run))
    return scores


def own_scores(runs: Sequence[Run]) -> list[NDArray[np.float64]]:
    """Scores of every reading by a detector that has never heard of a hub."""
    return [_streamed(Mahalanobis(len(run.channels), 1), run) for run in runs]


def _streamed(detector: Mahalanobis, run: Run) -> NDArray[np.float64]:
    device = np.zeros(len(run.time), np.intp)
    return detector.score(ReadingBatch.of(device, run.time, run.values)).total


def count(runs: Sequence[Run], scores: Sequence[NDArray[np.float64]]) -> Counts:
    """What each factor comes to on each run, after its training."""
    hits, false = (np.zeros((len(runs), len(FACTORS)), np.int64) for _ in range(2))
    for i, (run, score) in enumerate(zip(runs, scores, strict=True)):
        flagged = score[TRAINING:, None] >= FACTORS * Mahalanobis.default_threshold
        label = run.anomalous[TRAINING:, None]
        hits[i], false[i] = (flagged & label).sum(axis=0), (flagged & ~label).sum(axis=0)
    anomalous = np.array([run.anomalous[TRAINING:].sum() for run in runs])
    return Counts(hits, false, anomalous, np.array([len(run.time) - TRAINING for run in runs]) - anomalous)


def f1(hits: NDArray[np.int64], false: NDArray[np.int64], anomalous: int) -> NDArray[np.float64]:
    """F1 of so many flagged readings of which so many were anomalous; 0 where there is nothing to find."""
    found: NDArray[np.float64] = 2.0 * hits / np.maximum(hits + false + anomalous, 1)
    return found


def chosen(counts: Counts, without: int) -> int:
    """Which factor is best on all runs but one, or on that one where there is no other."""
    others = np.arange(len(counts.anomalous)) != without if len(counts.anomalous) > 1 else np.array([True])
    by_factor = f1(
        counts.hits[others].sum(axis=0), counts.false[others].sum(axis=0), int(counts.anomalous[others].sum())
    )
    padded = np.pad(by_factor, NEIGHBOURS, mode="edge")
    return int(np.convolve(padded, np.ones(2 * NEIGHBOURS + 1), mode="valid").argmax())


def stretches(flags: NDArray[np.bool_], time: NDArray[np.float64], apart: float) -> list[tuple[int, int]]:
    """First and last reading of each stretch of flagged readings, no two more than `apart` seconds from each other."""
    which = np.flatnonzero(flags)
    if not len(which):
        return []
    cuts = np.flatnonzero(np.diff(time[which]) > apart)
    return list(zip(which[[0, *(cuts + 1)]].tolist(), which[[*cuts, -1]].tolist(), strict=True))


def judged(runs: Sequence[Run], scores: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """The figures of one detector, factors chosen leaving one run out."""
    counts = count(runs, scores)
    factors = [chosen(counts, i) for i in range(len(runs))]
    each = np.arange(len(runs))
    hits, false = counts.hits[each, factors], counts.false[each, factors]
    anomalous, normal = int(counts.anomalous.sum()), int(counts.normal.sum())
    events = found = wrong = 0
    delays: list[float] = []
    by_run = {}
    for i, (run, score) in enumerate(zip(runs, scores, strict=True)):
        flagged = score >= FACTORS[factors[i]] * Mahalanobis.default_threshold
        flagged[:TRAINING] = False
        for first, last in stretches(run.anomalous, run.time, APART):
            inside = first + np.flatnonzero(flagged[first : last + 1])
            events += 1
            found += len(inside) > 0
            delays += [float(run.time[inside[0]] - run.time[first])] if len(inside) else []
        wrong += len(stretches(flagged & ~run.anomalous, run.time, APART))
        by_run[run.name] = round(float(f1(hits[i], false[i], int(counts.anomalous[i]))), 4)
    return {
        "f1": round(float(f1(hits.sum(), false.sum(), anomalous)), 4),
        "far": round(100.0 * float(false.sum()) / max(normal, 1), 2),
        "mar": round(100.0 * (1.0 - float(hits.sum()) / max(anomalous, 1)), 2),
        "events_found": found,
        "events": events,
        "median_delay_s": statistics.median(delays) if delays else None,
        "false_events": wrong,
        "factors": [float(FACTORS[min(factors)]), float(FACTORS[max(factors)])],
        "by_run": by_run,
    }


def run(folder: Path) -> dict[str, Any]:
    """All figures.

    Raises:
        SkabError: no runs, or runs too short.
    """
    runs = read_runs(folder)
    short = [one.name for one in runs if len(one.time) <= TRAINING]
    if short:
        raise SkabError(f"{', '.join(short)}: no more than the {TRAINING} readings that train")
    began = clock.process_time()
    taught = taught_scores(runs)
    used = clock.process_time() - began
    return {
        **judged(runs, taught),
        "runs": len(runs),
        "readings": sum(len(one.time) for one in runs),
        "us_per_reading": round(1e6 * used / sum(len(one.time) for one in runs), 1),
        "without_hub": judged(runs, own_scores(runs)),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with SKAB's files, or with a folder of them")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    try:
        result = run(arguments.data)
    except (SkabError, OSError, ValueError) as error:
        sys.exit(f"skab: {error}")
    if arguments.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:16} {value}")


if __name__ == "__main__":
    main()
