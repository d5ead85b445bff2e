"""StateLock: one agent to a state folder."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "lock"


class StateInUseError(OSError):
    """Another agent works with this folder."""


class StateLock:
    """Held while it exists; the system lets go of it when the process ends, however that happens."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock.

        Raises:
            StateInUseError: another process has it.
            OSError: the folder cannot be written.
        """
        state_dir.mkdir(parents=True, exist_ok=True)
        self._file = os.open(state_dir / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise StateInUseError(
                f"{state_dir}: another agent works with this folder; give each a state_dir of its own"
            ) from None

    def release(self) -> None:
        """Let go."""
        os.close(self._file)
