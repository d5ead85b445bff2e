"""Rows: what waits in the outbox, as others see it: one on its way, and how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vedette_models.messages import Priority


RowKey = tuple[str, str, int]
"""(epoch, class, sequence): the same for one row in every database, and at the hub."""


class PendingRow(NamedTuple):
    """A row on its way to a sink."""

    id: int
    priority: Priority
    epoch: str
    sequence: int
    topic: str | None
    body: bytes

    @property
    def key(self) -> RowKey:
        """What it is known by."""
        return self.epoch, self.priority, self.sequence


class Stats(NamedTuple):
    """How full the box is."""

    rows: int
    bytes: int
    oldest: float | None
    """When the oldest row was written, seconds since 1970."""
    lost: int
    """Rows given up before the hub had them, as far back as this database remembers."""
    dead_letters: int
    hours_left: float | None = None
    """Hours until the box is full without the hub, at the rate of the last day or quarter of an hour."""
    coalesced: int = 0
    """Rows of storms put together with others since the agent started."""
    set_aside: tuple[str, ...] = ()
    """Damaged databases beside this one."""
