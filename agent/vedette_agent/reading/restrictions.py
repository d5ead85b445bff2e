"""Restrictions: devices whose readings are not all taken, as the status and people are told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vedette_models.messages import Restricted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LATELY = 60.0
"""Seconds without a refused reading after which a device is within its rate again."""
REMEMBERED = 1_024
NAMED = 3
"""Devices that a sentence names."""


@dataclass
class _Entry:
    since: float
    uptime: float
    dead_letters: int = 0


class RateLimited:
    """Devices whose readings were refused within the last minute."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def add(self, device: str, now: float, uptime: float) -> None:
        """A reading was too many; `now` in seconds since 1970, `uptime` by a clock that nobody sets."""
        entry = self._entries.get(device)
        if entry is None or uptime - entry.uptime > LATELY:
            if entry is None and len(self._entries) >= REMEMBERED:
                self._entries.clear()  # they come back with their next reading
            entry = self._entries[device] = _Entry(now, uptime)
        entry.uptime = uptime
        entry.dead_letters += 1

    def listed(self, uptime: float) -> Iterator[Restricted]:
        """Those over their rate now."""
        for device, entry in list(self._entries.items()):
            if uptime - entry.uptime > LATELY:
                del self._entries[device]
            else:
                yield Restricted(device, "rate_limited", entry.since, None, "rate_limited", entry.dead_letters)


def in_words(restricted: Sequence[Restricted]) -> Iterator[str]:
    """A sentence for each kind of restriction."""
    flooding = [one for one in restricted if one.state == "rate_limited"]
    if flooding:
        refused = sum(one.dead_letters for one in flooding)
        yield f"{_named(flooding)} beyond limits.device_rate: {refused} readings were not taken; is it in a loop?"
    shut_out = [one for one in restricted if one.state == "quarantined"]
    if shut_out:
        reasons = ", ".join(sorted({one.reason for one in shut_out}))
        yield f"{_named(shut_out)} nothing usable ({reasons}) and not listened to for now: vedette-agent quarantine"


def _named(devices: Sequence[Restricted]) -> str:
    names = ", ".join(one.device for one in devices[:NAMED])
    more = f" and {len(devices) - NAMED} more" if len(devices) > NAMED else ""
    return f"{len(devices)} device{'' if len(devices) == 1 else 's'} ({names}{more}) sending"
