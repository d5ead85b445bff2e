"""DeadLetter: a message, or a reading of it, that no stage can use, and why."""

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
    "late",
    "rate_limited",
    "quarantined",
    "bad_topic",
    "no_stream",
    "device_limit",
    "internal",
]


GARBAGE: frozenset[Reason] = frozenset(
    {
        "not_json",
        "wrong_type",
        "non_finite",
        "too_deep",
        "too_large",
        "too_many_readings",
        "no_channel",
        "no_time",
    }
)
"""Reasons that say something about the sender: a device that sends nothing else ends in quarantine. A wrong clock, too
many devices and a fault of ours do not.
"""


class DeadLetter(NamedTuple):
    """A message, or one reading of it, that was not scored."""

    message: int
    """Index of the message in its batch."""
    reason: Reason
    detail: str
    """What was seen and what to do, for a person."""
    device: str = ""
    """Who sent it, where the topic or the payload told."""
