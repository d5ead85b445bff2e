"""The wire between the web server's process and the hub's: who is asked for readings, and what gateways send then.

A Unix socket in the state directory, for the hub's user only; a JSON object a line. The web server's process never
opens MQTT, and the readings are worth nothing to anybody who does not look now: they never touch the database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from vedette_models.messages import LIVE_BYTES, Live

FILE = "live.sock"
LINE_BYTES = 2 * LIVE_BYTES
_LONGEST_ADDRESS = 100
"""Bytes; a Unix socket's address has room for 107."""


class Ask(msgspec.Struct, frozen=True):
    """Web server → hub: ask a gateway for the readings of a device."""

    gateway: str
    device: str
    seconds: float


class Heard(msgspec.Struct, frozen=True):
    """Hub → web server: what a gateway has sent."""

    gateway: str
    live: Live


def to_line(message: Ask | Heard) -> bytes:
    """A line that carries a message."""
    return msgspec.json.encode(message) + b"\n"


@contextmanager
def address(state_dir: Path) -> Iterator[str]:
    """The socket's address, to be bound or connected to within the block; a deep state directory's, too."""
    path = state_dir / FILE
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(state_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{FILE}"
    finally:
        os.close(folder)
