"""Trace: one line of JSON per reading, written before it is acknowledged, for tests and support."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vedette_agent.reading.stages import TraceLine

logger = logging.getLogger(__name__)

LIMIT_BYTES = 1024**3


class Trace:
    """Appends to a file; at 1 GiB it stops and says so in the file, in the log and in `full`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._bytes = os.fstat(self._file).st_size
        self.full = False

    def write(self, lines: Sequence[TraceLine]) -> None:
        """Hand all lines to the operating system: a killed process has written them."""
        if self.full or not lines:
            return
        data = b"".join(msgspec.json.encode(line._asdict()) + b"\n" for line in lines)
        if self._bytes + len(data) > LIMIT_BYTES:
            self.full = True
            data = b'{"fate":"trace_full"}\n'
            logger.error("%s: %d bytes, the trace stops here", self.path, self._bytes)
        try:
            while data:
                written = os.write(self._file, data)
                self._bytes += written
                data = data[written:]
        except OSError as error:
            # a full disk must not stop the gateway for its trace
            self.full = True
            logger.error("%s: %s, the trace stops here", self.path, error.strerror)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
