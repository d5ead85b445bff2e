"""Passwords: generated, checked for length, kept as scrypt hashes, and verified a few at a time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.security import check_password_hash, generate_password_hash

from vedette_hub.errors import HubError

SHORTEST, LONGEST = 10, 256
"""Length of a password in characters; beyond that its quality is its owner's business."""

_METHOD = "scrypt:32768:8:1"
_NOBODYS = f"{_METHOD}$VedetteNobodys00${'0' * 128}"
"""Of no password anybody knows, and as much work as one."""
_AT_ONCE = threading.BoundedSemaphore(2)
"""Each verification takes 32 MiB and a tenth of a second of a core: all threads at it would starve the rest."""
_WAITING = threading.BoundedSemaphore(4)
"""Those at it and those that wait; beyond them nobody waits, for somebody has to answer everything else."""


class BusyError(HubError):
    """Too many passwords are being looked at; soon there is time again."""


class PasswordError(HubError):
    """A password that cannot be used."""


def generate() -> str:
    """A password of 120 random bits, in groups that can be typed."""
    text = secrets.token_hex(15)
    return "-".join(text[start : start + 6] for start in range(0, len(text), 6))


def check(password: str, name: str) -> None:
    """See whether a password may be chosen by a user.

    Raises:
        PasswordError: it is too short or too long, or the user's own name.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordError(f"the password must have {SHORTEST} to {LONGEST} characters")
    if name and password.casefold().strip() in {name.casefold(), name.casefold() * 2}:
        raise PasswordError("the password must not be the user's name")


def hashed(password: str) -> str:
    """What is kept of a password: scrypt (N 32768, r 8, p 1) with a salt of its own.

    Raises:
        BusyError: too many are being looked at.
    """
    with _turn():
        return generate_password_hash(password, _METHOD)


def verify(kept: str | None, password: str) -> bool:
    """Whether a password is the one that was kept; without one it takes as long, and is never right.

    Raises:
        BusyError: too many are being looked at.
    """
    with _turn():
        right = check_password_hash(kept or _NOBODYS, password[: LONGEST + 1])
    return right and kept is not None


@contextmanager
def _turn() -> Iterator[None]:
    if not _WAITING.acquire(blocking=False):
        raise BusyError("Too many people are signing in at this moment; try again.")
    try:
        with _AT_ONCE:
            yield
    finally:
        _WAITING.release()
