"""Faults: what the checks of sensor health found in a batch, and how each is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.messages import ChannelReason, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

IMPOSSIBLE, STUCK, JUMP, CLOCK, SILENT = "impossible", "stuck", "jump", "clock", "silent"


class Rule(NamedTuple):
    """How a kind of fault becomes an alert."""

    severity: Severity
    clear_after: int | None
    """Readings without the fault that end it; None: as many as end an anomaly."""


RULES = {
    IMPOSSIBLE: Rule("medium", None),
    STUCK: Rule("medium", 1),
    JUMP: Rule("low", None),
    CLOCK: Rule("low", 1),
    SILENT: Rule("medium", 1),
}
"""By kind. What goes on until the check says otherwise ends with the first sound reading; an impossible value and a
jump are over at once and often come again, so their alert waits as that of an anomaly does."""


class Explained(NamedTuple):
    """A fault in words."""

    sentence: str
    """For a person in the field."""
    channels: tuple[ChannelReason, ...] = ()
    column: int = -1
    """Of the channel at fault; -1: it is the device's."""


class Found(NamedTuple):
    """One kind of fault in a batch of N readings."""

    kind: str
    rows: NDArray[np.bool_]
    """(N,) readings at which it is there."""
    explain: Callable[[int], Explained]
    """By row."""


class Transient(NamedTuple):
    """A jump that was recognised because it was over."""

    column: int
    began: float
    """Time of its first reading."""


class Faults(NamedTuple):
    """What was found in a batch of N readings with C channels."""

    found: tuple[Found, ...] = ()
    """Kinds that are there at all."""
    withheld: NDArray[np.bool_] | None = None
    """(N, C) values that are neither scored nor learnt; None: none."""
    transients: Mapping[int, list[Transient]] = MappingProxyType({})
    """Recognised at each row."""
    unreported: Mapping[int, tuple[int, ...]] = MappingProxyType({})
    """Columns of channels that are silent at each row, while their device is not."""

    def credible(self, batch: ReadingBatch) -> ReadingBatch:
        """The batch without what is withheld, as if the device had not reported it."""
        if self.withheld is None:
            return batch
        return replace(batch, values=np.where(self.withheld, np.nan, batch.values))

    def readings_withheld(self, readings: int) -> NDArray[np.bool_]:
        """(N,) readings of which a value is neither scored nor learnt."""
        return np.zeros(readings, np.bool_) if self.withheld is None else np.asarray(self.withheld.any(axis=1))

    def explain(self, kind: str, row: int) -> Explained:
        """Why a fault of this kind is there at this reading."""
        return next(found for found in self.found if found.kind == kind).explain(row)

    def at_fault(self, readings: int) -> NDArray[np.bool_]:
        """(N,) readings at which any fault is there."""
        rows = np.zeros(readings, np.bool_)
        for found in self.found:
            rows |= found.rows
        return rows
