"""A window of one reading: the vector is the reading, in features, detector and artefact."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.forests import isolation_forest
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.learnt import Learnt
from vedette_models.detectors.usual import Usual
from vedette_models.features import AS_THEY_ARE, FEATURES, WindowFeatures, features_of
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected, Rejection


def detector() -> IsolationForest:
    """A forest of 12 features, grown on windows, taken for one of 12 channels."""
    windows = isolation_forest(2, 1)
    forest = windows.forest
    usual = Usual(windows.usual.median, windows.usual.low, windows.usual.high, windows.usual.typical)
    return IsolationForest(forest, usual, 12, 1, 1)


def test_a_window_of_one_reading_has_one_feature() -> None:
    assert features_of(1) == AS_THEY_ARE
    assert features_of(2) == FEATURES
    features = WindowFeatures(channels=2, width=1, devices=2)
    assert features.names(["a", "b"]) == ("a value", "b value")
    batch = ReadingBatch.of([0, 1, 0], [1.0, 1.0, 2.0], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert np.array_equal(features.update(batch), batch.values)


def test_a_reading_is_scored_by_itself_whatever_came_before() -> None:
    watched = detector()
    draw = np.random.default_rng(4)
    values = draw.uniform(watched.usual.low, watched.usual.high, (20, 12))
    batch = ReadingBatch.of([0] * 20, range(20), values)
    assert np.array_equal(watched.score(batch).total, watched.scale(values))
    values[3, 5] = np.nan
    filled = np.where(np.isnan(values), watched.usual.median, values)
    assert np.array_equal(watched.score(ReadingBatch.of([0] * 20, range(20, 40), values)).total, watched.scale(filled))


def test_what_is_unusual_is_named_by_its_channel() -> None:
    watched = detector()
    usual = watched.usual
    values = usual.high + 3.0 * (1.0 + usual.high - usual.low)
    scores = watched.score(ReadingBatch.of([0], [1.0], [values]))
    assert scores.total[0] >= 1.0
    assert scores.by_channel.sum() == pytest.approx(scores.total[0])
    channel = int(scores.by_channel[0].argmax())
    finding = scores.finding(0, channel)
    assert finding is not None
    assert (finding.value, finding.low, finding.high) == (values[channel], usual.low[channel], usual.high[channel])
    assert finding.aspect == "value"


def test_it_survives_being_written_down_and_is_no_other_width() -> None:
    learnt = detector().learnt
    assert (learnt.width, learnt.features) == (1, AS_THEY_ARE)
    again = IsolationForest.build(12, learnt)
    assert np.array_equal(again.scale(np.ones((1, 12))), detector().scale(np.ones((1, 12))))
    for width, features in ((1, FEATURES), (2, AS_THEY_ARE), (0, AS_THEY_ARE)):
        with pytest.raises(ArtifactRejected) as refused:
            IsolationForest.build(12, Learnt(width, features, learnt.parameters, learnt.arrays))
        assert refused.value.reason is Rejection.OTHER_FEATURES
