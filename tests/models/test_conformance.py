"""What every detector must do. To have a detector checked, add a line to DETECTORS."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.models.baselines import mahalanobis
from tests.models.ensembles import ensemble, ensemble_with_mahalanobis
from tests.models.forecasts import forecast
from tests.models.forests import isolation_forest
from tests.models.vector_models import lof, one_class_svm
from vedette_models.detectors.base import Detector, Scores, StateError
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.readings import ReadingBatch

DETECTORS: dict[str, Callable[[int, int], Detector]] = {
    # name, and with what: a detector for so many channels and devices
    "rangebreak": RangeBreak,
    "isolation_forest": isolation_forest,
    "lof": lof,
    "ensemble": ensemble,
    "ensemble with mahalanobis": ensemble_with_mahalanobis,
    "one_class_svm": one_class_svm,
    "forecast": forecast,
    "mahalanobis": mahalanobis,
}
JOINT = {"isolation_forest", "lof", "ensemble", "one_class_svm", "mahalanobis"}
"""Detectors that judge all channels of a reading together: a score below the threshold need not have a reason, a value
may be usual by itself, and what another channel does matters."""
GRADED = {"forecast"}
"""Detectors that score usual values too, below the threshold."""

CHANNELS, DEVICES = 3, 4
detectors = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)
bounded = settings(max_examples=4, deadline=None, derandomize=True)


def stream(n: int, seed: int, missing: float = 0.1) -> ReadingBatch:
    """Readings of all devices, interleaved at random, with faults and channels that are not reported."""
    random = np.random.default_rng(seed)
    device = random.integers(0, DEVICES, n)
    values = random.normal(size=(n, CHANNELS)) + 1013.25 * np.arange(CHANNELS)
    values[random.random(values.shape) < 0.02] += 20
    values[random.random(values.shape) < missing] = np.nan
    return ReadingBatch.of(device, 1.7e9 + 1_500.0 * np.arange(n), values)


def scored(detector: Detector, batch: ReadingBatch, cuts: list[int]) -> tuple[NDArray[np.float64], list[Scores]]:
    """Scores by channel of `batch` cut into pieces."""
    edges = [0, *sorted(cuts), len(batch)]
    scores = [detector.score(batch.take(slice(a, b))) for a, b in pairwise(edges)]
    return np.concatenate([piece.by_channel for piece in scores]), scores


@detectors
def test_says_what_it_is(make: Callable[[int, int], Detector]) -> None:
    detector = make(CHANNELS, DEVICES)
    assert detector.name in {name.partition(" ")[0] for name, each in DETECTORS.items() if each is make}
    assert detector.default_threshold > 0
    assert detector.devices == DEVICES


@detectors
@bounded
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 1_000), max_size=30))
def test_any_split_into_batches_gives_the_same_scores(
    make: Callable[[int, int], Detector], seed: int, cuts: list[int]
) -> None:
    batch = stream(1_000, seed)
    whole, _ = scored(make(CHANNELS, DEVICES), batch, [])
    split, _ = scored(make(CHANNELS, DEVICES), batch, cuts)
    assert np.array_equal(whole, split)
    assert whole.any()


@detectors
@bounded
@given(seed=st.integers(0, 2**32 - 1))
def test_devices_do_not_touch_each_other(make: Callable[[int, int], Detector], seed: int) -> None:
    batch = stream(1_000, seed)
    together, _ = scored(make(CHANNELS, DEVICES), batch, [500])
    for device in range(DEVICES):
        mine = batch.device == device
        alone, _ = scored(make(CHANNELS, DEVICES), batch.take(np.flatnonzero(mine)), [])
        assert np.array_equal(together[mine], alone)


@detectors
def test_a_series_alone_in_its_batch_scores_as_among_others(make: Callable[[int, int], Detector]) -> None:
    batch = stream(1_500, seed=4, missing=0)
    single = ReadingBatch.of(batch.device, batch.time, batch.values[:, :1])
    rows, alone, among = np.arange(DEVICES), make(1, DEVICES), make(1, DEVICES)
    for first in range(0, 1_500, DEVICES):
        piece = slice(first, first + DEVICES)
        together = among.score(ReadingBatch.of(rows, single.time[piece], single.values[piece])).by_channel
        for row in rows:
            one = ReadingBatch.of([row], single.time[first + row : first + row + 1], single.values[[first + row]])
            assert np.array_equal(alone.score(one).by_channel[0], together[row])
    same, other = alone.state(), among.state()
    assert all(np.array_equal(same[name], other[name], equal_nan=True) for name in same)


@detectors
def test_one_reading_at_a_time_gives_the_same_scores(make: Callable[[int, int], Detector]) -> None:
    batch = stream(700, seed=3)
    whole, _ = scored(make(CHANNELS, DEVICES), batch, [])
    single, _ = scored(make(CHANNELS, DEVICES), batch, list(range(700)))
    assert np.array_equal(whole, single)


@detectors
def test_scores_are_finite_not_negative_and_explained(make: Callable[[int, int], Detector]) -> None:
    batch, detector = stream(3_000, seed=1), make(CHANNELS, DEVICES)
    joint = detector.name in JOINT
    _, pieces = scored(detector, batch, list(range(0, 3_000, 250)))
    explained = 0
    for scores in pieces:
        assert scores.by_channel.shape == (len(scores.total), CHANNELS)
        assert np.isfinite(scores.by_channel).all()
        assert (scores.by_channel >= 0).all()
        assert np.isfinite(scores.total).all()
        if joint:
            explained_rows = scores.by_channel.any(axis=1)
            assert explained_rows[scores.total >= detector.default_threshold].all()
            assert (scores.total[explained_rows] > 0).all()
        else:
            assert np.array_equal(scores.total > 0, scores.by_channel.any(axis=1))
        for (row, channel), score in np.ndenumerate(scores.by_channel):
            finding = scores.finding(row, channel)
            assert (finding is not None) == (score > 0)
            if finding is not None:
                explained += 1
                assert finding.aspect
                assert math.isfinite(finding.value)
                assert -math.inf < finding.low <= finding.high < math.inf
                below = detector.name in GRADED and score < detector.default_threshold
                assert joint or below or not finding.low <= finding.value <= finding.high
    assert explained > 20


@detectors
def test_a_channel_that_was_not_reported_scores_nothing_and_learns_nothing(
    make: Callable[[int, int], Detector],
) -> None:
    batch = stream(1_500, seed=5, missing=0.4)
    together, _ = scored(make(CHANNELS, DEVICES), batch, [])
    assert not together[np.isnan(batch.values)].any()
    if make(CHANNELS, DEVICES).name in JOINT:
        return
    for channel in range(CHANNELS):
        reported = np.flatnonzero(~np.isnan(batch.values[:, channel]))
        part = batch.take(reported)
        for other in range(CHANNELS):
            if other != channel:
                part.values[:, other] = np.nan
        alone, _ = scored(make(CHANNELS, DEVICES), part, [])
        assert np.array_equal(together[reported, channel], alone[:, channel])


@detectors
@pytest.mark.parametrize("extreme", [0.0, 5e-324, 1e-300, 1e150, 1.7e308, -1.7e308])
def test_extreme_finite_values_score_finite(make: Callable[[int, int], Detector], extreme: float) -> None:
    batch = stream(900, seed=2, missing=0)
    batch.values[600:620, 0] = extreme
    batch.values[:, 1] *= extreme / 1e3
    batch.values[::2, 2] = extreme
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        by_channel, pieces = scored(make(CHANNELS, DEVICES), batch, [300])
    assert np.isfinite(by_channel).all()
    for piece in pieces:
        for row, channel in zip(*np.nonzero(piece.by_channel), strict=True):
            finding = piece.finding(int(row), int(channel))
            assert finding is not None
            assert all(map(math.isfinite, finding[1:]))
            assert finding.low <= finding.high


@detectors
def test_an_empty_batch_is_nothing(make: Callable[[int, int], Detector]) -> None:
    scores = make(CHANNELS, 0).score(ReadingBatch.of([], [], np.empty((0, CHANNELS))))
    assert scores.total.shape == (0,)
    assert scores.by_channel.shape == (0, CHANNELS)


@detectors
def test_state_resumes_exactly(make: Callable[[int, int], Detector]) -> None:
    batch = stream(2_000, seed=7)
    first = make(CHANNELS, DEVICES)
    scored(first, batch.take(slice(0, 1_200)), [])
    saved = first.state()
    assert all(len(array) == DEVICES for array in saved.values())
    kept = {name: array.copy() for name, array in saved.items()}
    rest, _ = scored(first, batch.take(slice(1_200, 2_000)), [])
    assert all(np.array_equal(saved[name], kept[name], equal_nan=True) for name in kept), "state must be a copy"

    second = make(CHANNELS, DEVICES + 3)
    scored(second, stream(500, seed=8), [])  # what it knew before must not show
    second.restore(saved)
    assert np.array_equal(rest, scored(second, batch.take(slice(1_200, 2_000)), [13])[0])
    assert rest.any()


@detectors
def test_state_of_the_first_rows_restores_those(make: Callable[[int, int], Detector]) -> None:
    batch = stream(1_600, seed=9)
    detector = make(CHANNELS, DEVICES)
    scored(detector, batch.take(slice(0, 800)), [])
    some = make(CHANNELS, 2)
    some.restore({name: array[:2] for name, array in detector.state().items()})
    later = batch.take(slice(800, 1_600))
    mine = later.device < 2
    expected, _ = scored(detector, later, [])
    assert np.array_equal(expected[mine], scored(some, later.take(np.flatnonzero(mine)), [])[0])


@detectors
def test_state_that_does_not_fit_is_refused_and_changes_nothing(make: Callable[[int, int], Detector]) -> None:
    batch = stream(1_000, seed=11)
    detector, other = make(CHANNELS, DEVICES), make(CHANNELS, DEVICES)
    for each in (detector, other):
        scored(each, batch, [])
    saved = detector.state()
    name = next(iter(saved))
    wrong: list[dict[str, NDArray[np.generic]]] = [
        {},
        {**saved, "unknown": saved[name]},
        {key: array for key, array in saved.items() if key != name},
        {key: array[:, :-1] for key, array in saved.items()},
        {key: array[:-1] if key == name else array for key, array in saved.items()},
        {key: array.astype(np.float32) for key, array in saved.items()},
        {key: np.concatenate([array, array]) for key, array in saved.items()},
        {key: array.reshape(-1) for key, array in saved.items()},
        {**saved, name: np.zeros(())},
        make(CHANNELS + 1, DEVICES).state(),
    ]
    for state in wrong:
        with pytest.raises(StateError):
            detector.restore(state)
    later = stream(1_000, seed=12)
    assert np.array_equal(scored(detector, later, [])[0], scored(other, later, [])[0])


@detectors
def test_a_forgotten_device_is_new_and_the_others_are_not(make: Callable[[int, int], Detector]) -> None:
    batch, later = stream(1_200, seed=13), stream(1_200, seed=14)
    forgetful, other, fresh = make(CHANNELS, DEVICES), make(CHANNELS, DEVICES), make(CHANNELS, DEVICES)
    scored(forgetful, batch, [])
    scored(other, batch, [])
    forgetful.forget(np.array([1, 3]))
    after, remembered, new = (scored(each, later, [])[0] for each in (forgetful, other, fresh))
    gone = np.isin(later.device, [1, 3])
    assert np.array_equal(after[gone], new[gone])
    assert np.array_equal(after[~gone], remembered[~gone])
    forgetful.forget(np.array([], np.intp))
    for rows in ([DEVICES], [-1], [0, DEVICES]):
        before = forgetful.state()
        with pytest.raises(ValueError, match="room"):
            forgetful.forget(np.array(rows))
        assert all(np.array_equal(before[k], v, equal_nan=True) for k, v in forgetful.state().items())


@detectors
def test_growing_changes_nothing_for_those_who_are_there(make: Callable[[int, int], Detector]) -> None:
    batch, later = stream(1_000, seed=15), stream(1_000, seed=16)
    grown, wide = make(CHANNELS, 0), make(CHANNELS, DEVICES + 20)
    for devices in (1, DEVICES):
        grown.resize(devices)
    scored(grown, batch, [])
    scored(wide, batch, [])
    grown.resize(DEVICES + 20)
    assert grown.devices == DEVICES + 20
    assert np.array_equal(scored(grown, later, [])[0], scored(wide, later, [])[0])
    with pytest.raises(ValueError, match="shrink"):
        grown.resize(DEVICES)


BAD: dict[str, ReadingBatch] = {}
for fault, device, time, value in (
    ("infinite value", 0, 0.0, math.inf),
    ("infinite value downwards", 0, 0.0, -math.inf),
    ("row beyond the table", DEVICES, 0.0, 1.0),
    ("negative row", -1, 0.0, 1.0),
    ("time is not a number", 0, math.nan, 1.0),
    ("time is infinite", 0, math.inf, 1.0),
):
    good = stream(30, seed=17)
    good.device[20], good.time[20] = device, time
    good.values[20, 1] = value
    BAD[fault] = good
fine = stream(30, seed=17)
BAD["another number of channels"] = ReadingBatch(fine.device, fine.time, fine.values[:, :2], fine.quality, fine.origin)
BAD["one value short"] = ReadingBatch(fine.device, fine.time, fine.values[:-1], fine.quality, fine.origin)
BAD["values in one row"] = ReadingBatch(fine.device, fine.time, fine.values.reshape(-1), fine.quality, fine.origin)
BAD["one time short"] = ReadingBatch(fine.device, fine.time[:-1], fine.values, fine.quality, fine.origin)


@detectors
@pytest.mark.parametrize("fault", BAD)
def test_bad_input_is_refused_before_anything_changes(make: Callable[[int, int], Detector], fault: str) -> None:
    detector = make(CHANNELS, DEVICES)
    scored(detector, stream(400, seed=18), [])
    before = detector.state()
    with pytest.raises(ValueError, match=r"\w"):
        detector.score(BAD[fault])
    assert all(np.array_equal(before[name], array, equal_nan=True) for name, array in detector.state().items())


@detectors
def test_scoring_leaves_the_batch_alone(make: Callable[[int, int], Detector]) -> None:
    batch = stream(300, seed=19)
    batch.values[7, 0] = 1e200
    copy = batch.take(slice(0, 300)).take(np.arange(300))
    make(CHANNELS, DEVICES).score(batch)
    assert np.array_equal(batch.values, copy.values, equal_nan=True)
    assert np.array_equal(batch.time, copy.time)
    assert np.array_equal(batch.device, copy.device)


@detectors
def test_reads_no_clock_and_no_chance(make: Callable[[int, int], Detector], monkeypatch: pytest.MonkeyPatch) -> None:
    batch = stream(1_000, seed=20)
    before, _ = scored(make(CHANNELS, DEVICES), batch, [])

    def refuse(*_: object, **__: object) -> float:
        raise AssertionError("a detector must not look at a clock or throw dice")

    for name in ("time.time", "time.monotonic", "time.perf_counter", "random.random"):
        monkeypatch.setattr(name, refuse)
    state = np.random.get_state()
    after, _ = scored(make(CHANNELS, DEVICES), batch, [])
    assert np.array_equal(before, after)
    assert all(map(np.array_equal, state, np.random.get_state()))
