"""Thresholds by device, as a profile's watch has them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.forests import isolation_forest
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.reading.thresholds import Thresholds
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.messages import AlertRate
from vedette_models.profile import Channel, Decisions, Profile
from vedette_models.readings import ReadingBatch

PUMP = Profile("pump", (Channel("flow"),))
T0 = 1.7e9
STEP = 3_600.0
WEEK = 168
"""Readings."""


def stream(devices: int, weeks: float, seed: int) -> ReadingBatch:
    """Noise; device 0 has spikes."""
    random = np.random.default_rng(seed)
    count = int(weeks * WEEK)
    values = random.normal(10.0, 1.0, (count, devices))
    values[:, 0] += np.where(random.random(count) < 0.02, 12.0 * random.pareto(1.0, count), 0.0)
    device = np.tile(np.arange(devices), count)
    return ReadingBatch.of(device, np.repeat(T0 + STEP * np.arange(count), devices), values.reshape(-1, 1))


def watch_of(profile: Profile = PUMP, devices: int = 2) -> ProfileWatch:
    watch = ProfileWatch(profile, "gw", "epoch", 100)
    for i in range(devices):
        watch.table.row(f"device-{i}")
    return watch


def strength_of(watch: ProfileWatch, score: float, device: int) -> float:
    """Of a score that device would have now."""
    detector = watch.pipeline.detectors[0]
    thresholds = watch.pipeline.thresholds
    seen = thresholds.exposure.watch(np.array([device]), np.array([T0 + STEP * 100 * WEEK]))
    return float(thresholds.strength(detector, np.array([device]), np.array([score]), seen)[0])


def test_a_restless_device_has_a_higher_threshold_than_its_neighbour() -> None:
    watch = watch_of()
    watch.pipeline.make_room(2)
    (detector,), thresholds = watch.pipeline.detectors, watch.pipeline.thresholds
    for day in range(60):
        batch = ReadingBatch.of([0, 1], [T0 + 86_400.0 * day] * 2, [[0.0], [0.0]])
        loud = np.array([2.0, 0.01 if day else 2.0])
        thresholds.strength(detector, batch.device, loud, thresholds.watch(batch))
    assert 1.5 * strength_of(watch, 0.3, 0) < strength_of(watch, 0.3, 1)


def test_the_budget_is_split_evenly_among_detectors() -> None:
    thresholds = Thresholds(Decisions(alerts_per_week=0.6))
    own, model = [RangeBreak(1)], isolation_forest(1, 1)
    thresholds.use(own, model)
    budgets = [part.budget for name, part in thresholds.parts.items() if name.startswith("calibration")]  # type: ignore[union-attr] # only they have one
    assert budgets == [0.3, 0.3]
    thresholds.use(own, None)
    assert [name for name in thresholds.parts if name.startswith("calibration")] == ["calibration of rangebreak"]


def test_a_new_model_is_calibrated_anew_and_our_own_detectors_go_on() -> None:
    watch = watch_of()
    watch.process(stream(2, 6, 1))
    rangebreak = watch.pipeline.thresholds.parts["calibration of rangebreak"]
    watch.use(isolation_forest(1, 1))
    forest = watch.pipeline.thresholds.parts["calibration of isolation_forest"]
    watch.use(isolation_forest(1, 1))
    assert watch.pipeline.thresholds.parts["calibration of rangebreak"] is rangebreak
    assert watch.pipeline.thresholds.parts["calibration of isolation_forest"] is not forest


def test_a_fixed_threshold_is_not_calibrated() -> None:
    watch = watch_of(Profile("pump", (Channel("flow"),), Decisions(threshold=0.25)))
    watch.process(stream(2, 6, 1))
    assert strength_of(watch, 0.2, 0) == strength_of(watch, 0.2, 1) == pytest.approx(0.8)
    assert watch.alert_rate.target is None


def test_the_realised_rate_counts_anomalies_and_the_time_devices_were_watched() -> None:
    watch = watch_of()
    assert watch.alert_rate == AlertRate(0.5, 0, 0.0)
    raised = [
        event
        for event in watch.process(stream(2, 3, 1)).decided.events
        if event.revision == 1 and event.kind == "anomaly"
    ]
    assert watch.alert_rate.alerts == len(raised) > 0
    assert watch.alert_rate.device_weeks == pytest.approx(6.0, rel=0.01)


def test_thresholds_and_rates_survive_a_restart() -> None:
    batch = stream(2, 8, 1)
    half = len(batch) // 2
    whole, before, after = watch_of(), watch_of(), watch_of(devices=0)
    whole.process(batch.take(slice(0, half)))
    before.process(batch.take(slice(0, half)))
    after.restore(before.checkpoint(1.0))
    assert after.alert_rate == before.alert_rate
    rest = batch.take(slice(half, len(batch)))
    once, again = (watch.process(rest).verdicts.anomaly for watch in (whole, after))
    assert np.array_equal(once, again)


def test_a_forgotten_device_leaves_the_rate() -> None:
    watch = watch_of()
    watch.process(stream(2, 3, 1))
    watch.forget("device-0", T0)
    assert watch.alert_rate.device_weeks == pytest.approx(3.0, rel=0.01)
