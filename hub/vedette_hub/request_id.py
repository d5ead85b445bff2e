"""The id under which a request, and everything that it causes, stands in the log."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-ID"
_USABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")

_current: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of what is being done here; empty when it has none."""
    return _current.get()


def begin(sent: str | None) -> str:
    """Take over the id that a client or proxy has sent, or make one where it sent none that can stand in a log."""
    chosen = sent if sent is not None and _USABLE.fullmatch(sent) else secrets.token_hex(8)
    _current.set(chosen)
    return chosen


def end() -> None:
    """What this thread does from now on is something else."""
    _current.set("")


@contextmanager
def using(name: str) -> Iterator[None]:
    """Give an id to work that no request has asked for, such as `delivery-17`."""
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)
