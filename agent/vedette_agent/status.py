"""Status: what the agent says about itself, from counters and the state of its parts."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vedette_models import messages
from vedette_models.messages import Counters, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE = "status.json"


@dataclass
class Tally:
    """Counters since the agent started."""

    received: int = 0
    scored: int = 0
    duplicates: int = 0
    retained: int = 0
    dead_letters: int = 0
    alerts: int = 0
    suppressed: int = 0
    acknowledged: int = 0
    dead_by_reason: dict[str, int] = field(default_factory=dict)

    def dead(self, reasons: Iterable[str]) -> None:
        """Count dead letters."""
        for reason, count in Counter(reasons).items():
            self.dead_letters += count
            self.dead_by_reason[reason] = self.dead_by_reason.get(reason, 0) + count

    def counters(self) -> Counters:
        """As they are now."""
        return Counters(**{**vars(self), "dead_by_reason": dict(self.dead_by_reason)})


def ingest_state(*, connected: bool, silence: float | None, running: float, stalled_after: float) -> str:
    """`disconnected`, `waiting` (nothing has arrived yet), `stalled` or `receiving`.

    `silence`: since something has arrived, None: nothing has; `running`: since the start; both in seconds.
    """
    if not connected:
        return "disconnected"
    if (running if silence is None else silence) > stalled_after:
        return "stalled"
    return "waiting" if silence is None else "receiving"


def last_will(gateway: str) -> bytes:
    """What the broker says for us when we vanish."""
    return messages.to_bytes(Status(gateway, online=False, reason="lost"))


def write(folder: Path, status: Status) -> None:
    """Leave the status where `vedette-agent status` finds it, without a broker; whole or not at all."""
    temporary = folder / f".{FILE}.{os.getpid()}"
    try:
        temporary.write_bytes(messages.to_bytes(status))
        temporary.replace(folder / FILE)
    except OSError:
        temporary.unlink(missing_ok=True)  # half of it would only take room
        raise


def read(folder: Path) -> Status | None:
    """The status last written; None where there is none.

    Raises:
        messages.MessageError: the file is damaged.
    """
    try:
        return messages.from_bytes(Status, (folder / FILE).read_bytes())
    except FileNotFoundError:
        return None


def last(folder: Path) -> Status | None:
    """The status last written; None where there is none that can be read."""
    try:
        return read(folder)
    except (messages.MessageError, OSError):
        return None
