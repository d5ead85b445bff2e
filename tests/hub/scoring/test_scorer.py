"""The scorer: bounds on time and on requests at once, and the figures it keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.forests import isolation_forest
from vedette_hub.scoring.errors import ScoringBusyError, ScoringTimeoutError
from vedette_hub.scoring.scorer import PIECE, ROWS_PER_TIMEOUT, Scorer
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.vector_detector import VectorDetector

CHANNELS = 2


@pytest.fixture(scope="module")
def detector() -> IsolationForest:
    return isolation_forest(CHANNELS, 1)


def vectors(detector: VectorDetector, count: int) -> NDArray[np.float64]:
    draw = np.random.default_rng(count)
    low, high = detector.usual.low, detector.usual.high
    return draw.uniform(low - 2 * (high - low), high, (count, len(low)))


def clock(step: float) -> Iterator[float]:
    """A clock that goes on by so much with every look at it."""
    now = 0.0
    while True:
        yield now
        now += step


class Held:
    """A model that scores when it is told to, and says when it has begun."""

    def __init__(self, detector: VectorDetector) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._model = detector.model
        self.width = detector.model.width

    def decision_function(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        self.begun.set()
        assert self.go_on.wait(60)
        return self._model.decision_function(vectors)


def test_scores_are_the_models_in_every_piece(detector: IsolationForest) -> None:
    rows = vectors(detector, 2 * PIECE + 7)
    scored = Scorer(1, 60.0).score(detector, rows)
    decision = detector.model.decision_function(rows)
    assert np.array_equal(scored.decision, decision)
    assert np.array_equal(scored.strength, detector.scale(rows))
    assert np.array_equal(scored.anomalous, scored.strength >= 1.0)
    assert 0.0 <= scored.confidence.min() <= scored.confidence.max() <= 1.0
    order = np.argsort(np.abs(decision))
    assert (np.diff(scored.confidence[order]) >= 0.0).all()


def test_what_takes_too_long_is_dropped_and_counted(detector: IsolationForest) -> None:
    # One look at the clock before, one behind each piece, one at the end.
    slow = clock(0.03).__next__
    scorer = Scorer(1, 0.1, slow)
    with pytest.raises(ScoringTimeoutError, match="100 ms"):
        scorer.score(detector, vectors(detector, ROWS_PER_TIMEOUT))
    found = scorer.figures
    assert (found.requests, found.timeouts, found.scored) == (1, 1, 0)
    # It has stopped where the time was over, and what comes next finds room.
    assert scorer.score(detector, vectors(detector, PIECE)).seconds == pytest.approx(0.06)
    assert (scorer.figures.requests, scorer.figures.timeouts, scorer.figures.scored) == (2, 1, PIECE)


def test_more_rows_may_take_longer(detector: IsolationForest) -> None:
    pieces = -(-2 * ROWS_PER_TIMEOUT // PIECE)
    scorer = Scorer(1, 0.1, clock(0.19 / (pieces + 1)).__next__)
    assert len(scorer.score(detector, vectors(detector, 2 * ROWS_PER_TIMEOUT)).decision) == 2 * ROWS_PER_TIMEOUT
    with pytest.raises(ScoringTimeoutError):
        scorer.score(detector, vectors(detector, ROWS_PER_TIMEOUT))


def test_beyond_the_bound_a_request_is_refused_and_counted(detector: IsolationForest) -> None:
    scorer = Scorer(1, 0.05, clock(0.0).__next__)
    slow = IsolationForest(detector.forest, detector.usual, CHANNELS, detector.width)
    held = slow.model = Held(detector)
    first = threading.Thread(target=scorer.score, args=(slow, vectors(detector, 1)))
    first.start()
    assert held.begun.wait(60)
    with pytest.raises(ScoringBusyError, match=r"scoring\.concurrent"):
        scorer.score(detector, vectors(detector, 1))
    held.go_on.set()
    first.join()
    scorer.score(detector, vectors(detector, 1))
    found = scorer.figures
    assert (found.refused, found.scored, found.requests) == (1, 2, 2)


def test_figures_are_of_single_vectors(detector: IsolationForest) -> None:
    scorer = Scorer(1, 60.0, clock(0.5).__next__)
    rows = vectors(detector, PIECE)
    scorer.score(detector, rows)
    scorer.score(detector, rows[:1])
    found = scorer.figures
    assert (found.scored, found.seconds) == (PIECE + 1, 2.0)
    assert (found.slowest, found.fastest) == (1.0, 1.0 / PIECE)
    assert found.anomalies == int((detector.scale(rows) >= 1.0).sum() + (detector.scale(rows[:1]) >= 1.0)[0])
