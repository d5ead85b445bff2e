"""The forecast's model in statsmodels: the same state space, fitted by maximum likelihood, filtered for the proof."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.tsa.statespace.mlemodel import MLEModel

from vedette_models.detectors.forecast_filter import LONGEST_GAP, SLOPE_DAYS, SWING_DAYS

STATES = 4
"""Level, slope, passing deviation, size of the season less 1."""
_DIFFUSE = 1e4
"""Variance of a level of which nothing is known, in units of the series' variance."""
ITERATIONS = 60


class Moves(NamedTuple):
    """Parameters of one channel; variances in units of the noise."""

    unit: float
    passing: float
    passing_days: float
    wander: float
    slope: float


_BOUNDS = Moves((1e-4, 1e2), (1e-4, 1e4), (1e-3, 3.0), (1e-6, 1e2), (1e-6, 1e1))  # type: ignore[arg-type]  # a range each
_START = Moves(0.5, 1.0, 0.1, 0.01, 0.01)


class Block(NamedTuple):
    """Readings of one device that are followed without a break."""

    time: NDArray[np.float64]
    values: NDArray[np.float64]
    """NaN: not reported."""
    season: NDArray[np.float64]
    """At these times, in the unit of the values."""


class ForecastModel(MLEModel):  # type: ignore[misc]  # statsmodels has no types
    """Level + slope + passing deviation + size of the season, at the times at which readings came.

    Several blocks stand one after the other; at the first reading of each, nothing is known of the level.
    """

    def __init__(self, blocks: list[Block], swing: float) -> None:
        values = np.concatenate([block.values for block in blocks])
        super().__init__(values, k_states=STATES, k_posdef=STATES)
        self._season = np.concatenate([block.season for block in blocks])
        times = np.concatenate([block.time for block in blocks])
        self._days = np.clip(np.diff(times, append=times[-1]) / 86_400.0, 0.0, LONGEST_GAP)
        self._ends = np.cumsum([len(block.time) for block in blocks]) - 1
        self._swing = swing
        self["design"] = np.array([np.ones_like(values), 0 * values, np.ones_like(values), self._season])[None]
        self["obs_intercept"] = self._season[None]
        self["selection"] = np.eye(STATES)

    @property
    def param_names(self) -> list[str]:
        """As in `Moves`."""
        return list(Moves._fields)

    @property
    def start_params(self) -> NDArray[np.float64]:
        """Half of the deviation is noise, the other half passes."""
        return np.array(_START)

    def transform_params(self, unconstrained: NDArray[np.float64]) -> NDArray[np.float64]:
        """Any numbers → parameters within bounds, evenly on a logarithmic scale."""
        low, high = np.log(np.array(_BOUNDS)).T
        found: NDArray[np.float64] = np.exp(low + (high - low) / (1.0 + np.exp(-unconstrained)))
        return found

    def untransform_params(self, constrained: NDArray[np.float64]) -> NDArray[np.float64]:
        """The other way round."""
        low, high = np.log(np.array(_BOUNDS)).T
        share = np.clip((np.log(constrained) - low) / (high - low), 1e-6, 1.0 - 1e-6)
        found: NDArray[np.float64] = np.log(share / (1.0 - share))
        return found

    def update(self, params: Any, **kwargs: Any) -> None:
        """Fill the matrices for these parameters."""
        moves = Moves(*super().update(params, **kwargs))
        variance = moves.unit**2
        transition, covariance = matrices(self._days, moves, self._swing)
        covariance[:3, :3] *= variance
        start = np.diag([_DIFFUSE, moves.slope * variance, moves.passing * variance, self._swing])
        transition[:, :, self._ends] = 0.0
        covariance[:, :, self._ends] = start[:, :, None]
        self["transition"], self["state_cov"] = transition, covariance
        self["obs_cov"] = np.array([[variance]])
        self.ssm.initialize_known(np.zeros(STATES), start)


def matrices(days: NDArray[np.float64], moves: Moves, swing: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(4, 4, R) transitions over `days` (R,), and their covariances in units of the noise."""
    x = days / SLOPE_DAYS
    lost = -np.expm1(-x)
    transition, covariance = np.zeros((2, STATES, STATES, len(days)))
    transition[0, 0] = 1.0
    transition[0, 1] = SLOPE_DAYS * lost
    transition[1, 1] = np.exp(-x)
    transition[2, 2] = np.exp(-days / moves.passing_days)
    transition[3, 3] = np.exp(-days / SWING_DAYS)
    covariance[0, 0] = moves.wander * days + moves.slope * SLOPE_DAYS**2 * (2.0 * (x - lost) - lost**2)
    covariance[0, 1] = covariance[1, 0] = moves.slope * SLOPE_DAYS * lost**2
    covariance[1, 1] = moves.slope * -np.expm1(-2.0 * x)
    covariance[2, 2] = moves.passing * -np.expm1(-2.0 * days / moves.passing_days)
    covariance[3, 3] = swing * -np.expm1(-2.0 * days / SWING_DAYS)
    return transition, covariance


class Fitted(NamedTuple):
    """What the likelihood says."""

    moves: Moves
    standardised: NDArray[np.float64]
    """(R,) one-step errors in their own standard deviations; NaN where nothing was reported."""


def fit(blocks: list[Block], swing: float) -> Fitted:
    """The parameters under which these readings are most likely.

    Values are divided by their own deviation first, so that the bounds suit any unit.
    """
    values = np.concatenate([block.values - block.season for block in blocks])
    size = float(np.nanstd(values)) or 1.0
    scaled = [Block(one.time, one.values / size, one.season / size) for one in blocks]
    centred = [one._replace(values=one.values - np.nanmedian(one.values - one.season)) for one in scaled]
    model = ForecastModel(centred, swing)
    result = model.fit(disp=False, maxiter=ITERATIONS, cov_type="none", warn_convergence=False)
    moves = Moves(*(float(one) for one in result.params))
    return Fitted(moves._replace(unit=moves.unit * size), np.asarray(result.standardized_forecasts_error)[0])


def filtered(
    block: Block, first: tuple[NDArray[np.float64], NDArray[np.float64]], moves: Moves, swing: float,
    noise: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """((R,) expected values, (R,) their standard deviations) by statsmodels' filter, one step ahead.

    Everything in units of the noise; `first` is the predicted state and its covariance at the first reading, `noise`
    (R,) the variance of the noise.
    """
    model = ForecastModel([block], swing)
    model.update(np.array(moves._replace(unit=1.0)))
    transition, covariance = matrices(model._days, moves, swing)
    model["transition"], model["state_cov"] = transition, covariance
    model["obs_cov"] = noise[None, None, :]
    model.ssm.initialize_known(*first)
    found = model.ssm.filter()
    return found.forecasts[0], np.sqrt(found.forecasts_error_cov[0, 0])
