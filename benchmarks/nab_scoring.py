"""How the Numenta Anomaly Benchmark judges detections: Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection
Algorithms" (2015), arXiv:1510.03336, with the refinements of the benchmark's version 1.1.

- The first 15 % of a series, at most 750 rows, are probation: nothing there counts.
- Within a labelled window of W rows the earliest detection counts and no other: row i before the window's last row r
  gains sigma(-(r - i + 1) / W) / sigma(-1), which is 1 for the first row, where sigma(y) = 2 / (1 + exp(5 y)) - 1.
- A window without a detection costs the weight of a false negative.
- Every detection outside costs: sigma((i - r) / (W - 1)) of the last window before it, so little just behind a window;
  the full weight of a false positive three widths behind it, or where no window has been.
- A row is a detection from the threshold on, so equal scores are detected together. One threshold for the whole corpus.
- The sum over all series is put on a scale on which detecting nothing is 0 and the first row of every window,
  and nothing else, is 100.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.nab_corpus import Series, Weights

Scalar = TypeVar("Scalar", bound=np.generic)

PROBATION = 0.15
PROBATION_ROWS = 5_000
"""A longer series has the probation of one that is so long."""
FAR = 3.0
"""Window widths behind a window from which a false positive costs its full weight."""
STEEPNESS = 5.0
NOTHING = np.inf
"""The threshold at which nothing is detected."""


def probation(rows: int) -> int:
    """How many rows at the beginning of a series do not count."""
    return int(min(PROBATION * rows, PROBATION * PROBATION_ROWS))


def sigma(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """2 / (1 + exp(5 y)) - 1: from 1 through 0 to -1."""
    scaled: NDArray[np.float64] = -np.tanh(0.5 * STEEPNESS * position)
    return scaled


class Worth(NamedTuple):
    """What detecting each of M rows is worth; rows of several series one after the other, without probation."""

    window: NDArray[np.intp]
    """(M,) number of the window the row lies in, counted over all series; -1 outside."""
    gain: NDArray[np.float64]
    """(M,) 0 to 1 within a window, -1 to 0 outside, before weights."""
    windows: int

    def score(self, detected: NDArray[np.bool_], weights: Weights) -> float:
        """What the `detected` (M,) rows come to."""
        inside = self.window >= 0
        best = np.zeros(self.windows)
        hits = inside & detected
        np.maximum.at(best, self.window[hits], self.gain[hits])
        found = np.zeros(self.windows, np.bool_)
        found[self.window[hits]] = True
        missed = self.windows - int(found.sum())
        false = float(self.gain[detected & ~inside].sum())
        return (
            weights.true_positive * float(best[found].sum())
            - weights.false_negative * missed
            + weights.false_positive * false
        )

    def found(self, detected: NDArray[np.bool_]) -> int:
        """How many windows hold one of the `detected` (M,) rows."""
        return len(np.unique(self.window[detected & (self.window >= 0)]))

    def false(self, detected: NDArray[np.bool_]) -> int:
        """How many of the `detected` (M,) rows lie outside all windows."""
        return int((detected & (self.window < 0)).sum())

    def sweep(self, scores: NDArray[np.float64], weights: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(thresholds, what detecting from each on comes to): NOTHING, then every score (M,) there is, falling."""
        order = np.argsort(-scores, kind="stable")
        window, gain = self.window[order], self.gain[order]
        change = np.where(window < 0, weights.false_positive * gain, 0.0)
        inside = np.flatnonzero(window >= 0)
        inside = inside[np.argsort(window[inside], kind="stable")]  # by window, and within it by falling score
        for rows in np.split(inside, np.flatnonzero(np.diff(window[inside])) + 1):
            if len(rows):
                best = np.maximum.accumulate(gain[rows])
                change[rows] = weights.true_positive * np.diff(best, prepend=0.0)
                change[rows[0]] += weights.false_negative
        falling = scores[order]
        last = np.flatnonzero(np.diff(falling, append=-np.inf))  # of each group of equal scores
        nothing = -weights.false_negative * self.windows
        sums = nothing + np.cumsum(change)[last]
        return np.concatenate([[NOTHING], falling[last]]), np.concatenate([[nothing], sums])

    def best(self, scores: NDArray[np.float64], weights: Weights) -> tuple[float, float]:
        """(threshold, sum) of the best threshold for the scores (M,); of equally good ones the highest."""
        thresholds, sums = self.sweep(scores, weights)
        place = int(sums.argmax())
        return float(thresholds[place]), float(sums[place])

    def normalised(self, total: float, weights: Weights) -> float:
        """A sum on the scale from 0, nothing detected, to 100, everything at once and no false alarm.

        Raises:
            ValueError: there is no window, so no scale.
        """
        if self.windows == 0:
            raise ValueError("no labelled window after probation in these series: nothing to score against")
        nothing, perfect = -weights.false_negative * self.windows, weights.true_positive * self.windows
        return 100.0 * (total - nothing) / (perfect - nothing)


def worth(series: Sequence[Series]) -> Worth:
    """What detecting each counted row of some series is worth."""
    numbers, gains, windows = [], [], 0
    for each in series:
        number, gain = _worth(each)
        counted = slice(probation(len(number)), None)
        # a window that ends within probation cannot be found, and is not missed
        present = np.unique(number[counted][number[counted] >= 0])
        renumbered = np.full(len(number[counted]), -1, np.intp)
        inside = number[counted] >= 0
        renumbered[inside] = windows + np.searchsorted(present, number[counted][inside])
        numbers.append(renumbered)
        gains.append(gain[counted])
        windows += len(present)
    return Worth(np.concatenate(numbers), np.concatenate(gains), windows)


def counted(rows: Sequence[NDArray[Scalar]]) -> NDArray[Scalar]:
    """The rows of several series one after the other, without probation: as `worth` has them."""
    return np.concatenate([each[probation(len(each)) :] for each in rows])


def _worth(series: Series) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(number of the window of each row, -1 outside; gain of each row)."""
    rows = len(series.time)
    number, gain = np.full(rows, -1, np.intp), np.full(rows, -1.0)
    following = [*(first for first, _ in series.windows), rows][1:]
    for i, ((first, last), until) in enumerate(zip(series.windows, following, strict=True)):
        width = last - first + 1
        inside = np.arange(first, last + 1)
        number[inside] = i
        gain[inside] = sigma(-(last - inside + 1) / width) / sigma(np.array(-1.0))
        behind = np.arange(last + 1, until)
        distance = (behind - last) / max(width - 1, 1)
        gain[behind] = np.where(distance >= FAR, -1.0, sigma(distance))
    return number, gain
