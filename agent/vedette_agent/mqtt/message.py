"""A message as a broker delivers it, and what recognises it when it comes again."""

from __future__ import annotations

from typing import NamedTuple


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


class SettledKey(NamedTuple):
    """A message whose effects are durable while its acknowledgement may still be lost."""

    packet_id: int
    digest: bytes
