"""What keeps vectors from being scored."""

from __future__ import annotations

from vedette_hub.errors import HubError


class NoModelError(HubError):
    """Nobody has trained a model of so many features."""


class ScoringBusyError(HubError):
    """As many requests are being scored as may be at the same time."""


class ScoringTimeoutError(HubError):
    """Scoring took longer than it may; its result is dropped."""
