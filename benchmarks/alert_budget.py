"""The alert budget on labelled series: false alerts per device-week and recall, thresholds set on other series.

    python -m benchmarks.alert_budget DATA_DIR --json

DATA_DIR is the folder of the Numenta Anomaly Benchmark. For each category, what is known of the detectors in normal
time is counted on all other categories only; then every series of the category goes through the gateway's own stages
alone, strictly streaming, with `alerts_per_week` = k and nothing else set. A false alert is an alert of kind `anomaly`
raised outside the labelled windows and the first 15 % of a series; a window is found when an alert is raised within it.

    target       k
    realised     false alerts / device-weeks of normal time, all series together
    recall       windows found / windows
    p90_device   the same rate of each series: its 90th percentile (and `mean_device`, its mean)

`built_in` says the same of the product as it is delivered, with the priors the detectors bring along; `prior` is what
was counted: of NAB's normal time, and of generated series in which nothing happens.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import nab_corpus, nab_watch
from benchmarks.normal_series import KINDS, generate
from benchmarks.recorded import examine, record, replay
from vedette_models.calibration import STRENGTHS, Prior, count_episodes
from vedette_models.profile import Decisions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.nab_corpus import Corpus, Series
    from benchmarks.recorded import Examined, Said

TARGETS = (1.0, 0.5, 0.2)
CHECKED = 3
"""Series, the shortest, whose alerts are compared with those of the detectors themselves."""
WEEK = 604_800.0
PROBATION = 0.15
"""Of each series, however long."""


def is_normal(series: Series) -> NDArray[np.bool_]:
    """(N,) rows outside windows and probation."""
    normal = ~series.labels
    normal[: int(PROBATION * len(normal))] = False
    return normal


def normal_weeks(series: Series) -> float:
    """Weeks up to the normal rows, each from the row before it."""
    steps = np.diff(series.time, prepend=series.time[:1]).clip(min=0.0)
    return float(steps[is_normal(series)].sum()) / WEEK


class Counted:
    """Episodes of normal time by strength, and its device-weeks, of one detector and one series."""

    def __init__(self, said: Said, series: Series) -> None:
        self.episodes = count_episodes(np.where(is_normal(series), said.strength, 0.0), series.time)
        self.weeks = normal_weeks(series)


def priors_of(corpus: Corpus, recorded: Sequence[tuple[Said, ...]], without: str | None) -> dict[str, Prior]:
    """What is known of each detector from the normal time of all categories but one."""
    priors = {}
    for place, detector in enumerate(said.detector for said in recorded[0]):
        counted = [
            Counted(said[place], series)
            for said, series in zip(recorded, corpus.series, strict=True)
            if series.category != without
        ]
        priors[detector] = Prior.fit(np.sum([c.episodes for c in counted], axis=0), sum(c.weeks for c in counted))
    return priors


def judge(corpus: Corpus, raised: Sequence[NDArray[np.bool_]], target: float) -> dict[str, float]:
    """The figures of one budget."""
    weeks = np.array([normal_weeks(series) for series in corpus.series])
    false = np.array(
        [int((alerts & is_normal(series)).sum()) for alerts, series in zip(raised, corpus.series, strict=True)]
    )
    windows = [
        alerts[first : last + 1].any()
        for alerts, series in zip(raised, corpus.series, strict=True)
        for first, last in series.windows
    ]
    by_device = false[weeks > 0.0] / weeks[weeks > 0.0]
    return {
        "target": target,
        "realised": float(false.sum() / weeks.sum()),
        "recall": float(np.mean(windows)),
        "p90_device": float(np.percentile(by_device, 90)),
        "mean_device": float(by_device.mean()),
    }


def run(corpus: Corpus) -> dict[str, Any]:
    """Score every series once, then decide for every budget.

    Raises:
        ArithmeticError: the alerts of recorded scores are not those of the detectors themselves.
        ValueError: hardly any score is left of the corpus to count.
    """
    began = time.process_time()
    recorded = record([s.time for s in corpus.series], [s.values for s in corpus.series])
    examined = [examine(series.time, series.values) for series in corpus.series]
    print(f"{len(corpus.series)} series scored", file=sys.stderr)
    check(corpus, recorded, examined)
    without = {category: priors_of(corpus, recorded, category) for category in corpus.categories}

    def decided(target: float, *, built_in: bool) -> dict[str, float]:
        decisions = Decisions(alerts_per_week=target)
        raised = [
            replay(batches, said, decisions, None if built_in else without[series.category])
            for series, said, batches in zip(corpus.series, recorded, examined, strict=True)
        ]
        return judge(corpus, raised, target)

    figures: dict[str, Any] = {f"{target:g}": decided(target, built_in=False) for target in TARGETS}
    figures["built_in"] = {f"{target:g}": decided(target, built_in=True) for target in TARGETS}
    figures["prior"] = priors(corpus, recorded)
    return figures | {
        "conditions": {
            "series": len(corpus.series),
            "windows": sum(len(series.windows) for series in corpus.series),
            "normal_device_weeks": sum(normal_weeks(series) for series in corpus.series),
            "detectors": [said.detector for said in recorded[0]],
            "labelled_series_missing": list(corpus.missing),
            "cpu_seconds": time.process_time() - began,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
        }
    }


def check(corpus: Corpus, recorded: Sequence[tuple[Said, ...]], examined: Sequence[Examined]) -> None:
    """Compare with the product itself."""
    shortest = sorted(range(len(recorded)), key=lambda i: len(corpus.series[i].time))[:CHECKED]
    for i in shortest:
        series = corpus.series[i]
        itself = nab_watch.watch(series).raised
        if not np.array_equal(itself, replay(examined[i], recorded[i], nab_watch.PROFILE.decisions)):
            raise ArithmeticError(f"{series.name}: recorded scores raise other alerts than the detectors themselves")


def priors(corpus: Corpus, recorded: Sequence[tuple[Said, ...]]) -> dict[str, Any]:
    """Episodes per device-week of normal time, by detector and source, and the power laws fitted to those of NAB."""
    generated = {kind: generate(kind) for kind in KINDS}
    said_of = {kind: record(*series) for kind, series in generated.items()}
    figures: dict[str, Any] = {}
    for place, said in enumerate(recorded[0]):
        counted = [Counted(each[place], series) for each, series in zip(recorded, corpus.series, strict=True)]
        nab, weeks = np.sum([c.episodes for c in counted], axis=0), sum(c.weeks for c in counted)
        fitted = Prior.fit(nab, weeks)
        figures[said.detector] = {
            "built_in": said.prior._asdict(),
            "nab": fitted._asdict() | {"episodes_per_week": _by_strength(nab, weeks)},
        } | {
            kind: {
                "episodes_per_week": _by_strength(
                    np.sum(
                        [count_episodes(s[place].strength, t) for s, t in zip(said_of[kind], times, strict=True)],
                        axis=0,
                    ),
                    sum(float(t[-1] - t[0]) for t in times) / WEEK,
                )
            }
            for kind, (times, _) in generated.items()
        }
    return figures


def _by_strength(episodes: NDArray[np.int64], weeks: float) -> dict[str, float]:
    return {f"{s:.3g}": float(n) / weeks for s, n in zip(STRENGTHS[::4].tolist(), episodes[::4].tolist(), strict=True)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder with data/, labels/ and config/")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to draw the figures (.svg, .png)")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    try:
        result = _rounded(run(nab_corpus.load(arguments.data)))
    except ValueError as error:
        sys.exit(f"{parser.prog}: {error}")
    if arguments.plot is not None:
        from benchmarks.alert_budget_plot import draw

        draw(arguments.plot, result)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, figures in (("thresholds from the other categories", result), ("as delivered", result["built_in"])):
        print(f"{name}:\n{'target':>8}{'realised':>10}{'recall':>8}{'mean device':>13}{'p90 device':>12}")
        for target in TARGETS:
            f = figures[f"{target:g}"]
            print(
                f"{f['target']:8g}{f['realised']:10.3f}{f['recall']:8.3f}{f['mean_device']:13.3f}{f['p90_device']:12.3f}"
            )
    for detector, sources in result["prior"].items():
        print(f"{detector}: episodes per device-week of normal time, by strength")
        for source, f in sources.items():
            print(f"  {source:10} " + json.dumps(f))


if __name__ == "__main__":
    main()
