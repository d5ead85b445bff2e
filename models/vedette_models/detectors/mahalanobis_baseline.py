"""The baseline of `mahalanobis`: what is usual for a device's channels together, made of its moments, and T² from it.

Shapes: C channels, R devices.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.detectors.mahalanobis_progress import weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.mahalanobis_moments import Moments

CORRELATION_LENGTH = 5.0
"""Smoothed readings that say as much as one independent one: (1 + 2/3) / (1 - 2/3) at a smoothing of 1/3."""
MOST_DRIFT = 1.0
"""Of a channel that is judged, where much is known; where little is, less."""
SELDOM = 0.25
"""Share of the readings that a channel must report to be judged together with the others."""
CONSTANT, SMALLEST = 1e-9, 1e-140
"""A channel is constant whose standard deviation is this share of its mean or less: what rounding leaves; or this."""
LEAST_SHRINKAGE = 0.01
"""Of the correlations, at least: so that channels which always moved together may differ by a little one day."""
FARTHEST = 1e6
"""Standard deviations beyond which everything is equally far."""


class LeftOut(IntEnum):
    """Why a channel is not judged."""

    JUDGED = 0
    NEVER_REPORTED = 1
    SELDOM_REPORTED = 2
    CONSTANT = 3
    DRIFTING = 4
    BY_HUB = 5
    """The hub saw it drift on most devices."""
    STEPS = 6
    """It is constant but for a few steps."""


WORDS = {
    LeftOut.NEVER_REPORTED: "never reported",
    LeftOut.SELDOM_REPORTED: f"reported in fewer than {SELDOM:.0%} of the readings",
    LeftOut.CONSTANT: "constant",
    LeftOut.DRIFTING: "drifting: it moved more than it scatters",
    LeftOut.BY_HUB: "left out by the hub's model",
    LeftOut.STEPS: "constant but for a few steps",
}


class Baseline(NamedTuple):
    """What is usual for R devices."""

    location: NDArray[np.float64]
    """(R, C) of smoothed readings."""
    inverse_scale: NDArray[np.float64]
    """(R, C) 1 / standard deviation of smoothed readings; 0 for a channel that is left out."""
    precision: NDArray[np.float64]
    """(R, C, C) inverse of their shrunk correlations; left-out channels stand beside them with 1 on the diagonal."""
    left_out: NDArray[np.uint8]
    """(R, C) LeftOut."""

    @property
    def used(self) -> NDArray[np.bool_]:
        """(R, C) the channels that are judged."""
        return self.inverse_scale > 0.0

    def at(self, rows: NDArray[np.intp]) -> Baseline:
        """Copies of those at `rows`."""
        return Baseline(self.location[rows], self.inverse_scale[rows], self.precision[rows], self.left_out[rows])

    def put(self, rows: NDArray[np.intp], other: Baseline) -> None:
        """Write `other` into `rows`, one by one, or the same into all."""
        self.location[rows], self.inverse_scale[rows] = other.location, other.inverse_scale
        self.precision[rows], self.left_out[rows] = other.precision, other.left_out


def shrunk(
    correlation: NDArray[np.float64], used: NDArray[np.bool_], samples: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(R, C, C) correlations, drawn towards none as far as so many independent `samples` (R,) leave them uncertain.

    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004: the weight of the
    identity is the expected squared error of the correlations over their squared distance from it. That error is
    taken for Gaussian samples (Chen, Wiesel, Eldar and Hero 2010), for which no fourth moments have to be kept.
    """
    both = used[:, :, None] & used[:, None, :]
    identity = np.eye(correlation.shape[1])
    correlation = np.where(both, correlation, identity)
    number = used.sum(axis=1).astype(np.float64)
    size = np.where(both, correlation * correlation, 0.0).sum(axis=(1, 2))
    error = (number * number + size) / np.maximum(samples, 1.0)
    distance = np.maximum(size - number, np.finfo(np.float64).tiny)
    weight = np.clip(error / distance, LEAST_SHRINKAGE, 1.0)[:, None, None]
    correlation *= 1.0 - weight
    correlation += weight * identity
    return correlation


