"""The Numenta Anomaly Benchmark: 58 labelled series through the gateway's own stages, strictly streaming.

    python -m benchmarks.nab DATA_DIR [--out RESULTS_DIR] [--plot FILE] --json

Every series goes through `ProfileWatch` on its own, with a profile that has nothing but a channel's name: one default
configuration for all, no look-ahead. `--out` writes the benchmark's own result files for its own scorer. Printed are
our implementation of the published scoring (see `nab_scoring`), with the threshold chosen over the whole corpus, with
the threshold for each category chosen on the others, and the score of the product's own decisions: the rows at which
it raised an alert of kind `anomaly`, no threshold chosen here.

The score in the result files is s / (1 + s), where s is the largest score of a detector over its default threshold:
rising with s, from 0 to below 1, and 0.5 at the default threshold.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import nab_corpus, nab_plot, nab_scoring, nab_watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.nab_corpus import Corpus, Series
    from benchmarks.nab_watch import WatchedSeries

DETECTOR = "vedette"
WEEK = 604_800.0
MOST_JOBS = 2
BELOW_ONE = float(np.nextafter(1.0, 0.0))
SUFFIXES = {nab_corpus.STANDARD: "standard", nab_corpus.LOW_FP: "reward_low_fp", nab_corpus.LOW_FN: "reward_low_fn"}
"""Application profile → key."""


def anomaly_score(strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Strengths (N,), 0 and more, as the benchmark wants scores: 0 to below 1, in the same order."""
    with np.errstate(over="ignore"):
        return np.minimum(1.0 / (1.0 + 1.0 / np.maximum(strength, 1e-300)), BELOW_ONE) * (strength > 0.0)


def write_results(folder: Path, corpus: Corpus, watched: Sequence[WatchedSeries]) -> None:
    """Write `<detector>/<category>/<detector>_<file>.csv` for every series."""
    for series, seen in zip(corpus.series, watched, strict=True):
        path = folder / DETECTOR / series.category / f"{DETECTOR}_{series.file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("timestamp", "value", "anomaly_score", "label"))
            rows = zip(series.written, anomaly_score(seen.strength).tolist(), series.labels.tolist(), strict=True)
            for (when, value), score, label in rows:
                writer.writerow((when, value, repr(score), int(label)))


def leave_one_category_out(corpus: Corpus, scores: Sequence[NDArray[np.float64]], profile: str) -> float:
    """The score over the corpus when each category is judged at the threshold that is best for all others.

    Raises:
        ValueError: no category, or only one, has labelled windows.
    """
    weights = corpus.profiles[profile]
    total = 0.0
    for category in corpus.categories:
        inside = [i for i, series in enumerate(corpus.series) if series.category == category]
        others = [i for i, series in enumerate(corpus.series) if series.category != category]
        if not others:
            raise ValueError("leaving a category out needs another one")
        elsewhere = nab_scoring.worth([corpus.series[i] for i in others])
        threshold, _ = elsewhere.best(nab_scoring.counted([scores[i] for i in others]), weights)
        here = nab_scoring.worth([corpus.series[i] for i in inside])
        total += here.score(nab_scoring.counted([scores[i] for i in inside]) >= threshold, weights)
    return nab_scoring.worth(corpus.series).normalised(total, weights)


def normal_weeks(series: Series) -> float:
    """Weeks of a series outside windows and probation."""
    steps = np.diff(series.time, prepend=series.time[:1]).clip(min=0.0)
    steps[series.labels] = 0.0
    return float(steps[nab_scoring.probation(len(steps)) :].sum()) / WEEK


