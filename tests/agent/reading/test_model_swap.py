"""A model comes, is replaced and goes between two batches: what was learnt stays, what it said is cleared."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.streams import PROFILE, stream
from tests.agent.verdicts import Watched
from tests.models.baselines import mahalanobis
from tests.models.forests import isolation_forest, normal_readings
from vedette_agent.reading import checkpoint
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.reading.reservoir import Reservoir
from vedette_agent.reading.trial import Evidence, Failure, OnTrial
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.messages import Alert, Segment
from vedette_models.profile import Channel, Decisions, Profile
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import Rejection

PUMP = Profile("pump", (Channel("flow"), Channel("pressure")), Decisions(alerts_per_week=1.0))
WIDTH = 4
GOLDEN = 8
"""Rows that a model has from its golden readings."""


def forest(width: int = WIDTH) -> IsolationForest:
    return isolation_forest(2, GOLDEN, width)


def watch_of(devices: int, reservoir: Reservoir | None = None, profile: Profile = PUMP) -> ProfileWatch:
    watch = ProfileWatch(profile, "gw", "epoch", 100, reservoir)
    for i in range(devices):
        watch.table.row(f"device-{i}")
    return watch


def readings(first: int, count: int) -> ReadingBatch:
    return normal_readings(2, 400).take(slice(first, first + count))


def forest_scores(watch: ProfileWatch, batch: ReadingBatch) -> list[float]:
    scored = {said.detector: said.scores.total.tolist() for said in watch.process(batch).verdicts.scored}
    return list(scored["isolation_forest"])


@pytest.mark.parametrize("devices", [0, 1, 4, 40])
def test_a_model_comes_whatever_the_number_of_devices(devices: int) -> None:
    watch = watch_of(devices)
    watch.use(forest())
    watch.table.row("device-0")
    watch.process(ReadingBatch.of([0], [0.0], [[0.0, 1013.25]]))


@pytest.mark.parametrize("at", [1, 37, 200])
def test_the_next_version_goes_on_with_the_windows_of_the_one_before(at: int) -> None:
    swapped, steady = watch_of(4), watch_of(4)
    for watch in (swapped, steady):
        watch.use(forest())
    before = forest_scores(swapped, readings(0, at)) + forest_scores(swapped, readings(at, 0))
    swapped.use(forest())
    after = forest_scores(swapped, readings(at, 100))
    assert before + after == forest_scores(steady, readings(0, at + 100))
    assert any(before + after)


def test_what_needs_no_hub_notices_nothing_of_a_swap() -> None:
    swapped, steady = watch_of(4), watch_of(4)
    said = []
    for first in range(0, 300, 50):
        swapped.use([forest(), forest(6), None][first // 50 % 3])
        said.append(swapped.process(readings(first, 50)).verdicts.scored[0].scores.total)
    wanted = steady.process(readings(0, 300)).verdicts.scored[0].scores.total
    assert np.concatenate(said) == pytest.approx(wanted, abs=1e-9)


def test_a_model_of_another_width_begins_with_empty_windows() -> None:
    watch = watch_of(4)
    watch.use(forest())
    watch.process(readings(0, 100))
    watch.use(forest(6))
    fresh = watch_of(4)
    fresh.use(forest(6))
    assert forest_scores(watch, readings(100, 100)) == forest_scores(fresh, readings(100, 100))


def test_more_devices_than_golden_readings_knew_take_their_windows_along() -> None:
    watch, steady = watch_of(50), watch_of(50)
    devices = np.arange(200) % 50
    values = np.random.default_rng(0).normal(size=(200, 2)) + np.array([0.0, 1013.25])
    batch = ReadingBatch.of(devices, range(200), values)
    for one in (watch, steady):
        one.use(forest())
    forest_scores(watch, batch.take(slice(0, 150)))
    watch.use(forest())
    after = forest_scores(watch, batch.take(slice(150, 200)))
    assert after == forest_scores(steady, batch)[150:]
    assert any(after), "their windows were full"


# Over a restart


def restarted(watch: ProfileWatch) -> ProfileWatch:
    again = watch_of(0)
    again.restore(watch.checkpoint(1.0))
    return again


def test_a_model_resumes_with_its_windows() -> None:
    watch, steady = watch_of(4), watch_of(4)
    watch.use(forest())
    steady.use(forest())
    watch.process(readings(0, 101))
    again = restarted(watch)
    again.use(forest())
    assert forest_scores(again, readings(101, 50)) == forest_scores(steady, readings(0, 151))[101:]


def test_a_model_that_comes_later_does_not_join_what_does_not_follow_on_each_other() -> None:
    watch, fresh = watch_of(4), watch_of(4)
    watch.use(forest())
    watch.process(readings(0, 100))
    again = restarted(watch)
    again.process(readings(100, 4))  # no model saw these
    again.use(forest())
    fresh.use(forest())
    assert forest_scores(again, readings(104, 40)) == forest_scores(fresh, readings(104, 40))


def test_a_device_in_a_forgotten_row_does_not_inherit_windows() -> None:
    watch = watch_of(4)
    watch.use(forest())
    watch.process(readings(0, 100))
    again = restarted(watch)
    again.forget("device-1", 0.0)
    assert again.table.row("new") == 1
    again.use(forest())
    assert forest_scores(again, ReadingBatch.of([1], [0.0], [[90.0, 0.0]])) == [0.0]


def test_nothing_of_the_checkpoint_is_kept_in_memory_when_readings_flow() -> None:
    watch = watch_of(4)
    watch.use(forest())
    watch.process(readings(0, 8))
    again = restarted(watch)
    assert set(again._resumable) == {"isolation_forest", "calibration of isolation_forest"}, (
        "what the agent's own detectors learnt is theirs by now"
    )
    again.process(readings(8, 1))
    assert again._resumable == {}


def test_a_checkpoint_with_a_model_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pump.npz"
    watch = watch_of(4)
    watch.use(forest())
    watch.process(readings(0, 100))
    checkpoint.save(path, watch.checkpoint(1.0))
    saved = checkpoint.load(path)
    assert saved is not None
    again = watch_of(0)
    again.restore(saved)
    again.use(forest())
    assert forest_scores(again, readings(100, 40)) == forest_scores(watch, readings(100, 40))


# Alerts


def strange(first: int, count: int) -> ReadingBatch:
    """A device that has never been otherwise: strange to the forest only."""
    return ReadingBatch.of([0] * count, range(first, first + count), [[60.0, 900.0]] * count)


def test_what_the_old_model_holds_open_is_cleared_and_the_new_one_may_say_it_again() -> None:
    watch = watch_of(1)
    watch.use(forest())
    (raised,) = watch.process(strange(0, 20)).decided.events
    assert (raised.detector, raised.state) == ("isolation_forest", "active")
    (cleared,) = watch.use(forest()).events
    assert (cleared.id, cleared.revision, cleared.state, cleared.cleared_by) == (
        raised.id,
        2,
        "cleared",
        "model replaced",
    )
    assert watch.decider.open_alerts == []
    (again,) = watch.process(strange(20, 5)).decided.events
    assert (again.state, again.detector) == ("active", "isolation_forest"), "no cooldown silences the new model"
    assert again.id != raised.id


def test_without_a_model_its_alerts_are_over() -> None:
    watch = watch_of(1)
    watch.use(forest())
    watch.process(strange(0, 20))
    decided = watch.use(None)
    assert [event.cleared_by for event in decided.events] == ["model replaced"]
    assert [change.device for change in decided.changes] == ["device-0"]
    assert watch.process(strange(20, 20)).decided.events == []


def test_what_others_hold_open_stays_open() -> None:
    watched = Watched()
    (raised,) = watched.see(0.0, 5.0)
    assert watched.decider.replace_model("isolation_forest").events == []
    assert watched.decider.open_alerts == [raised]
    assert [event.cleared_by for event in watched.decider.replace_model("given").events] == ["model replaced"]


def test_a_cooldown_that_had_begun_goes_on() -> None:
    watched = Watched()
    watched.alert_and_clear(0.0, 1.2)
    assert watched.see(100.0, 1.2) == [], "cooling"
    (worse,) = watched.see(101.0, 9.0)
    assert worse.state == "active"
    watched.decider.replace_model("given")
    assert watched.see(102.0, 1.2) == [], "still cooling since the first"


# Readings to train with


class Offered(Reservoir):
    """Keeps all."""

    def __init__(self) -> None:
        super().__init__(2, 3, 10_000)


def offered(seed: int, cuts: list[int], count: int) -> tuple[Counter[Segment], list[Alert]]:
    reservoir = Offered()
    watch = watch_of(3, reservoir, PROFILE)
    batch, events = stream(seed, count), []
    for start, end in pairwise([0, *sorted(cuts), count]):
        events += watch.process(batch.take(slice(start, end))).decided.events
    return Counter(reservoir.take()), events


@cache
def one_by_one(seed: int) -> Counter[Segment]:
    segments, events = offered(seed, list(range(400)), 400)
    assert any(event.state == "cleared" for event in events)
    return segments


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 1), st.lists(st.integers(0, 400), max_size=8))
def test_what_is_offered_does_not_depend_on_how_a_stream_is_split(seed: int, cuts: list[int]) -> None:
    assert offered(seed, cuts, 400)[0] == one_by_one(seed)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_offered_from_while_an_alert_is_open(seed: int) -> None:
    segments, events = offered(seed, [], 600)
    assert segments
    assert events
    opened: dict[tuple[str, str], float] = {}
    for event in events:
        if event.state == "active":
            opened.setdefault((event.device, event.kind), event.time)
            continue
        since = opened.pop((event.device, event.kind))
        if event.kind == "clock":
            continue  # between two times of such a device lie any readings
        for segment in segments:
            if segment.device == event.device:
                assert not any(since <= time <= event.time for time in segment.times)


def test_impossible_values_are_never_offered() -> None:
    for seed in range(4):
        segments, _ = offered(seed, [], 600)
        values = [reading for segment in segments for reading in segment.values]
        assert all(flow is None or -50.0 <= flow <= 50.0 for flow, _ in values)
        assert all(pressure is None or pressure >= 0.0 for _, pressure in values)


# A model that our own detector of the same name goes on as


def test_a_baseline_from_the_hub_stands_in_for_our_own_and_hands_back() -> None:
    watch = watch_of(4)
    watch.process(normal_readings(2, 2_400))
    (own,) = (d for d in watch.pipeline.own if d.name == "mahalanobis")
    before = own.state()
    watch.use(mahalanobis(2, 0))
    names = [detector.name for detector in watch.pipeline.detectors]
    assert sorted(names) == ["mahalanobis", "rangebreak"], "one of each name"
    (model,) = (d for d in watch.pipeline.detectors if d.name == "mahalanobis")
    assert model is watch.pipeline.model
    assert all(np.array_equal(before[name][:4], array[:4]) for name, array in model.state().items())
    watch.process(readings(0, 200))
    after = model.state()
    watch.use(None)
    assert own in watch.pipeline.detectors
    assert all(np.array_equal(after[name][:4], array[:4]) for name, array in own.state().items())


def on_trial(new: IsolationForest, old: IsolationForest | None, **options: bool) -> OnTrial:
    return OnTrial(new, old, Evidence(1e9), lambda: 0.0, **options)


def test_a_trial_that_ends_badly_leaves_the_one_before_with_all_it_would_have_seen() -> None:
    tried, steady = watch_of(4), watch_of(4)
    old = forest()
    tried.use(old)
    steady.use(forest())
    said = forest_scores(tried, readings(0, 50))
    trial = on_trial(forest(), old)
    tried.use(trial)
    said += forest_scores(tried, readings(50, 50))
    trial.failure = Failure(Rejection.CRASHED, "planted")
    said += forest_scores(tried, readings(100, 50))
    tried.use(old)
    said += forest_scores(tried, readings(150, 100))
    assert said == forest_scores(steady, readings(0, 250))
    assert any(said)


def test_a_trial_is_resumed_with_what_the_checkpoint_knows_for_both(tmp_path: Path) -> None:
    before, after, steady = watch_of(4), watch_of(4), watch_of(4)
    for watch in (before, steady):
        watch.use(forest())
    forest_scores(before, readings(0, 50))
    path = checkpoint.path_of(tmp_path, "pump")
    checkpoint.save(path, before.checkpoint(1.0))
    saved = checkpoint.load(path)
    assert saved is not None
    after.restore(saved)
    old = forest()
    trial = on_trial(forest(), old, resumed=True)
    after.use(trial)
    said = forest_scores(after, readings(50, 50))
    trial.failure = Failure(Rejection.CRASHED, "planted")
    said += forest_scores(after, readings(100, 50))
    after.use(old)
    said += forest_scores(after, readings(150, 50))
    assert said == forest_scores(steady, readings(0, 200))[50:]


def test_a_trial_of_the_detector_that_watches_anyway_hands_back_what_it_knows() -> None:
    channels = Profile("pump", (Channel("flow"), Channel("pressure")), Decisions(alerts_per_week=1.0))
    watch = watch_of(4, profile=channels)
    first, second = mahalanobis(2, 0), mahalanobis(2, 0)
    watch.use(first)
    watch.process(readings(0, 100))
    trial = OnTrial(second, first, Evidence(1e9), lambda: 0.0)
    watch.use(trial)
    watch.process(readings(100, 100))
    assert isinstance(watch.left_out(), dict)
    trial.failure = Failure(Rejection.CRASHED, "planted")
    watch.process(readings(200, 50))
    watch.use(first)
    watch.use(None)
    own = next(detector for detector in watch.pipeline.own if detector.name == "mahalanobis")
    known = first.state()["progress"]
    assert own.state()["progress"][:4].tolist() == known[:4].tolist()
    assert np.any(known)
