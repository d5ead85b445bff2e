"""The scorer: a bound on how many requests score at the same time, a time limit for each, and figures of it all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette_hub.scoring.errors import ScoringBusyError, ScoringTimeoutError
from vedette_models.detectors.vector_detector import VectorDetector

ROWS_PER_TIMEOUT = 1_000
"""Rows of a batch that have the time limit for themselves: more have it once more for each so many."""
PIECE = 256
"""Rows scored between two looks at the clock."""


@dataclass(frozen=True)
class Scored:
    """What a model says of N vectors."""

    decision: NDArray[np.float64]
    """(N,) as scikit-learn's decision_function: below 0 is anomalous, and lower is more so."""
    strength: NDArray[np.float64]
    """(N,) as on a gateway: 0 typical, 1 at the boundary, growing beyond it."""
    confidence: NDArray[np.float64]
    """(N,) 0 on the boundary, 1 where as far from it as a typical vector, or further, on either side."""
    seconds: float

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """(N,) which vectors are anomalous."""
        return self.decision < 0.0


@dataclass(frozen=True)
class Figures:
    """What has been scored since the process started; latencies are seconds for each vector."""

    requests: int = 0
    """Those that were scored or timed out."""
    scored: int = 0
    """Vectors."""
    anomalies: int = 0
    timeouts: int = 0
    """Requests whose scoring took too long."""
    refused: int = 0
    """Requests beyond the bound on those at the same time."""
    seconds: float = 0.0
    """Sum."""
    slowest: float = 0.0
    fastest: float = math.inf


class Scorer:
    """Scores for all requests of this process; safe to be used by several threads."""

    def __init__(self, concurrent: int, timeout: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._room = threading.BoundedSemaphore(concurrent)
        self._timeout, self._clock = timeout, clock
        self._lock = threading.Lock()
        self._figures = Figures()

    @property
    def figures(self) -> Figures:
        """What has been scored so far."""
        return self._figures

    def score(self, detector: VectorDetector, vectors: NDArray[np.float64]) -> Scored:
        """What `detector` says of vectors (N, F), N > 0.

        A request waits for room for as long as its scoring may take, which is the time limit for each begun
        ROWS_PER_TIMEOUT rows; the waiting does not count.

        Raises:
            ScoringBusyError: there was no room in that time.
            ScoringTimeoutError: it took longer.
        """
        allowed = self._timeout * -(-len(vectors) // ROWS_PER_TIMEOUT)
        with self._place(allowed):
            started = self._clock()
            decision = np.empty(len(vectors))
            for first in range(0, len(vectors), PIECE):
                rows = slice(first, first + PIECE)
                decision[rows] = detector.model.decision_function(vectors[rows])
                if self._clock() - started > allowed:
                    break
            seconds = self._clock() - started
            if seconds > allowed:
                self._count(timeouts=1, requests=1)
                raise ScoringTimeoutError(f"scoring took longer than {1e3 * allowed:g} ms (scoring.timeout)")
        scored = Scored(
            decision,
            detector.scores_of(decision),
            np.minimum(np.abs(decision) / detector.usual.typical, 1.0),
            seconds,
        )
        self._count(
            requests=1,
            scored=len(decision),
            anomalies=int(np.count_nonzero(scored.anomalous)),
            seconds=seconds,
            each=seconds / len(decision),
        )
        return scored

    @contextmanager
    def _place(self, seconds: float) -> Iterator[None]:
        if not self._room.acquire(timeout=seconds):
            self._count(refused=1)
            raise ScoringBusyError("as many requests are scored as may be at the same time (scoring.concurrent)")
        try:
            yield
        finally:
            self._room.release()

    def _count(
        self,
        *,
        requests: int = 0,
        scored: int = 0,
        anomalies: int = 0,
        timeouts: int = 0,
        refused: int = 0,
        seconds: float = 0.0,
        each: float | None = None,
    ) -> None:
        with self._lock:
            before = self._figures
            self._figures = Figures(
                before.requests + requests,
                before.scored + scored,
                before.anomalies + anomalies,
                before.timeouts + timeouts,
                before.refused + refused,
                before.seconds + seconds,
                before.slowest if each is None else max(before.slowest, each),
                before.fastest if each is None else min(before.fastest, each),
            )