def own_decisions(corpus: Corpus, watched: Sequence[WatchedSeries]) -> dict[str, Any]:
    """How the alerts as they were raised are judged."""
    worth = nab_scoring.worth(corpus.series)
    raised = nab_scoring.counted([seen.raised for seen in watched])
    any_kind = nab_scoring.counted([seen.raised_any for seen in watched])
    figures: dict[str, Any] = {}
    for profile, key in SUFFIXES.items():
        name = "own_decisions" if profile == nab_corpus.STANDARD else f"own_decisions_{key}"
        weights = corpus.profiles[profile]
        figures[name] = worth.normalised(worth.score(raised, weights), weights)
    standard = corpus.profiles[nab_corpus.STANDARD]
    figures["own_decisions_all_kinds"] = worth.normalised(worth.score(any_kind, standard), standard)
    weeks = [normal_weeks(series) for series in corpus.series]
    false = [
        nab_scoring.worth([s]).false(nab_scoring.counted([w.raised]))
        for s, w in zip(corpus.series, watched, strict=True)
    ]
    return figures | {
        "windows": worth.windows,
        "windows_found": worth.found(raised),
        "false_alerts": sum(false),
        "false_alerts_per_device_week": sum(false) / sum(weeks),
        "alerts_by_kind": dict(sum((seen.kinds for seen in watched), Counter())),
        "severities": dict(sum((seen.severities for seen in watched), Counter())),
    }


def figures_of(corpus: Corpus, watched: Sequence[WatchedSeries]) -> dict[str, Any]:
    """Everything that is printed, times aside."""
    worth = nab_scoring.worth(corpus.series)
    strengths = [seen.strength for seen in watched]
    scores = nab_scoring.counted(strengths)
    figures: dict[str, Any] = {}
    for profile, key in SUFFIXES.items():
        weights = corpus.profiles[profile]
        threshold, total = worth.best(scores, weights)
        figures[key] = worth.normalised(total, weights)
        if profile == nab_corpus.STANDARD:
            figures["threshold"] = float(anomaly_score(np.array([threshold]))[0])
            figures["threshold_strength"] = threshold
    figures["leave_one_category_out"] = leave_one_category_out(corpus, strengths, nab_corpus.STANDARD)
    return figures | own_decisions(corpus, watched)


def run(corpus: Corpus, jobs: int, out: Path | None, plot: Path | None) -> dict[str, Any]:
    """Watch, write, score.

    Raises:
        ArithmeticError: side by side the series scored otherwise than one by one.
    """
    watched = []
    for number, (series, seen) in enumerate(
        zip(corpus.series, nab_watch.watch_all(corpus.series, jobs), strict=True), start=1
    ):
        watched.append(seen)
        print(f"{number:3}/{len(corpus.series)} {series.name}: {seen.kinds.total()} alerts", file=sys.stderr)
    if out is not None:
        write_results(out, corpus, watched)
        print(f"result files in {out / DETECTOR}", file=sys.stderr)
    figures = figures_of(corpus, watched)
    together = nab_watch.watch_together(corpus.series)
    for series, alone, beside in zip(corpus.series, watched, together, strict=True):
        if not np.array_equal(alone.strength, beside):
            raise ArithmeticError(f"{series.name}: scored otherwise beside other devices than alone")
    if plot is not None:
        nab_plot.draw(plot, corpus, watched, figures)
    return figures | {
        "us_per_value": nab_watch.us_per_value(corpus.series),
        "conditions": {
            "series": len(corpus.series),
            "values": sum(len(series.time) for series in corpus.series),
            "labelled_series_missing": list(corpus.missing),
            "devices_timed": nab_watch.COPIES * len(corpus.series),
            "jobs": jobs,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "processors": os.cpu_count(),
        },
    }


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder with data/, labels/ and config/")
    parser.add_argument("--out", type=Path, metavar="RESULTS_DIR", help="where to write result files")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="where to draw thresholds and categories (.svg, .png)"
    )
    parser.add_argument(
        "--jobs", type=int, choices=range(1, MOST_JOBS + 1), default=min(MOST_JOBS, os.cpu_count() or 1)
    )
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    try:
        corpus = nab_corpus.load(arguments.data)
        result = run(corpus, arguments.jobs, arguments.out, arguments.plot)
    except ValueError as error:
        sys.exit(f"{parser.prog}: {error}")
    for name in corpus.missing:
        print(f"labelled, but not there: {name}", file=sys.stderr)
    result = {key: _rounded(value) for key, value in result.items()}
    if arguments.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:32} {value}")


if __name__ == "__main__":
    main()
