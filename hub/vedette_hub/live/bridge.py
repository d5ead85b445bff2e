"""Bridge: the web server's end of the wire to the hub's process; it is open only while somebody looks at a device."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from vedette_hub.live import wire
from vedette_hub.live.wire import Ask, Heard

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0


class Bridge:
    """`heard` is called from a thread of the bridge."""

    def __init__(self, state_dir: Path, heard: Callable[[Heard], None]) -> None:
        self._state_dir, self._heard = state_dir, heard
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def ask(self, asks: list[Ask]) -> bool:
        """Ask gateways for readings; whether the hub's process has taken it. May wait for PATIENCE_SECONDS."""
        with self._lock:
            try:
                opened = self._socket if self._socket is not None else self._open()
                opened.sendall(b"".join(map(wire.to_line, asks)))
            except OSError as error:
                logger.warning("live: the hub's process does not answer at %s: %s", wire.FILE, error)
                self._close()
                return False
        return True

    def close(self) -> None:
        """Nobody looks any more."""
        with self._lock:
            self._close()

    def _open(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.settimeout(PATIENCE_SECONDS)
            with wire.address(self._state_dir) as address:
                opened.connect(address)
        except OSError:
            opened.close()
            raise
        # Blocking for the thread that reads; who writes does not wait for a process that hangs.
        opened.settimeout(None)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENCE_SECONDS), 0))
        self._socket = opened
        threading.Thread(target=self._read, args=(opened,), name="live readings", daemon=True).start()
        return opened

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
            self._socket = None

    def _read(self, opened: socket.socket) -> None:
        with opened, opened.makefile("rb") as lines, contextlib.suppress(OSError):
            while line := lines.readline(wire.LINE_BYTES):
                try:
                    self._heard(msgspec.json.decode(line, type=Heard))
                except Exception:
                    logger.exception("live: unexpected error; please report this")
        with self._lock:
            if self._socket is opened:
                self._socket = None
