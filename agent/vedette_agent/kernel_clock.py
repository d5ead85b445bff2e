"""What the kernel says of this machine's clock: whether a time server steers it, and to within how much."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR, _UNSYNCHRONISED = 5, 0x40  # of adjtimex(2)


class Steering(NamedTuple):
    """Of the clock that people and time servers set."""

    synchronised: bool | None
    """Whether a time server steers it; None: the kernel does not say."""
    error: float = 0.0
    """Seconds by which it may be wrong at most, where it is steered."""


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


def steering() -> Steering:
    """Ask the kernel (adjtimex(2), which changes nothing); where that is forbidden, systemd-timesyncd's mark."""
    try:
        answer = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(answer))
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return Steering(True if TIMESYNCD.exists() else None)
    return Steering(state != _TIME_ERROR and not answer.status & _UNSYNCHRONISED, answer.largest_error / 1e6)
