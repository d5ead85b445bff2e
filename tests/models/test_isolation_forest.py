"""The isolation forest as a detector: windows, missing data, reasons, and what survives a swap."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.forests import complete_vectors, isolation_forest, normal_readings, trained
from vedette_models.detectors.forest import Forest
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.learnt import Learnt
from vedette_models.detectors.usual import Usual
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected, Rejection

WIDTH = 12
NOW = 1.8e9


def values_of(*rows: list[float]) -> NDArray[np.float64]:
    return np.array(rows, np.float64)


def watched(devices: int = 4, readings: int = 30) -> IsolationForest:
    """A detector of three channels that has seen normal readings of four devices."""
    detector = isolation_forest(3, devices)
    detector.score(normal_readings(3, 4 * readings, seed=5))
    return detector


def one(detector: IsolationForest, values: list[float]) -> float:
    return float(detector.score(ReadingBatch.of([0], [NOW], [values])).total[0])


def test_scores_begin_when_the_window_is_full() -> None:
    detector = isolation_forest(3, 4)
    batch = normal_readings(3, 4 * 40, seed=2)
    batch.values[:] = 1e6
    total = detector.score(batch).total.reshape(-1, 4)
    assert not total[: WIDTH - 1].any()
    assert (total[WIDTH - 1 :] >= detector.default_threshold).all()


def test_the_threshold_is_the_boundary_of_training() -> None:
    forest, usual = trained(3, WIDTH)
    detector = IsolationForest(forest, usual, 3, WIDTH)
    vectors = complete_vectors(normal_readings(3, 1_600), WIDTH)
    decision, score = forest.decision_function(vectors), detector.scale(vectors)
    assert np.array_equal(score >= detector.default_threshold, decision < 0.0)
    order = np.argsort(decision)
    assert (np.diff(score[order]) <= 0.0).all()
    assert np.median(score) < 1e-3
    assert (score >= 0.0).all()


def test_a_vector_exactly_on_the_boundary_is_no_outlier() -> None:
    forest, _ = trained(3, WIDTH)
    vectors = complete_vectors(normal_readings(3, 1_600), WIDTH)
    at = float(forest.decision_function(vectors)[17] + forest.offset)
    exact = Forest(forest.nodes, forest.trees, forest.max_samples, at, forest.width)
    detector = IsolationForest(exact, Usual.of(vectors, forest), 3, WIDTH)
    assert exact.decision_function(vectors)[17] == 0.0
    assert detector.scale(vectors)[17] < detector.default_threshold


def test_one_channel_far_off_is_named_first() -> None:
    named = alarms = 0
    for seed in range(30):
        detector, channel = watched(), seed % 3
        batch = normal_readings(3, 8, seed=100 + seed)
        batch.values[-4:, channel] += 12.0
        scores = detector.score(batch)
        for row in range(4, 8):
            if scores.total[row] >= detector.default_threshold:
                alarms += 1
                named += int(scores.by_channel[row].argmax()) == channel
                finding = scores.finding(row, channel)
                assert finding is not None
                assert not finding.low <= finding.value <= finding.high
    assert alarms > 40
    assert named >= 0.95 * alarms


def test_shares_add_up_to_the_score() -> None:
    detector = watched()
    batch = normal_readings(3, 8, seed=3)
    batch.values[-4:] += 20.0
    scores = detector.score(batch)
    rows = np.flatnonzero(scores.total >= detector.default_threshold)
    assert len(rows) >= 4
    assert np.allclose(scores.by_channel[rows].sum(axis=1), scores.total[rows])


def test_a_finding_speaks_of_the_reading_or_of_its_window() -> None:
    detector = watched()
    batch = normal_readings(3, 4, seed=3)
    batch.values[:, 1] += 9.0
    scores = detector.score(batch)
    row = int(scores.total.argmax())
    finding = scores.finding(row, 1)
    assert finding is not None
    assert finding.aspect in ("value", f"spread of the last {WIDTH} readings", f"largest of the last {WIDTH} readings")
    if finding.aspect == "value":
        assert finding.value == pytest.approx(batch.values[row, 1])
    quiet = isolation_forest(3, 4).score(normal_readings(3, 4))
    assert quiet.finding(0, 0) is None


def test_an_odd_combination_of_usual_values_has_a_reason_too() -> None:
    forest, usual = trained(3, WIDTH)
    wide = Usual(usual.median, usual.low - 1e9, usual.high + 1e9, usual.typical)
    detector = IsolationForest(forest, wide, 3, WIDTH, 4)
    detector.score(normal_readings(3, 120, seed=5))
    batch = normal_readings(3, 4, seed=6)
    batch.values[:] += 50.0
    scores = detector.score(batch)
    finding = scores.finding(0, int(scores.by_channel[0].argmax()))
    assert finding is not None
    assert finding.aspect.endswith("together with the other channels")


def test_missing_data_never_raises_an_anomaly() -> None:
    detector = watched()
    assert one(detector, [np.nan, np.nan, np.nan]) == 0.0
    assert one(detector, [1e6, -1e6, 2026.5]) >= detector.default_threshold
    assert one(detector, [np.nan, np.nan, 2026.5]) < detector.default_threshold, "what the others said before is old"


def test_a_channel_that_never_reports_does_not_silence_the_others() -> None:
    detector = isolation_forest(3, 4)
    batch = normal_readings(3, 4 * 30, seed=5)
    batch.values[:, 2] = np.nan
    batch.values[-4:, 0] += 1e6
    batch.values[-4:, 1] -= 1e6
    scores = detector.score(batch)
    assert (scores.total[-4:] >= detector.default_threshold).all()
    assert not scores.by_channel[:, 2].any()


def test_a_later_version_goes_on_with_the_windows_of_the_one_before() -> None:
    old, new = watched(), isolation_forest(3, 4)
    new.restore(old.state())
    batch = normal_readings(3, 40, seed=9)
    assert np.array_equal(old.score(batch).total, new.score(batch).total)
    assert one(new, [1e6, 0.0, 0.0]) >= new.default_threshold


def test_what_was_learnt_builds_the_same_detector() -> None:
    detector = isolation_forest(3, 4)
    again = IsolationForest.build(3, detector.learnt)
    again.resize(4)
    batch = normal_readings(3, 200, seed=8)
    assert np.array_equal(detector.score(batch).total, again.score(batch).total)
    assert (again.channels, again.width) == (3, WIDTH)


def replaced(learnt: Learnt, **changes: object) -> Learnt:
    return learnt._replace(arrays={**learnt.arrays, **changes})


LEARNT = isolation_forest(3, 0).learnt
USUAL = LEARNT.arrays["median"]


@pytest.mark.parametrize(
    ("learnt", "reason"),
    [
        (LEARNT._replace(features=("mean", "kurtosis")), Rejection.OTHER_FEATURES),
        (LEARNT._replace(width=1), Rejection.OTHER_FEATURES),
        (LEARNT._replace(width=1_000_000), Rejection.OTHER_FEATURES),
        (LEARNT._replace(parameters={}), Rejection.OTHER_ARRAYS),
        (LEARNT._replace(parameters={**LEARNT.parameters, "trees": 40.5}), Rejection.WRONG_FIELD),
        (LEARNT._replace(parameters={**LEARNT.parameters, "typical": 0.0}), Rejection.WRONG_FIELD),
        (LEARNT._replace(parameters={**LEARNT.parameters, "typical": 5e-324}), Rejection.WRONG_FIELD),
        (LEARNT._replace(arrays={}), Rejection.OTHER_ARRAYS),
        (replaced(LEARNT, spare=USUAL), Rejection.OTHER_ARRAYS),
        (replaced(LEARNT, median=USUAL[:-1]), Rejection.SHAPES_DISAGREE),
        (replaced(LEARNT, median=USUAL * np.nan), Rejection.NOT_FINITE),
        (replaced(LEARNT, low=USUAL + 1e9), Rejection.WRONG_FIELD),
    ],
)
def test_what_describes_no_detector_is_refused(learnt: Learnt, reason: Rejection) -> None:
    with pytest.raises(ArtifactRejected) as refused:
        IsolationForest.build(3, learnt)
    assert refused.value.reason is reason


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ArtifactRejected):
        IsolationForest.build(2, LEARNT)
    with pytest.raises(ValueError, match="channels"):
        IsolationForest(*trained(3, WIDTH), 2, WIDTH)


def test_a_boundary_among_typical_vectors_is_refused() -> None:
    forest, _ = trained(3, WIDTH)
    vectors = complete_vectors(normal_readings(3, 400), WIDTH)
    with pytest.raises(ValueError, match="outliers"):
        Usual.of(vectors, Forest(forest.nodes, forest.trees, forest.max_samples, 0.0, forest.width))
    with pytest.raises(ValueError, match="no training vectors"):
        Usual.of(vectors[:0], forest)
