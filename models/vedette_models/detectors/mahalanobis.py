"""mahalanobis: a device is suspicious when its channels together are far from where they usually are together.

The distance is T² (Hotelling 1931): that of the smoothed readings from their mean, in units of their own scatter and of
how they move together, divided by the number of channels and smoothed once more. It finds what no channel shows by
itself: a pump that draws current and moves no water. It learns online and needs no hub:

- the first FIRST_FIT readings of a device make a baseline, which has to prove itself on the readings that follow; where
  T² is much larger there than at home, it is taken anew from all readings so far, and nothing is reported meanwhile;
- from then on what stays within reach goes on to be learnt, and the baseline is taken anew now and again;
- the score is T² over the largest that normal time has shown, and counts less while little has been seen;
- what lies beyond for as long as the baseline was known (within bounds), and is stable, is the new normal;
- channels that drift, are constant (but for steps) or are seldom reported are left out; `left_out` says which, why.

A channel that a reading does not report counts as what the others let expect, and comes back from there: missing data
never raises an anomaly. Between a level from before a gap and one from after it lies nothing that is farther away.
With fewer than two channels to judge it says nothing. Times do not matter, only the order of the readings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.calibration import Prior
from vedette_models.columns import Column, Columnar, Columns
from vedette_models.detectors import mahalanobis_moments, mahalanobis_progress
from vedette_models.detectors.base import StateError
from vedette_models.detectors.mahalanobis_baseline import FARTHEST, WORDS, Baseline, LeftOut, distance, fit
from vedette_models.detectors.mahalanobis_moments import Moments
from vedette_models.detectors.mahalanobis_progress import (
    NEXT_FIT,
    NOTHING,
    PEAK,
    PEAK_COUNT,
    REACH,
    READINGS,
    REGIME,
    SHORTEST_REGIME,
    T_SQUARED_SMOOTHING,
    TRUST,
    TRUSTED,
)
from vedette_models.detectors.mahalanobis_scores import EXPLAINED, Explained, MahalanobisScores
from vedette_models.detectors.mahalanobis_start import MAX_CHANNELS, Start
from vedette_models.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_models.detectors.learnt import Learnt
    from vedette_models.readings import ReadingBatch

SMOOTHING = 1 / 3
"""Share of a new reading in the smoothed one: as old, on average, as the mean of the last five."""
FORGETTING = 1 / 8
"""Share of a smoothed reading that is forgotten with each reading that does not report the channel."""
FIRST_FIT = 256
GROWTH, REFIT = 1.5, 1024
"""A baseline is taken anew when so many times the readings have been learnt, or so many more, whichever is sooner."""
FEWEST = 2
"""Channels it takes to judge them together."""


def smoothed(
    level: NDArray[np.float64], x: NDArray[np.float64], seen: NDArray[np.bool_], reported: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Smoothed readings (R, C) after readings `x`; those of channels that were never `seen` begin with the first."""
    return np.where(reported, np.where(seen, level + SMOOTHING * (x - level), x), level)


