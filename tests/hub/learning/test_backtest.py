"""A backtest asks every version about the same readings, and counts as an operator would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.hub.learning.readings import START, series, source
from vedette_hub.learning import backtest
from vedette_hub.learning.backtest import Judged
from vedette_hub.learning.datasets import Dataset, build
from vedette_hub.learning.hygiene import Mark, Period
from vedette_models.detectors.base import Detector
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.features import FEATURES, WindowFeatures
from vedette_models.readings import ReadingBatch

HOUR, WEEK = 3600.0, 7 * 86_400.0


def dataset(*periods: Period, gaps: bool = False) -> Dataset:
    parts = [series(1, 1500), series(2, 1500)]
    if gaps:
        parts[0].values[np.random.default_rng(1).random((1500, 2)) < 0.4] = np.nan
    return build(replace(source(*parts), periods=periods), width=16, at_least=200, at_most=10**6)


def period(first: int, last: int, mark: Mark) -> Period:
    return Period("pump-1", START + 60.0 * first, START + 60.0 * last, mark)


class Level:
    """Scores the mean of the last 16 readings of the first channel: what a full window is worth."""

    name, default_threshold = "level", 2.0

    def __init__(self) -> None:
        self._features = WindowFeatures(2, 16)

    @property
    def devices(self) -> int:
        return self._features.devices

    def resize(self, devices: int) -> None:
        self._features.resize(devices)

    def forget(self, rows: np.ndarray) -> None:
        self._features.forget(rows)

    def score(self, batch: ReadingBatch) -> object:
        vectors = np.nan_to_num(self._features.update(batch)[:, FEATURES.index("mean")])
        return type("Scores", (), {"total": vectors})()


def test_readings_are_judged_with_full_windows_whatever_their_place_and_gaps() -> None:
    found = dataset(gaps=True)
    chosen = backtest.judged(found)
    scores = backtest.replay(Level(), found, chosen)  # type: ignore[arg-type]  # as much of a detector as is needed
    for i in np.random.default_rng(2).integers(0, len(scores), 200).tolist():
        one = found.series[chosen.series[i]]
        reported = one.values[: chosen.position[i] + 1, 0]
        window = reported[~np.isnan(reported)][-16:]
        assert scores[i] == pytest.approx(window.mean() / 2.0 if len(window) == 16 else 0.0)


def test_only_what_is_held_out_or_labelled_is_judged() -> None:
    found = dataset(period(200, 240, Mark.ANOMALOUS), period(700, 720, Mark.FALSE_ALARM))
    chosen = backtest.judged(found)
    assert not chosen.normal[chosen.anomalous].any()
    assert chosen.anomalous.sum() == 41 + 15
    assert chosen.excused.sum() == 21 + 15
    trained = found.vectors.take(found.trained & ~found.excused)
    judged = set(zip(chosen.series.tolist(), chosen.position.tolist(), strict=True))
    assert not judged & set(zip(trained.series.tolist(), trained.position.tolist(), strict=True))


def test_a_detector_that_learns_as_it_goes_is_judged_too() -> None:
    found = dataset()
    chosen = backtest.judged(found)
    detector: Detector = RangeBreak(2)
    first = backtest.replay(detector, found, chosen)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(backtest.replay(detector, found, chosen), first)


def test_many_readings_are_judged_in_stretches_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = backtest.judged(dataset(period(200, 240, Mark.ANOMALOUS)))
    monkeypatch.setattr(backtest, "MAX_READINGS", len(everything.time) // 3)
    some = backtest.judged(dataset(period(200, 240, Mark.ANOMALOUS)))
    assert len(some.time) < 0.6 * len(everything.time)
    assert some.anomalous.sum() == everything.anomalous.sum()
    assert some.time.max() > everything.time[len(everything.time) // 2]


def chosen(rows: list[tuple[int, float, str]]) -> Judged:
    """(device, hour, what is known: n normal, a anomalous, e excused)."""
    device, hours, known = (np.array(column) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(rows), np.intp)
    return Judged(
        zeros, zeros, device, hours * HOUR, np.full(len(rows), HOUR), known == "a", known == "e", known != "a"
    )


def test_alerts_are_counted_by_episode_and_device_and_rated_by_watched_time() -> None:
    rows = [(device, float(hour), "n") for device in (0, 1) for hour in range(84)]
    found = chosen(rows)
    scores = np.zeros(len(rows))
    scores[[10, 30]] = 1.0  # two alerts of device 0, one of device 1
    scores[84 + 5] = 3.0
    figures = backtest.figures(found, scores, 2)
    assert (figures["alerts"], figures["device_weeks"], figures["alerts_per_device_week"]) == (3, 1.0, 3.0)
    assert figures["p90_device"] == pytest.approx(np.quantile([4.0, 2.0], 0.9))
    assert figures["devices_watched_for_a_day"] == 2


def test_a_device_watched_for_less_than_a_day_has_no_rate_of_its_own() -> None:
    figures = backtest.figures(chosen([(0, float(hour), "n") for hour in range(23)]), np.ones(23), 1)
    assert figures["p90_device"] is None
    assert figures["alerts_per_device_week"] == pytest.approx(23 * 7 * 24 / 23, rel=0.01)


def test_what_is_known_is_found_or_not_as_a_whole_and_is_no_false_alert() -> None:
    rows = [(0, 0.0, "a"), (0, 0.5, "a"), (0, 40.0, "a"), (0, 80.0, "e"), (1, 0.2, "a")]
    figures = backtest.figures(chosen(rows), np.array([0.2, 1.5, 0.9, 1.0, 0.1]), 2)
    assert (figures["labelled_true"], figures["labelled_true_alerted"]) == (3, 1)
    assert (figures["labelled_true_readings"], figures["labelled_true_readings_alerted"]) == (4, 1)
    assert (figures["labelled_false"], figures["labelled_false_alerted"]) == (1, 1)
    assert figures["alerts"] == 1


def test_versions_are_compared_reading_by_reading() -> None:
    found = backtest.flips(np.array([0.0, 1.0, 2.0, 0.5]), np.array([1.0, 1.0, 0.0, 0.9]))
    assert found == {"readings": 4, "share": 0.5, "only_this": 0.25, "only_previous": 0.25}


def test_the_timeline_counts_every_alert_once() -> None:
    rows = [(device, float(hour), "a" if hour == 7 else "n") for device in (0, 1) for hour in range(500)]
    found = chosen(rows)
    scores = np.zeros(len(rows))
    scores[[3, 400, 500 + 3, 500 + 499]] = 1.0
    line = backtest.timeline(found, [scores, np.zeros(len(rows))])
    assert [sum(alerts) for alerts in line["alerts"]] == [4, 0]
    assert line["alerts"][0][-1] == 1
    assert len(line["known_anomalous"]) == 1
