"""What travels between the stages before readings are columns: raw messages, and those that no stage can use."""

from __future__ import annotations

from typing import Literal, NamedTuple

Reason = Literal[
    "not_json",
    "wrong_type",
    "non_finite",
    "too_deep",
    "too_large",
    "too_many_readings",
    "no_channel",
    "no_device",
    "no_time",
    "too_old",
    "bad_topic",
    "no_stream",
    "device_limit",
    "internal",
]


class Message(NamedTuple):
    """A message as the broker delivered it."""

    topic: str
    payload: bytes
    packet_id: int = 0
    """Of a QoS 1 delivery; 0 for QoS 0."""
    retained: bool = False
    """Sent because of a subscription, not because something happened."""
    duplicate: bool = False
    """The broker has sent it before (DUP)."""


class DeadLetter(NamedTuple):
    """A message, or one reading of it, that was not scored."""

    message: int
    """Index of the message in its batch."""
    reason: Reason
    detail: str
    """What was seen and what to do, for a person."""


class SettledKey(NamedTuple):
    """A message whose effects are durable while its acknowledgement may still be lost."""

    packet_id: int
    digest: bytes
