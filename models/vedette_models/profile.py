"""Profile: what a type of device measures, and how it is watched."""

from __future__ import annotations

import msgspec


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measured quantity."""

    name: str
    unit: str = ""
    low: float | None = None
    """Smallest value the sensor can physically report; what lies below is `impossible`."""
    high: float | None = None
    """Largest value the sensor can physically report; what lies above is `impossible`."""


class Decisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How scores become alerts. Times are seconds of the readings' own time."""

    threshold: float | None = None
    """Score from which a reading is anomalous; None: the detector's own default."""
    medium: float = 1.5
    """Severity by score / threshold: `low` from 1, `medium`, `high` and `critical` from these on."""
    high: float = 2.5
    critical: float = 4.0
    hysteresis: float = 0.5
    """An open alert stays open while the score is at least this share of the threshold."""
    clear_after: int = 10
    """Quiet readings in a row that end the condition."""
    cooldown: float = 3600.0
    """After an alert has ended, the device raises none of the same or a lower severity for so long."""
    burst: int = 5
    """Rate limit: alerts a device may raise at once ..."""
    per_day: float = 5.0
    """... and how many a day refill it."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device type: its channels and how its readings are judged."""

    name: str
    channels: tuple[Channel, ...]
    decisions: Decisions = Decisions()

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names in column order."""
        return tuple(channel.name for channel in self.channels)
