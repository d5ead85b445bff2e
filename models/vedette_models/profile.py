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

    alerts_per_week: float = 0.5
    """The alert budget: false alerts per device and week, at most; each device's threshold follows from it."""
    threshold: float | None = None
    """Score from which a reading is anomalous, fixed for every device; None: by the alert budget."""
    medium: float = 2.0
    """Severity by score / threshold: `low` from 1, `medium`, `high` and `critical` from these on; what is twice as
    strong is about half as frequent."""
    high: float = 4.0
    critical: float = 8.0
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


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which faults of sensors and devices are looked for; each is an alert kind of its own. Times are seconds."""

    silent: bool = True
    """A device that has stopped reporting."""
    stuck: bool = True
    """A channel that normally moves and repeats one value."""
    impossible: bool = True
    """A value outside what the sensor can report."""
    jump: bool = True
    """A channel that leaves its level suddenly and comes back: a loose contact, an electrical glitch."""
    clock: bool = True
    """A device whose time runs ahead, behind or backwards."""
    silent_after: float | None = None
    """A device is silent after so long at the latest; None: by its own rhythm alone."""
    clock_tolerance: float = 30.0
    """A device's clock may be off by so much."""
    cooldown: float = 3600.0
    """After an alert about a fault has ended, the device raises none of the same kind for so long."""


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one device's sensor can report, where that differs from the others of its profile."""

    low: float | None = None
    high: float | None = None


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device type: its channels and how its readings are judged."""

    name: str
    channels: tuple[Channel, ...]
    decisions: Decisions = Decisions()
    health: Health = Health()
    ranges: dict[str, dict[str, Range]] = {}
    """By device and channel: ranges that stand in for the channel's own."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names in column order."""
        return tuple(channel.name for channel in self.channels)
