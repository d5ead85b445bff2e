"""Drift: how far the data of a version lies from that of the version before it. Pure.

What a version was trained with is remembered as quantiles of each channel, which is enough to compare with, and small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["none", "some", "strong"]
LEVELS: tuple[Level, ...] = ("none", "some", "strong")

QUANTILES = 21
"""Of each channel, evenly spread from the smallest to the largest value."""
FEWEST = 100
"""Values on either side that a comparison needs."""
PSI_LIMITS = (0.1, 0.25)
"""Population stability index from which there is some drift, and strong drift (Siddiqi: Credit Risk Scorecards, 2006).
"""
MISSING_LIMITS = (0.1, 0.25)
"""The same for the share of readings that do not report the channel, in either direction."""
FLIP_LIMITS = (0.01, 0.05)
"""The same for the share of readings on which two versions disagree."""
_LEAST_SHARE = 1e-4
"""What a bin counts as at least, so that the index stays finite."""
_DIGITS = 9


def summary(values: NDArray[np.float64], channels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By channel, what is remembered of readings (R, C): quantiles, how many report it, and the share that do not."""
    found = {}
    for i, channel in enumerate(channels):
        known = values[~np.isnan(values[:, i]), i]
        levels = np.quantile(known, np.linspace(0.0, 1.0, QUANTILES)) if len(known) else np.empty(0)
        missing = 1.0 - len(known) / len(values) if len(values) else 1.0
        found[channel] = {
            "readings": len(known),
            "missing": round(missing, 6),
            "quantiles": [float(f"{level:.{_DIGITS}g}") for level in levels.tolist()],
        }
    return found


def of_channels(
    before: Mapping[str, Mapping[str, Any]], values: NDArray[np.float64], channels: Sequence[str]
) -> list[dict[str, Any]]:
    """How far readings (R, C) lie from what `summary` remembered, by channel, the furthest first.

    `psi` is the population stability index over the tenths of the data before, with a bin below and one above them;
    `ks` is the largest distance of the two distribution functions at the quantiles; None where too few values are
    known.
    """
    found = [_of_channel(channel, before.get(channel, {}), values[:, i]) for i, channel in enumerate(channels)]
    return sorted(found, key=lambda one: (-LEVELS.index(one["level"]), -(one["psi"] or 0.0), one["channel"]))


def level(figure: float | None, limits: tuple[float, float]) -> Level:
    """What a figure means.

    >>> level(0.2, PSI_LIMITS)
    'some'
    """
    if figure is None or figure < limits[0]:
        return "none"
    return "some" if figure < limits[1] else "strong"


def worst(levels: Sequence[Level]) -> Level:
    """The strongest of some levels."""
    return max(levels, key=LEVELS.index, default="none")


def _of_channel(channel: str, before: Mapping[str, Any], values: NDArray[np.float64]) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    missing = 1.0 - len(known) / len(values) if len(values) else 1.0
    missing_before = float(before.get("missing", 1.0))
    quantiles = np.array(before.get("quantiles", ()), np.float64)
    psi = ks = None
    if len(quantiles) > 1 and before.get("readings", 0) >= FEWEST and len(known) >= FEWEST:
        psi, ks = _distances(quantiles, known)
    return {
        "channel": channel,
        "psi": psi,
        "ks": ks,
        "missing_before": missing_before,
        "missing": round(missing, 6),
        "median_before": float(quantiles[len(quantiles) // 2]) if len(quantiles) else None,
        "median": float(np.median(known)) if len(known) else None,
        "level": worst([level(psi, PSI_LIMITS), level(abs(missing - missing_before), MISSING_LIMITS)]),
    }


def _distances(quantiles: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """(population stability index, Kolmogorov-Smirnov distance) of values (V,) to quantiles (Q,), in order."""
    ordered = np.sort(values)
    edges = np.unique(quantiles)
    expected = (np.searchsorted(quantiles, edges, "right") - 1) / (len(quantiles) - 1)
    actual = np.searchsorted(ordered, edges, "right") / len(ordered)
    below = np.searchsorted(ordered, edges[0], "left") / len(ordered)
    ks = max(float(np.abs(actual - expected).max()), float(below))
    tenths = np.unique(quantiles[:: (len(quantiles) - 1) // 10])
    chosen = np.isin(edges, tenths)
    wanted = _shares(0.0, expected[chosen])
    found = _shares(below, actual[chosen])
    psi = float(((found - wanted) * np.log(found / wanted)).sum())
    return round(psi, 4), round(ks, 4)


def _shares(below: float, cumulated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a bin below the first edge, those up to each edge, and one above the last."""
    shares = np.diff(np.concatenate([[0.0, below], cumulated, [1.0]]))
    return np.maximum(shares, _LEAST_SHARE)
