"""forecast: a reading is suspicious when it leaves the band around what season, trend and level let expect.

The hub learns the season of day and week and how each channel moves with statsmodels; here they are arrays. Each device
keeps a level, a slope, a size of the season and a scatter of its own, which follow its readings: a new device takes the
profile's shape, its own level from its first reading, and its own size and scatter as its readings come. The time of
day and week is that of the readings, in UTC; daylight saving time is not followed.

The score is 1 at the boundary that training has set, and grows with the deviation; see `forecast_views` for what is
looked at. A channel that is not reported is neither scored nor learnt; after a gap the band is as wide as what may have
happened in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.calibration import Prior
from vedette_models.columns import Column, Columnar, Columns
from vedette_models.detectors import forecast_filter as filtered
from vedette_models.detectors import forecast_views as views
from vedette_models.detectors.base import StateError
from vedette_models.detectors.forecast_filter import Dynamics
from vedette_models.detectors.forecast_scores import ForecastScores
from vedette_models.detectors.forecast_season import DAY, MAX_DAILY, MAX_WEEKLY, Season, Tables
from vedette_models.detectors.learnt import Learnt, check_names
from vedette_models.rejection import ArtifactRejected, Rejection
from vedette_models.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

CHUNK = 512
"""Series worked on at a time, which bounds the memory that is needed."""
SCALE_DAYS = 3.0
"""Days over which a device's own scatter is learnt."""
_SCALE_PRIOR = 30.0
"""Readings that the profile's scatter counts for in that."""
_SCALE = (0.1, 100.0)
_HUBER = 1.0 / 0.9901
"""1 / the mean square of a normal variable that counts as MOST_MOVING at most."""
_LAST, _VARIANCE = range(views.ROWS, views.ROWS + 2)
_LAYOUT = {"readings": Column(dtype=np.int64), "series": Column((views.ROWS + 2,), series_last=True)}
_ARRAYS = ("daily", "weekly", "spread", *Dynamics._fields, "limits")
_RANGES: Mapping[str, tuple[float, float]] = {
    "passing": (0.0, 1e6),
    "passing_days": (1e-4, 100.0),
    "wander": (1e-9, 1e6),
    "slope": (1e-9, 1e6),
    "swing": (1e-6, 1e2),
    "limits": (0.5, 1e3),
    "spread": (0.05, 20.0),
}
_UNIT = (1e-90, 1e90)
_LARGEST_SEASON = 1e6
"""Of the season, in units of the noise."""


class Forecasts(NamedTuple):
    """What is expected of one device at T times, for C channels; NaN where a channel has no history."""

    expected: NDArray[np.float64]
    """(T, C)"""
    low: NDArray[np.float64]
    """(T, C) the band's lower edge."""
    high: NDArray[np.float64]
    """(T, C)"""


