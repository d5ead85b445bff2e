"""Evaluation: how scores of a model lie, and how well they tell what is known to be anomalous. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


def quantiles(scores: NDArray[np.float64]) -> dict[str, float]:
    """Quantiles of scores (N,) by name; none without scores."""
    if not len(scores):
        return {}
    return {
        f"{q:g}": round(float(value), 6) for q, value in zip(QUANTILES, np.quantile(scores, QUANTILES), strict=True)
    }


def detection(anomalous: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> dict[str, float]:
    """Precision, recall and F1 of flags (N,) on what is known to be anomalous (N,); 0 where nothing is to divide by.

    >>> detection(np.array([True, True, False]), np.array([True, False, False]))
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6667}
    """
    hits = int((anomalous & flagged).sum())
    precision = hits / max(1, int(flagged.sum()))
    recall = hits / max(1, int(anomalous.sum()))
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}