class Mahalanobis(Columnar):
    """Judges `channels` channels of `devices` devices together; about 2.6 KB of state per device of 5 channels.

    >>> from vedette_models.readings import ReadingBatch
    >>> detector = Mahalanobis(channels=2, devices=1)
    >>> load = np.sin(np.arange(1_200.0)) + 0.1 * np.sin(7.0 * np.arange(1_200.0) ** 2)
    >>> values = np.stack([load, 3.0 * load + 0.1 * np.cos(5.0 * np.arange(1_200.0) ** 2)], axis=1)
    >>> values[1_100:, 1] = values[1_100:, 1][::-1]
    >>> scores = detector.score(ReadingBatch.of([0] * 1_200, np.arange(1_200.0), values))
    >>> bool(scores.total[:1_100].max() < 1.0 < scores.total[1_100:].max())
    True

    Raises:
        ValueError: more than 64 channels.
    """

    name = "mahalanobis"
    default_threshold = 1.0
    # What this is worth was counted on the 58 series of NAB, four of a kind taken for the channels of a device: outside
    # the labelled windows 0.69 episodes a week at 1, 0.4 at 1.5, 0.1 at 3, 0.06 at 4.
    prior = Prior(per_week=0.7, exponent=1.75)

    def __init__(
        self,
        channels: int,
        devices: int = 0,
        *,
        start: Start | None = None,
        first_fit: int = FIRST_FIT,
        learns: bool = True,
    ) -> None:
        """Without `learns` it judges by its `start` and by nothing else, always: as a member of an ensemble, whose one
        boundary holds for scores that mean what they meant in training.
        """
        if channels > MAX_CHANNELS:
            raise ValueError(f"mahalanobis judges at most {MAX_CHANNELS} channels together, not {channels}")
        self.start, self._first_fit, self._learns = start, first_fit, learns
        self._forbidden = np.zeros(channels, np.bool_) if start is None else start.scale == 0.0
        layout = {
            "level": Column(),  # smoothed readings
            "seen": Column(dtype=np.bool_),
            "blame": Column(),  # smoothed contributions to T²
            "location": Column(),
            "inverse_scale": Column(),
            "precision": Column((channels,)),
            "left_out": Column(dtype=np.uint8),
            **mahalanobis_moments.layout("own", channels),
            **mahalanobis_moments.layout("regime", channels),
        }
        self._table = Columns(mahalanobis_progress.LAYOUT, 1, devices)
        super().__init__(Columns(layout, channels, devices))

    @classmethod
    def build(cls, channels: int, learnt: Learnt) -> Mahalanobis:
        """The detector that begins with what `learnt` describes.

        Raises:
            ArtifactRejected: it describes nothing of the kind.
        """
        return cls(channels, start=Start.of(learnt, channels))

    def _bind(self) -> None:
        """Point the parts to the arrays as they are now."""
        arrays, channels = self._arrays, self.channels
        by_device = {name: arrays[name].reshape(-1, channels) for name in ("level", "seen", "blame")}
        self._level, self._seen, self._blame = by_device.values()
        self._baseline = Baseline(
            arrays["location"].reshape(-1, channels),
            arrays["inverse_scale"].reshape(-1, channels),
            arrays["precision"].reshape(-1, channels, channels),
            arrays["left_out"].reshape(-1, channels),
        )
        self._own, self._regime = Moments(arrays, "own", channels), Moments(arrays, "regime", channels)
        self._progress = self._table.arrays["progress"]

    @property
    def learnt(self) -> Learnt:
        """What it was built from.

        Raises:
            ValueError: it began with nothing.
        """
        if self.start is None:
            raise ValueError("this detector began with nothing: there is no model to export")
        return self.start.learnt

    def left_out(self, row: int) -> dict[int, str] | None:
        """By channel, which are not judged on this device, and why; None while there is no baseline to say so."""
        if self._progress[row, TRUST] == NOTHING:
            return None
        reasons = self._baseline.left_out[row].tolist()
        return {channel: WORDS[LeftOut(why)] for channel, why in enumerate(reasons) if why != LeftOut.JUDGED}

    def is_trusted(self, row: int) -> bool:
        """Whether this device has a baseline that has proved itself, so that it is judged at all."""
        return bool(self._progress[row, TRUST] == TRUSTED)

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing. Copies all state: grow in large steps.

        Raises:
            ValueError: fewer rows than now.
        """
        self._table.resize(devices)
        super().resize(devices)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        self._table.forget(rows)
        super().forget(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything learnt, as copies, each (devices, …)."""
        return {**super().state(), **self._table.state()}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; rows beyond the saved ones stay as they are.

        Devices go on with their own baselines; where the hub has taught one, those that have none begin with that.

        Raises:
            StateError: arrays missing, of another shape or type, or values that no reading leads to. Nothing is taken
                over then.
        """
        mine = {name: array for name, array in state.items() if name in mahalanobis_progress.LAYOUT}
        rest = {name: array for name, array in state.items() if name not in mine}
        self._table.check(mine)
        self._columns.check(rest)
        progress = np.asarray(mine["progress"], np.float64)[:, 0]
        if len(progress) != len(rest["level"]):
            raise StateError(f"saved arrays differ in their number of devices: {len(progress)}, {len(rest['level'])}")
        numbers = np.delete(progress, PEAK, axis=1)
        if not np.isfinite(numbers).all() or (numbers < 0.0).any() or (progress[:, TRUST] > TRUSTED).any():
            raise StateError('saved array "progress" does not count readings where it should')
        for name, array in rest.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise StateError(f'saved array "{name}" holds NaN or infinity')
        if (np.asarray(rest["left_out"], np.int64) > max(LeftOut)).any():
            raise StateError('saved array "left_out" holds reasons that there are not')
        self._columns.restore(rest)
        self._table.restore(mine)
        if self.start is not None:  # who has no proven baseline of its own does better with the hub's
            self.forget(np.flatnonzero(progress[:, TRUST] != TRUSTED))

    def score(self, batch: ReadingBatch) -> MahalanobisScores:
        """Score each reading against what came before it, then learn it. NaN marks a channel that was not reported.

        Raises:
            ValueError: columns that do not fit together or another number of channels, an infinite value, a time that
                is not finite, or a device row there is no room for. Nothing is learnt then.
        """
        values, complete = self._columns.checked(batch)
        total, blame = np.zeros(len(values)), np.zeros(values.shape)
        explained: list[Explained] = []
        reported = values == values
        some = np.arange(len(values)) if complete else np.flatnonzero(reported.any(axis=1))
        for part in rounds(batch.device[some]):
            cells = some[part]
            self._round(batch.device[cells], values[cells], reported[cells], cells, total, blame, explained)
        return MahalanobisScores(total, blame, explained)

    def _round(
        self,
        device: NDArray[np.intp],
        x: NDArray[np.float64],
        reported: NDArray[np.bool_],
        cells: NDArray[np.intp],
        total: NDArray[np.float64],
        blame: NDArray[np.float64],
        explained: list[Explained],
    ) -> None:
        """Score one reading of each of R different devices and learn it."""
        progress = self._progress[device]
        if (new := np.flatnonzero(progress[:, NEXT_FIT] == 0.0)).size:
            progress[new] = self._begun(device[new], progress[new])
        seen = self._seen[device]
        level = smoothed(self._level[device], x, seen, reported)
        self._level[device] = level
        self._seen[device] = seen | reported

        scored, strange, found = self._judge(device, x, level, reported, progress)
        total[cells], blame[cells] = scored, np.where(reported, self._blame[device], 0.0)
        if len(found.cells):
            explained.append(found._replace(cells=cells[found.cells]))
        if not self._learns:
            progress[:, PEAK_COUNT] = 0.0  # nor does its reach change
            self._progress[device] = progress
            return

        within = np.flatnonzero(~strange)
        self._own.learn(device[within], x[within], level[within], reported[within])
        progress[within, READINGS] += 1.0
        due = within[progress[within, READINGS] >= progress[within, NEXT_FIT]]
        if len(due):
            progress[due] = self._fitted(device[due], progress[due])
        begins, on, ready = mahalanobis_progress.follow(progress, strange)
        if len(on):
            self._regime.clear(device[begins])
            self._regime.learn(device[on], x[on], level[on], reported[on])
        if len(ready):
            progress[ready] = self._adopted(device[ready], progress[ready])
        self._progress[device] = progress

    def _begun(self, device: NDArray[np.intp], progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """Devices of which nothing was known: with what the hub taught, if it did."""
        mahalanobis_progress.begin(progress, self._first_fit)
        start = self.start
        if start is None:
            return progress
        count = float(min(start.readings, SHORTEST_REGIME))
        covariance = start.correlation * start.scale[:, None] * start.scale
        self._own.seed(device, count, start.location, start.scatter**2, start.wander, covariance)
        used = start.scale > 0.0
        inverse_scale = np.where(used, 1.0 / np.where(used, start.scale, 1.0), 0.0)
        left_out = np.where(used, LeftOut.JUDGED, LeftOut.BY_HUB).astype(np.uint8)
        self._baseline.put(device, Baseline(start.location, inverse_scale, start.precision, left_out))
        progress[:, READINGS], progress[:, NEXT_FIT] = count, np.floor(GROWTH * count)
        progress[:, TRUST] = TRUSTED
        progress[:, REACH] = start.reach
        return progress

    def _judge(
        self,
        device: NDArray[np.intp],
        x: NDArray[np.float64],
        level: NDArray[np.float64],
        reported: NDArray[np.bool_],
        progress: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], Explained]:
        """Scores (R,), which readings are beyond the reach, and what it takes to explain those with a high score."""
        score, strange = np.zeros(len(device)), np.zeros(len(device), np.bool_)
        nothing = Explained(np.zeros(0, np.intp), *(np.zeros((0, self.channels)) for _ in Explained._fields[1:]))
        known = np.flatnonzero(progress[:, TRUST] != NOTHING)
        if not len(known):
            return score, strange, nothing
        rows = device[known]
        baseline = self._baseline.at(rows)
        inverse_scale, used, there = baseline.inverse_scale, baseline.used, reported[known]
        with np.errstate(over="ignore"):  # what is too far for a number is far
            off = np.clip((level[known] - baseline.location) * inverse_scale, -FARTHEST, FARTHEST)
        far = distance(off, baseline.precision, used, there)
        self._expect(rows, level[known], far.filled, baseline, ~there)
        judged = used.sum(axis=1)
        sees = (judged >= FEWEST) & (used & there).any(axis=1)
        own = progress[known]
        t_squared = mahalanobis_progress.tempered(far.t_squared, own[:, REACH])
        blame = self._blame[rows]
        share = far.contributions * (t_squared / np.maximum(far.t_squared, 1.0))[:, None]
        blame += np.where(sees[:, None], T_SQUARED_SMOOTHING * (share - blame), 0.0)
        self._blame[rows] = blame
        found, beyond = mahalanobis_progress.judge(own, t_squared, judged, sees)
        progress[known] = own
        # What a reading does not report cannot be blamed on what it does.
        whole = np.add.reduce(blame, axis=1)
        found *= np.add.reduce(np.where(there, blame, 0.0), axis=1) / np.where(whole > 0.0, whole, 1.0)
        score[known], strange[known] = found, beyond
        loud = np.flatnonzero(found >= EXPLAINED)
        if not len(loud):
            return score, strange, nothing
        which = known[loud]
        freedom = 1.0 / np.sqrt(np.diagonal(baseline.precision[loud], axis1=1, axis2=2))
        scale = np.where(used[loud], 1.0 / np.where(used[loud], inverse_scale[loud], 1.0), 0.0)
        scatter = self._own.scatter[rows[loud]]
        return (
            score,
            strange,
            Explained(
                which, x[which], level[which], baseline.location[loud], scale, scatter, far.expected[loud], freedom
            ),
        )

    def _expect(
        self,
        device: NDArray[np.intp],
        level: NDArray[np.float64],
        filled: NDArray[np.float64],
        baseline: Baseline,
        missing: NDArray[np.bool_],
    ) -> None:
        """Let levels of channels that are not reported drift to what the others let expect.

        Otherwise a channel that comes back is smoothed with what it was long ago, and fits to nothing.
        """
        missing = missing & baseline.used
        rows = np.flatnonzero(missing.any(axis=1))
        if len(rows):
            scale = 1.0 / np.where(baseline.used[rows], baseline.inverse_scale[rows], 1.0)
            expected = baseline.location[rows] + filled[rows] * scale
            known = level[rows]
            self._level[device[rows]] = np.where(missing[rows], known + FORGETTING * (expected - known), known)

    def _fitted(self, device: NDArray[np.intp], progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the baselines of these devices anew from everything they have learnt."""
        readings = progress[:, READINGS]
        baseline = fit(self._own, device, readings, self._forbidden)
        self._baseline.put(device, baseline)
        mahalanobis_progress.settle(progress, baseline.used.sum(axis=1))
        progress[:, NEXT_FIT] = np.floor(np.minimum(GROWTH * readings, readings + REFIT))
        return progress

    def _adopted(self, device: NDArray[np.intp], progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take what has lasted as the new normal, where it is stable: where enough channels do not drift in it."""
        baseline = fit(self._regime, device, progress[:, REGIME], self._forbidden)
        before, now = self._baseline.at(device).used.sum(axis=1), baseline.used.sum(axis=1)
        stable = np.flatnonzero((now >= FEWEST) & (2 * now >= before))
        rows, settled = device[stable], progress[stable]
        self._own.take_over(rows, self._regime)
        self._baseline.put(rows, baseline.at(stable))
        self._blame[rows] = 0.0
        mahalanobis_progress.adopt(settled)
        settled[:, NEXT_FIT] = settled[:, READINGS] + REFIT
        progress[stable] = settled
        return progress
