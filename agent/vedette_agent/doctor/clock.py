"""Clock: whether this machine knows what time it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.clock import EARLIEST, LATEST
from vedette_agent.doctor.finding import Finding
from vedette_agent.gateway_clock import TOLERANCE
from vedette_agent.kernel_clock import steering

if TYPE_CHECKING:
    from vedette_agent.doctor.finding import Outcome

ERROR_SECONDS = 1.0


class Clock(NamedTuple):
    """What the kernel says of its clock."""

    now: float
    synchronised: bool | None
    """None: it does not say."""
    error: float = 0.0
    """Seconds by which it may be wrong at most."""
    newest: float = 0.0
    """The latest moment that was written down here or signed by the hub."""
    source: str = ""
    """Where that stands."""


def look() -> Clock:
    """Ask the kernel."""
    return Clock(time.time(), *steering())


def judge(seen: Clock) -> list[Finding]:
    """Plausible, not behind what was written before, and steered by a time server."""
    found = []
    fix = "Set it and keep it right: timedatectl set-ntp true; then look: timedatectl timesync-status"
    if not EARLIEST <= seen.now <= LATEST:
        found.append(_finding("failed", f"this machine believes that it is {_when(seen.now)} UTC.", fix))
    elif seen.newest > seen.now + TOLERANCE:
        said = f"it is {_when(seen.now)} UTC here, but {seen.source} is from {_when(seen.newest)}."
        found.append(_finding("failed", said, fix))
    if seen.synchronised is None:
        said = f"it is {_when(seen.now)} UTC here, and the kernel does not say whether a time server steers the clock."
        found.append(_finding("not tested", said, "Look: timedatectl, or chronyc tracking"))
    elif not seen.synchronised:
        said = f"it is {_when(seen.now)} UTC here, and no time server steers the clock."
        found.append(_finding("warning", said, fix))
    elif seen.error > ERROR_SECONDS:
        said = f"the clock may be wrong by {seen.error:.1f} s: its time server has been away for long."
        found.append(_finding("warning", said, "Look: timedatectl timesync-status, or chronyc sources"))
    if not found:
        said = f"it is {_when(seen.now)} UTC, steered by a time server to within {1000 * seen.error:.0f} ms."
        found.append(_finding("ok", said))
    return found


def _finding(outcome: Outcome, said: str, fix: str = "") -> Finding:
    return Finding("clock", "", outcome, said, fix)


def _when(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))
    except (OverflowError, ValueError, OSError):
        return f"{moment:g} s after 1970"
