"""Effects: what one transaction makes durable: what a batch of readings causes, and what the hub is to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_agent.mqtt.message import SettledKey
    from vedette_models.messages import Alert, Report, SampleBatch


class AlertStateRow(NamedTuple):
    """State of one kind of alert on one device; an empty body: forget it."""

    profile: str
    device: str
    kind: str
    body: bytes


class DeadLetterRow(NamedTuple):
    """A message that could not be scored, with the beginning of its payload."""

    time: float
    topic: str
    reason: str
    detail: str
    sample: bytes
    source: str = ""
    """Who shares the room for samples with the others: a device that is known, or a reason for all that are not."""
    time_quality: int = 0
    """`readings.Quality` of `time`, which is that of the arrival."""


class Effects(NamedTuple):
    """What one transaction commits."""

    alerts: Sequence[Alert] = ()
    states: Sequence[AlertStateRow] = ()
    dead_letters: Sequence[DeadLetterRow] = ()
    settled: Sequence[SettledKey] = ()
    reports: Sequence[Report] = ()
    samples: Sequence[SampleBatch] = ()
    passed: int = 0
    """Messages that were settled without a commit since the last one: the older a settled key, the less it says."""
