from __future__ import annotations

import numpy as np

from tests.agent.streams import PROFILE
from vedette_agent.reading.devices import DeviceTable
from vedette_agent.reading.health.faults import Faults
from vedette_agent.reading.health.impossible import Impossible
from vedette_agent.reading.pipeline import REASONS, Pipeline
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.profile import Channel, Decisions, Profile
from vedette_models.readings import ReadingBatch


def readings(values: list[list[float]]) -> ReadingBatch:
    return ReadingBatch.of([0] * len(values), [60.0 * i for i in range(len(values))], values)


def test_impossible_is_strictly_outside_and_missing_is_not() -> None:
    batch = readings([[10.0, 0.0], [10.1, -0.1], [np.nan, np.nan], [-1e300, 1e300]])
    ranges = Impossible(Profile("p", (Channel("a", high=10.0), Channel("b", low=0.0))))
    found = ranges.outside(batch, DeviceTable(1))
    assert found.tolist() == [[False, False], [True, True], [False, False], [False, False]]


def test_impossible_values_are_neither_scored_nor_learnt() -> None:
    random = np.random.default_rng(0)
    clean = random.normal(1.0, 0.1, (600, 2))
    dirty = clean.copy()
    dirty[::50] = -999.0
    missing = clean.copy()
    missing[::50] = np.nan
    seen, unseen = (Pipeline(PROFILE, [RangeBreak(2)]) for _ in range(2))
    outside = dirty < 0.0
    with_faults = seen.judge(readings(dirty.tolist()), 1, Faults(withheld=outside))
    without = unseen.judge(readings(missing.tolist()), 1)
    np.testing.assert_array_equal(with_faults.anomaly, without.anomaly)
    np.testing.assert_array_equal(with_faults.batch.values[::50], -999.0)


def test_a_threshold_of_the_profile_is_fixed_whatever_happens() -> None:
    values = np.random.default_rng(1).normal(1.0, 0.1, (500, 1))
    values[400] = 50.0
    one, other = (
        Pipeline(Profile("p", (Channel("x"),), Decisions(threshold=t)), [RangeBreak(1)]).judge(
            readings(values.tolist()), 1
        )
        for t in (0.1, 2.0)
    )
    np.testing.assert_allclose(one.anomaly * 0.1, other.anomaly * 2.0)
    assert one.anomaly.argmax() == 400


def test_reasons_name_the_disturbed_channel_first_and_never_more_than_fit() -> None:
    random = np.random.default_rng(2)
    channels = tuple(Channel(f"c{i}") for i in range(20))
    values = random.normal(1.0, 0.1, (500, 20))
    values[450] += 0.5
    values[450, 7] += 5.0
    verdicts = Pipeline(Profile("p", channels), [RangeBreak(20)]).judge(readings(values.tolist()), 1)
    detector, reasons = verdicts.reasons(450, Profile("p", channels))
    assert detector == "rangebreak"
    assert reasons[0].channel == "c7"
    assert 1 < len(reasons) <= REASONS
    shares = [reason.share for reason in reasons]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.0 + 1e-3


def test_an_empty_batch_gives_empty_verdicts() -> None:
    verdicts = Pipeline(PROFILE, [RangeBreak(2)]).judge(ReadingBatch.of([], [], np.zeros((0, 2))), 0)
    assert (len(verdicts.batch), verdicts.anomaly.shape, verdicts.faults.found) == (0, (0,), ())


def test_state_grows_in_large_steps() -> None:
    detector = RangeBreak(2)
    pipeline = Pipeline(PROFILE, [detector])
    sizes = []
    for devices in range(1, 200):
        pipeline.make_room(devices)
        sizes.append(detector.devices)
    assert all(size >= devices for devices, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 20