class Forecast(Columnar):
    """Scores and forecasts channels with what training has learnt; about 300 bytes of state per device and channel.

    A channel whose unit is 0 could not be learnt, and is not judged.
    """

    name: str = "forecast"
    default_threshold: float = 1.0
    prior = Prior(per_week=0.5, exponent=4.0)

    def __init__(
        self, tables: Tables, dynamics: Dynamics, limits: NDArray[np.float64], interval: float, devices: int = 0
    ) -> None:
        """`limits` (C, VIEWS): deviations at the boundary; `interval`: usual seconds between readings."""
        self._tables, self._learnt_dynamics, self.limits, self.interval = tables, dynamics, limits, interval
        self.judged: NDArray[np.bool_] = dynamics.unit > 0.0
        unit = np.where(self.judged, dynamics.unit, 1.0)
        self._dynamics = dynamics._replace(unit=unit)
        self._season = Season(tables, unit)
        super().__init__(Columns(_LAYOUT, len(unit), devices))

    @classmethod
    def build(cls, channels: int, learnt: Learnt) -> Forecast:
        """The detector that `learnt` describes.

        Raises:
            ArtifactRejected: OTHER_FEATURES, OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or
                BROKEN_STRUCTURE: it describes none.
        """
        if learnt.width or learnt.features:
            raise ArtifactRejected(Rejection.OTHER_FEATURES, "a forecast has no windows")
        check_names("parameters", ("interval",), learnt.parameters)
        check_names("arrays", _ARRAYS, learnt.arrays)
        interval = float(learnt.parameters["interval"])
        if not 1e-3 <= interval <= 7 * DAY:
            raise ArtifactRejected(Rejection.WRONG_FIELD, f'"interval" is {interval:g} seconds')
        arrays = learnt.arrays
        daily = _table("daily", arrays, channels, MAX_DAILY)
        weekly = _table("weekly", arrays, channels, MAX_WEEKLY)
        spread = _table("spread", arrays, channels, MAX_DAILY)
        knots = daily.shape[1]
        if knots * 7 % weekly.shape[1] or knots % spread.shape[1]:
            raise ArtifactRejected(
                Rejection.BROKEN_STRUCTURE,
                f"knots of day, week and spread do not fit: {knots}, {weekly.shape[1]}, {spread.shape[1]}",
            )
        limits = _table("limits", arrays, channels, views.VIEWS)
        if limits.shape[1] != views.VIEWS:
            raise ArtifactRejected(Rejection.SHAPES_DISAGREE, f'"limits" is {limits.shape}, {views.VIEWS} views')
        columns = {name: _column(name, arrays, channels) for name in Dynamics._fields}
        for name, (low, high) in _RANGES.items():
            found = {"limits": limits, "spread": spread}.get(name, columns.get(name))
            if found is None or not ((found >= low) & (found <= high)).all():
                raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, f'"{name}" must lie between {low:g} and {high:g}')
        unit = columns["unit"]
        judged = unit > 0.0
        if not judged.any() or not ((unit == 0.0) | ((unit >= _UNIT[0]) & (unit <= _UNIT[1]))).all():
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, '"unit" must be above 0, for one channel at least')
        for name, table in (("daily", daily), ("weekly", weekly)):
            if (np.abs(table) > _LARGEST_SEASON * np.where(judged, unit, 1.0)[:, None]).any():
                raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, f'"{name}" is out of all proportion to the noise')
        return cls(Tables(daily, weekly, spread), Dynamics(**columns), limits, interval)

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        arrays: dict[str, NDArray[Any]] = {**self._tables._asdict(), **self._learnt_dynamics._asdict()}
        return Learnt(0, (), {"interval": self.interval}, {**arrays, "limits": self.limits})

    def _check(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        count, saved = np.asarray(state["readings"], np.int64), np.asarray(state["series"], np.float64)
        if (count < 0).any() or not np.isfinite(saved).all():
            raise StateError("saved arrays count fewer than no readings, or hold what is no number")
        variances = saved[..., [*filtered.VARIANCES, _VARIANCE]]
        if (variances < 0.0).any() or (saved[..., _VARIANCE][count > 0] < 0.99 * _SCALE[0] ** 2).any():
            raise StateError('saved array "series" holds a variance that no reading leads to')

    def score(self, batch: ReadingBatch) -> ForecastScores:
        """Score each reading against what was expected, then learn it. NaN marks a channel that was not reported.

        A reading older than the one before it is judged by its own time of day, and taken as coming right after that.

        Raises:
            ValueError: columns that do not fit together or another number of channels, an infinite value, a time that
                is not finite, or a device row there is no room for. Nothing is learnt then.
        """
        values, complete = self._columns.checked(batch)
        found = ForecastScores(values.shape)
        flat = values.reshape(-1)
        across = np.arange(self.channels)
        series = (batch.device[:, None] * self.channels + across).reshape(-1)
        if complete and self.judged.all():
            parts = [(part[:, None] * self.channels + across).reshape(-1) for part in rounds(batch.device)]
        else:
            present = np.flatnonzero((values == values) & self.judged)
            parts = [present[part] for part in rounds(series[present])]
        for part in parts:
            for first in range(0, len(part), CHUNK):
                cells = part[first : first + CHUNK]
                time = batch.time[cells // self.channels] if self.channels > 1 else batch.time[cells]
                self._round(cells, series[cells], flat[cells], time, found)
        return found

    def _round(
        self,
        cells: NDArray[np.intp],
        series: NDArray[np.intp],
        x: NDArray[np.float64],
        time: NDArray[np.float64],
        found: ForecastScores,
    ) -> None:
        """Score one reading of each of R different series and learn it."""
        table, counts = self._arrays["series"], self._arrays["readings"]
        count = counts[series]
        channel = series % self.channels if self.channels > 1 else np.zeros(len(series), np.intp)
        dynamics = self._dynamics.of(channel)
        season, spread = self._season.at(channel, time)
        noise = spread * spread
        new = count == 0
        if new.any():
            fresh, known = np.flatnonzero(new), np.flatnonzero(~new)
            self._begin(series[fresh], channel[fresh], x[fresh], time[fresh])
            if len(known):
                self._round(cells[known], series[known], x[known], time[known], found)
            return
        state = table[:, series]
        days = self._pass_time(state, time)
        filtered.predict(state, days, dynamics)
        gains = filtered.gains(state, season, noise)
        scale = np.sqrt(state[_VARIANCE])
        moment = views.Moment(dynamics, season, noise, days, scale, self._season.swing[channel])
        seen = views.look(state, moment, gains, x)
        limits = self.limits.T[:, channel]
        found.take(cells, x, seen, limits)
        surprise = np.clip(seen.z[views.VALUE], -filtered.MOST_MOVING, filtered.MOST_MOVING)
        filtered.update(state, gains, surprise * scale * np.sqrt(gains.variance), dynamics.unit)
        self._learn_scale(state, surprise, days, count)
        views.adopt(state, moment, seen.z, limits, x)
        table[:, series] = state
        counts[series] = count + 1

    def _begin(
        self,
        series: NDArray[np.intp],
        channel: NDArray[np.intp],
        x: NDArray[np.float64],
        time: NDArray[np.float64],
    ) -> None:
        state = np.zeros((views.ROWS + 2, len(series)))
        season, spread = self._season.at(channel, time)
        filtered.begin(state, self._dynamics.of(channel), x, season, spread * spread)
        state[_LAST], state[_VARIANCE] = time, 1.0
        state[views.USUAL : views.USUAL + len(views.HOURS)] = x
        self._arrays["series"][:, series] = state
        self._arrays["readings"][series] = 1

    @staticmethod
    def _pass_time(state: NDArray[np.float64], time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Days since the readings before, at least 0; a clock that went back by more than a day counts from there."""
        last = state[_LAST]
        days: NDArray[np.float64] = time - last
        back = (days < 0.0) & (days >= -DAY)
        np.copyto(last, time, where=~back)
        days /= DAY
        np.clip(days, 0.0, filtered.LONGEST_GAP, out=days)
        return days

    @staticmethod
    def _learn_scale(
        state: NDArray[np.float64], surprise: NDArray[np.float64], days: NDArray[np.float64], count: NDArray[np.int64]
    ) -> None:
        variance = state[_VARIANCE]
        gain = np.maximum(1.0 / (count + _SCALE_PRIOR), -np.expm1(days * (-1.0 / SCALE_DAYS)))
        # After a long gap one reading must not count as much as days of them.
        np.minimum(gain, 1.0 / _SCALE_PRIOR, out=gain)
        gain *= surprise * surprise * _HUBER - 1.0
        gain += 1.0
        variance *= gain
        np.clip(variance, _SCALE[0] ** 2, _SCALE[1] ** 2, out=variance)

    def forecast(self, row: int, times: NDArray[np.float64]) -> Forecasts:
        """What is expected of a device at `times` (T,), and the band; nothing is learnt.

        Times before its newest reading are answered as if nothing had happened since.

        Raises:
            ValueError: no such row, or a time that is not finite.
        """
        times = np.asarray(times, np.float64).reshape(-1)
        if not 0 <= row < self.devices or not np.isfinite(times).all():
            raise ValueError(f"device row {row} of {self.devices}, or a time that is not finite")
        counts, known = self._of_device(row)
        expected = np.full((len(times), self.channels), np.nan)
        half = expected.copy()
        for channel in np.flatnonzero((counts > 0) & self.judged):
            state = known[:, channel : channel + 1].repeat(len(times), axis=1)
            of = np.full(len(times), channel)
            dynamics = self._dynamics.of(of)
            season, spread = self._season.at(of, times)
            filtered.predict(state, np.clip((times - state[_LAST]) / DAY, 0.0, filtered.LONGEST_GAP), dynamics)
            gains = filtered.gains(state, season, spread * spread)
            size = (1.0 + state[filtered.SWING]) * season * dynamics.unit
            expected[:, channel] = state[filtered.LEVEL] + state[filtered.PASSING] + size
            deviation = np.sqrt(state[_VARIANCE] * gains.variance) * dynamics.unit
            half[:, channel] = self.limits[channel, views.VALUE] * deviation
        return Forecasts(expected, expected - half, expected + half)

    def last_times(self, row: int) -> NDArray[np.float64]:
        """(C,) time of each channel's newest reading of a device; NaN for one without."""
        counts, known = self._of_device(row)
        times: NDArray[np.float64] = np.where((counts > 0) & self.judged, known[_LAST], np.nan)
        return times

    @staticmethod
    def filter_state(state: Mapping[str, NDArray[np.generic]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """((4,) level, slope, passing deviation, size of the season less 1; (4, 4) their covariance) in a `state`.

        Of its first channel of its first device; covariances in units of the noise.
        """
        series = np.asarray(state["series"][0, 0], np.float64)
        covariance = np.empty((4, 4))
        covariance[np.triu_indices(4)] = series[filtered.P_LL : filtered.ROWS]
        covariance.T[np.triu_indices(4)] = series[filtered.P_LL : filtered.ROWS]
        return series[: filtered.P_LL], covariance

    @staticmethod
    def scatter(state: Mapping[str, NDArray[np.generic]]) -> float:
        """The device's own variance of the noise in a `state`, of its first channel of its first device."""
        return float(np.asarray(state["series"], np.float64)[0, 0, _VARIANCE])

    def _of_device(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        series = slice(row * self.channels, (row + 1) * self.channels)
        return self._arrays["readings"][series], self._arrays["series"][:, series]


def _column(name: str, arrays: Mapping[str, NDArray[Any]], channels: int) -> NDArray[np.float64]:
    array = arrays[name]
    if array.dtype != np.float64:
        raise ArtifactRejected(Rejection.OTHER_ARRAYS, f'"{name}" holds {array.dtype}, not float64')
    if array.shape != (channels,):
        raise ArtifactRejected(Rejection.SHAPES_DISAGREE, f'"{name}" is {array.shape}, wanted is ({channels},)')
    if not np.isfinite(array).all():
        raise ArtifactRejected(Rejection.NOT_FINITE, f'"{name}" holds NaN or infinity')
    return array


def _table(name: str, arrays: Mapping[str, NDArray[Any]], channels: int, most: int) -> NDArray[np.float64]:
    array = arrays[name]
    if array.dtype not in (np.float32, np.float64):
        raise ArtifactRejected(Rejection.OTHER_ARRAYS, f'"{name}" holds {array.dtype}')
    if array.ndim != 2 or len(array) != channels or not 1 <= array.shape[1] <= most:
        raise ArtifactRejected(
            Rejection.SHAPES_DISAGREE, f'"{name}" is {array.shape}, wanted are {channels} rows of at most {most}'
        )
    if not np.isfinite(array).all():
        raise ArtifactRejected(Rejection.NOT_FINITE, f'"{name}" holds NaN or infinity')
    return array.astype(np.float64)
