"""Forecasts: how well they are met, how wide their band is, and what changes they notice.

    python -m benchmarks.forecast [DATA_DIR] [--json]

Every series is trained on by the hub's own trainer, and then followed as on a gateway. Generated series have a daily
and a weekly rhythm, a trend, deviations that pass, and noise; DATA_DIR is a folder with the Numenta corpus, of which
series with a rhythm are forecast too.

mase            mean absolute error of forecasts a day ahead, made once a day, by that of the same time a week ago
mase_one_step   of forecasts one reading ahead, by the same
coverage        share of normal readings inside the band, one reading ahead; of those a day ahead
detected        of changes injected into series that were normal until then; false: alerts without any
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source, build
from vedette_hub.learning.training.forecast import train
from vedette_hub.learning.training.trained import Settings
from vedette_models.detectors.forecast import Forecast
from vedette_models.readings import ReadingBatch

DAY = 86_400.0
START = 1_700_006_400.0
"""A midnight, UTC."""
EVERY = 1_800.0
WEEKS, TRAINED_WEEKS = 6, 4
BATCH = 256
QUIET = 3_600.0
WITH_RHYTHM = (
    "realKnownCause/nyc_taxi",
    "realKnownCause/ambient_temperature_system_failure",
    "realTweets/Twitter_volume_AMZN",
    "realTweets/Twitter_volume_GOOG",
)

Floats = NDArray[np.float64]


class Generated(NamedTuple):
    """A series, and what it is made of."""

    time: Floats
    values: Floats
    season: Floats
    spread: float
    """Standard deviation of what is neither level nor season."""


def generate(seed: int, weeks: int = WEEKS) -> Generated:
    """Daily and weekly rhythm of any shape, a trend, an AR(1) deviation, noise."""
    draw = np.random.default_rng(seed)
    moment: Floats = START + EVERY * np.arange(int(weeks * 7 * DAY / EVERY), dtype=np.float64)
    day, weekday = moment / DAY % 1.0, moment // DAY % 7
    size, second = draw.uniform(2.0, 6.0), draw.uniform(0.0, 2.0)
    season = size * np.sin(2 * np.pi * (day - draw.random())) + second * np.sin(4 * np.pi * (day - draw.random()))
    season += np.where(np.isin(weekday, (2, 3)), -draw.uniform(1.0, 5.0) * np.exp(-(((day - 0.5) / 0.2) ** 2)), 0.0)
    hold, passing, noise = np.exp(-EVERY / 3600.0 / draw.uniform(1.0, 6.0)), draw.uniform(0.3, 0.8), 0.3
    deviation = np.zeros(len(moment))
    pushes = draw.normal(0.0, passing * np.sqrt(1.0 - hold**2), len(moment))
    for i in range(1, len(moment)):
        deviation[i] = hold * deviation[i - 1] + pushes[i]
    trend = draw.uniform(-1.5, 1.5) * (moment - START) / (7 * DAY)
    values = 50.0 + trend + season + deviation + draw.normal(0.0, noise, len(moment))
    return Generated(moment, values, season, float(np.hypot(passing, noise)))


def changed(series: Generated, kind: str, at: int, draw: np.random.Generator) -> tuple[Floats, int]:
    """(values with a change from reading `at` on, readings within which it counts as found)."""
    values, side = series.values.copy(), draw.choice([-1.0, 1.0])
    after = np.arange(len(values)) >= at
    days = np.maximum(series.time - series.time[at], 0.0) / DAY
    match kind:
        case "outlier":
            values[at] += side * 8.0 * series.spread
            return values, 1
        case "level shift":
            return values + after * side * 5.0 * series.spread, int(DAY / EVERY)
        case "trend change":
            return values + side * 1.5 * series.spread * days, int(7 * DAY / EVERY)
        case "broken season":
            return values - after * series.season, int(2 * DAY / EVERY)
    raise ValueError(kind)


KINDS = ("outlier", "level shift", "trend change", "broken season")


def trained(time_: Floats, values: Floats, name: str) -> Forecast:
    """What the hub's trainer makes of one series."""
    source = Source(name, ("value",), (Series(name, time_, values[:, None]),), "synthetic")
    dataset = build(source, width=16, at_least=100, at_most=50_000)
    detector = train(dataset, Settings(), lambda done, what: None).detector
    assert isinstance(detector, Forecast)
    return detector