def fit(
    moments: Moments, devices: NDArray[np.intp], readings: NDArray[np.float64], forbidden: NDArray[np.bool_]
) -> Baseline:
    """The baselines of R devices that have learnt so many `readings` (R,); `forbidden` (C,) channels are left out."""
    count, location = moments.count[devices], moments.mean[devices]
    covariance = moments.covariance[devices]
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    left_out = np.zeros(count.shape, np.uint8)
    for why, where in (
        (LeftOut.DRIFTING, moments.drift(devices) > MOST_DRIFT * weight(count)),
        (LeftOut.STEPS, moments.steps(devices)),
        (LeftOut.CONSTANT, np.sqrt(variance) <= np.maximum(CONSTANT * np.abs(location), SMALLEST)),
        (LeftOut.SELDOM_REPORTED, count < SELDOM * readings[:, None]),
        (LeftOut.NEVER_REPORTED, count == 0.0),
        (LeftOut.BY_HUB, np.broadcast_to(forbidden, count.shape)),
    ):
        left_out[where] = why
    used = left_out == LeftOut.JUDGED
    inverse_scale = np.where(used, 1.0 / np.sqrt(np.where(used, variance, 1.0)), 0.0)
    correlation = covariance * inverse_scale[:, :, None]
    correlation *= inverse_scale[:, None, :]
    samples = np.where(used, count, np.inf).min(axis=1, initial=np.inf) / CORRELATION_LENGTH
    precision = np.linalg.inv(shrunk(correlation, used, np.minimum(samples, readings)))
    return Baseline(location, inverse_scale, precision.astype(np.float64, copy=False), left_out)


class Distance(NamedTuple):
    """How far R smoothed readings are from what is usual."""

    t_squared: NDArray[np.float64]
    """(R,) per channel: 1 on average for what the baseline was made of."""
    contributions: NDArray[np.float64]
    """(R, C) by how much T² falls when a channel takes the value that the others let expect; 0 where not reported.

    Alcala and Qin, Reconstruction-based contribution for process monitoring, Automatica 2009: of a large fault in one
    channel this is largest for that channel.
    """
    expected: NDArray[np.float64]
    """(R, C) standard deviations by which each channel is away from what the others let expect."""
    filled: NDArray[np.float64]
    """(R, C) `off`, with what the others let expect where a channel was not reported."""


def distance(
    off: NDArray[np.float64], precision: NDArray[np.float64], used: NDArray[np.bool_], reported: NDArray[np.bool_]
) -> Distance:
    """The distance of `off` (R, C): smoothed readings minus location, over scale; 0 where a channel is left out.

    A channel that is used and not reported counts as what the others let expect: nothing unusual.
    """
    number = np.maximum(used.sum(axis=1), 1).astype(np.float64)
    missing = used & ~reported
    incomplete = np.flatnonzero(missing.any(axis=1))
    pulled = np.add.reduce(precision * off[:, None, :], axis=2)
    if len(incomplete):
        gaps = missing[incomplete]
        known = np.where(gaps, 0.0, off[incomplete])
        part = precision[incomplete]
        wanted = np.where(gaps, -np.add.reduce(part * known[:, None, :], axis=2), 0.0)
        system = np.where(gaps[:, :, None] & gaps[:, None, :], part, np.eye(part.shape[1]))
        filled = known + np.where(gaps, np.linalg.solve(system, wanted[:, :, None])[:, :, 0], 0.0)
        off = off.copy()
        off[incomplete] = filled
        pulled[incomplete] = np.add.reduce(part * filled[:, None, :], axis=2)
    t_squared = np.maximum(np.add.reduce(off * pulled, axis=1), 0.0)
    t_squared += missing.sum(axis=1)
    t_squared /= number
    diagonal = np.diagonal(precision, axis1=1, axis2=2)
    expected = pulled / np.sqrt(diagonal)
    contributions = np.where(used & reported, expected * expected, 0.0)
    return Distance(t_squared, contributions, expected, off)
