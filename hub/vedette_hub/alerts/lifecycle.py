"""The life of an alert: what the gateway reports, and what people did about it. Pure.

Two facts stand side by side. Whether the condition is *active* or *cleared* is the gateway's to say, by revision;
whether somebody has *acknowledged* it is the people's. Neither depends on the order in which events arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from vedette_models.messages import SEVERITIES, Alert, AlertState, Severity

LabelValue = Literal["true", "false", "normal"]
"""`true`: a real fault; `false`: a false alarm; `normal`: unusual, but normal for this device."""
LABELS: tuple[LabelValue, ...] = ("true", "false", "normal")


@dataclass(frozen=True)
class Acknowledgement:
    """Somebody has seen it, at this severity."""

    by: str
    time: float
    severity: Severity


@dataclass(frozen=True)
class Resolution:
    """Somebody ended it at the hub, as it stood at this revision."""

    by: str
    time: float
    revision: int


@dataclass(frozen=True)
class Label:
    """What it turned out to be."""

    value: LabelValue
    by: str
    time: float


@dataclass(frozen=True)
class Assignment:
    """Somebody is to look after it."""

    to: str
    by: str
    time: float


@dataclass(frozen=True)
class Ruling:
    """The hub gives it another severity than the gateway."""

    severity: Severity
    rule: str
    """Name of the rule that said so."""


@dataclass(frozen=True)
class AlertRecord:
    """An alert as the hub knows it: the newest event of the gateway, and what people did."""

    event: Alert
    acknowledgement: Acknowledgement | None = None
    resolution: Resolution | None = None
    label: Label | None = None
    assignment: Assignment | None = None
    ruling: Ruling | None = None

    @property
    def severity(self) -> Severity:
        """What counts: what a rule of the hub says, else what the gateway says."""
        return self.ruling.severity if self.ruling is not None else self.event.severity

    @property
    def _resolved(self) -> Resolution | None:
        # News from the gateway outdates a resolution: the condition is still there, or has come back.
        if self.resolution is None or self.event.state == "cleared" or self.resolution.revision < self.event.revision:
            return None
        return self.resolution

    @property
    def state(self) -> AlertState:
        """`cleared` when the gateway says so, or somebody resolved it and the gateway has said nothing since."""
        return "cleared" if self.event.state == "cleared" or self._resolved else "active"

    @property
    def cleared(self) -> float | None:
        """When it ended, seconds since 1970 UTC; None while active."""
        if resolution := self._resolved:
            return resolution.time
        return self.event.cleared if self.event.state == "cleared" else None

    @property
    def cleared_by(self) -> str:
        """Why it ended: what the gateway says, or `resolved`; empty while active."""
        if self._resolved:
            return "resolved"
        return self.event.cleared_by if self.event.state == "cleared" else ""

    @property
    def acknowledged(self) -> bool:
        """Whether somebody has seen it as severe as it is now: a rise in severity asks again."""
        seen = self.acknowledgement
        return seen is not None and SEVERITIES.index(self.severity) <= SEVERITIES.index(seen.severity)


def apply(
    record: AlertRecord | None, event: Alert, rule: Callable[[Alert], Ruling | None] | None = None
) -> AlertRecord:
    """The record after an event of the gateway; an older or equal revision changes nothing.

    `rule` says which severity the event gets at the hub; without one it has the gateway's.
    """
    if record is not None and event.revision <= record.event.revision:
        return record
    ruled = None if rule is None else rule(event)
    return AlertRecord(event, ruling=ruled) if record is None else replace(record, event=event, ruling=ruled)


def acknowledge(record: AlertRecord, by: str, time: float) -> AlertRecord:
    """The record after somebody has seen it; who saw it first at this severity stays on record."""
    if record.acknowledged:
        return record
    return replace(record, acknowledgement=Acknowledgement(by, time, record.severity))


def unacknowledge(record: AlertRecord) -> AlertRecord:
    """The record as if nobody had seen it: it asks for attention again."""
    return record if record.acknowledgement is None else replace(record, acknowledgement=None)


def resolve(record: AlertRecord, by: str, time: float) -> AlertRecord:
    """The record after somebody ended it: cleared until the gateway has news, and acknowledged."""
    seen = acknowledge(record, by, time)
    if record.state == "cleared":
        return seen
    return replace(seen, resolution=Resolution(by, time, record.event.revision))


def label(record: AlertRecord, value: LabelValue | None, by: str, time: float) -> AlertRecord:
    """The record after somebody said what it was; the newest label counts, and None takes it back."""
    return replace(record, label=None if value is None else Label(value, by, time))


def assign(record: AlertRecord, to: str | None, by: str, time: float) -> AlertRecord:
    """The record after somebody said who is to look after it; None: nobody any more."""
    return replace(record, assignment=None if to is None else Assignment(to, by, time))
