"""What every detector offers: a protocol, and the scores it returns.

A detector keeps columnar state: a device is a row, a channel a column. It reads neither clock, disk nor network: the
same readings in the same order give the same scores, however they are split into batches. A high score means anomalous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from vedette_models.calibration import Prior
    from vedette_models.readings import ReadingBatch


class StateError(ValueError):
    """Saved state that does not fit this detector: says which array, and why."""


class Finding(NamedTuple):
    """Why a channel scored: what was looked at, what it was, and what it usually is."""

    aspect: str
    """`value`, or what was looked at instead, for example `average over the last 2 h`; see `vedette_models.aspects`."""
    value: float
    low: float
    high: float


class Scores(Protocol):
    """Scores of a batch of N readings with C channels."""

    @property
    def total(self) -> NDArray[np.float64]:
        """(N,) score of each reading, finite, >= 0; 0 where there is nothing to say."""
        ...

    @property
    def by_channel(self) -> NDArray[np.float64]:
        """(N, C) what each channel adds to it, finite, >= 0; 0 where the channel was not reported."""
        ...

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is; None where it is 0."""
        ...


class Detector(Protocol):
    """Scores readings of the devices of one profile and learns from them as they come."""

    name: str
    """As in configuration and alerts."""
    default_threshold: float
    """Score from which a reading is anomalous where no better is known."""
    prior: Prior
    """How often it alerts in normal time, by score / `default_threshold`, before a device is known."""

    @property
    def devices(self) -> int:
        """Rows there is room for."""
        ...

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows (never fewer than now); new rows know nothing."""
        ...

    def score(self, batch: ReadingBatch) -> Scores:
        """Score each reading against what came before it, then learn it. NaN marks a channel that was not reported.

        Raises:
            ValueError: another number of channels, an infinite value, or a device row there is no room for.
        """
        ...

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing."""
        ...

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything learnt, as arrays with one row per device; copies, safe to write elsewhere."""
        ...

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; needs room for its rows.

        Raises:
            StateError: arrays missing, of another shape or type, or not from this detector.
        """
        ...
