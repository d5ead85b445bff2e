"""Effects: what a batch of readings causes that must be durable before it is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_agent.mqtt.message import SettledKey
    from vedette_models.messages import Alert


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


class Effects(NamedTuple):
    """What one transaction commits."""

    alerts: Sequence[Alert] = ()
    states: Sequence[AlertStateRow] = ()
    dead_letters: Sequence[DeadLetterRow] = ()
    settled: Sequence[SettledKey] = ()
