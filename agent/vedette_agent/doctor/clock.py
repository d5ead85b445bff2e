"""Clock: whether this machine knows what time it is."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.doctor.finding import Finding

if TYPE_CHECKING:
    from vedette_agent.doctor.finding import Outcome

EARLIEST, LATEST = 1_767_225_600.0, 4_102_444_800.0
"""2026, when this program was written, and 2100."""
TOLERANCE = 86_400.0
"""Seconds by which what was written by a right clock may seem to be ahead: a day, as for manifests."""
ERROR_SECONDS = 1.0
TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR, _UNSYNCHRONISED = 5, 0x40  # of adjtimex(2)


class _Timex(ctypes.Structure):
    """The beginning of `struct timex`, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("largest_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


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
    """Ask the kernel (adjtimex(2), which changes nothing); where that is forbidden, systemd-timesyncd's mark."""
    try:
        answer = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(answer))
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return Clock(time.time(), True if TIMESYNCD.exists() else None)
    steered = state != _TIME_ERROR and not answer.status & _UNSYNCHRONISED
    return Clock(time.time(), steered, answer.largest_error / 1e6)


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