def follow(detector: Forecast, time_: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """((R,) scores, expected values, half of the band) of a device that nothing was known of."""
    detector.resize(max(1, detector.devices))
    detector.forget(np.array([0]))
    found = detector.score(ReadingBatch.of(np.zeros(len(time_), np.intp), time_, values[:, None]))
    return found.total, found.expected[:, 0], found.half_band[:, 0]


def day_ahead(detector: Forecast, time_: Floats, values: Floats, first: int) -> tuple[Floats, Floats, Floats]:
    """((M,) reading numbers, expected values, half of the band) of forecasts made every 24 hours from `first` on."""
    detector.forget(np.array([0]))
    rows, expected, half = [], [], []
    done = 0
    start = first
    while start < len(time_):
        end = int(np.searchsorted(time_, time_[start] + DAY))
        piece = slice(done, start)
        detector.score(ReadingBatch.of(np.zeros(start - done, np.intp), time_[piece], values[piece, None]))
        ahead = detector.forecast(0, time_[start:end])
        rows.append(np.arange(start, end))
        expected.append(ahead.expected[:, 0])
        half.append((ahead.high - ahead.low)[:, 0] / 2.0)
        done, start = start, end
    return np.concatenate(rows), np.concatenate(expected), np.concatenate(half)


def accuracy(detector: Forecast, time_: Floats, values: Floats, first: int) -> dict[str, float]:
    """How the readings from `first` on met what was expected."""
    _, one, band = follow(detector, time_, values)
    rows, expected, half = day_ahead(detector, time_, values, first)
    before = np.interp(time_[rows] - 7 * DAY, time_, values)
    naive = float(np.abs(values[rows] - before).mean())
    error, one_error = np.abs(values[rows] - expected), np.abs(values[first:] - one[first:])
    return {
        "mase": float(error.mean()) / naive,
        "mase_one_step": float(one_error.mean()) / naive,
        "coverage": float((one_error <= band[first:]).mean()),
        "coverage_day_ahead": float((error <= half).mean()),
    }


def episodes(time_: Floats, hot: NDArray[np.bool_]) -> int:
    """Alerts: readings above the boundary, less than an hour apart, are one."""
    when = time_[hot]
    return int(len(when) > 0) + int((np.diff(when) >= QUIET).sum())


def generated(seeds: int) -> dict[str, Any]:
    """Accuracy and changes found on generated series."""
    rows, found, alerts, weeks = [], dict.fromkeys(KINDS, 0), 0, 0.0
    for seed in range(seeds):
        series = generate(seed)
        first = int(TRAINED_WEEKS * 7 * DAY / EVERY)
        detector = trained(series.time[:first], series.values[:first], f"generated {seed}")
        rows.append(accuracy(detector, series.time, series.values, first))
        scores, _, _ = follow(detector, series.time, series.values)
        alerts += episodes(series.time[first:], scores[first:] >= 1.0)
        weeks += (series.time[-1] - series.time[first]) / (7 * DAY)
        draw = np.random.default_rng(1_000 + seed)
        for kind in KINDS:
            at = first + int(draw.integers(0, int(5 * DAY / EVERY)))
            values, within = changed(series, kind, at, draw)
            scores, _, _ = follow(detector, series.time, values)
            found[kind] += int((scores[at : at + within] >= 1.0).any())
    return {
        "series": seeds,
        **_means(rows),
        "detected": {kind: f"{number} of {seeds}" for kind, number in found.items()},
        "recall": sum(found.values()) / (seeds * len(KINDS)),
        "false_per_device_week": alerts / weeks,
    }


def numenta(folder: Path) -> dict[str, Any]:
    """Accuracy on series of the corpus that have a rhythm: trained on the first 60 %."""
    by_name = {}
    for name in WITH_RHYTHM:
        time_, values = _read(folder / "data" / f"{name}.csv")
        first = int(0.6 * len(time_))
        detector = trained(time_[:first], values[:first], name)
        by_name[name] = _rounded(accuracy(detector, time_, values, first))
    return {"series": by_name, **_means(list(by_name.values()))}


def microseconds_per_value(seconds: float = 2.0) -> float:
    """Processor time for a value, in batches of one reading of each of 256 devices; the best of five turns."""
    series = generate(0, 2)
    detector = trained(series.time, series.values, "speed")
    detector.resize(BATCH)
    draw = np.random.default_rng(0)
    rounds = 100
    values = series.values[:rounds, None, None] + draw.normal(0.0, 0.3, (rounds, BATCH, 1))
    device = np.arange(BATCH)
    best = np.inf
    end = time.monotonic() + seconds
    turn = 0
    while turn < 5 or time.monotonic() < end:
        batches = [
            ReadingBatch.of(device, np.full(BATCH, series.time[-1] + 60.0 * (turn * rounds + i)), values[i])
            for i in range(rounds)
        ]
        before = time.process_time()
        for batch in batches:
            detector.score(batch)
        best = min(best, (time.process_time() - before) / (rounds * BATCH))
        turn += 1
    return 1e6 * float(best)


def _read(path: Path) -> tuple[Floats, Floats]:
    with path.open(newline="") as file:
        rows = [(datetime.fromisoformat(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    moment = np.array([when.replace(tzinfo=UTC).timestamp() for when, _ in rows])
    moment, kept = np.unique(moment, return_index=True)
    return moment, np.array([value for _, value in rows])[kept]


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, nargs="?", help="the Numenta corpus")
    parser.add_argument("--series", type=int, default=6, help="generated series")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {
        "generated": lambda: generated(chosen.series),
        "us_per_value": microseconds_per_value,
    }
    if chosen.data is not None:
        parts["numenta"] = lambda: numenta(chosen.data)
    found = {name: _rounded(part()) for name, part in parts.items()}
    if chosen.json:
        print(json.dumps(found))
        return
    for name, part in found.items():
        print(name if isinstance(part, dict) else f"{name}  {part}")
        for key, value in part.items() if isinstance(part, dict) else ():
            print(f"  {key:24} {value}")


if __name__ == "__main__":
    main()
