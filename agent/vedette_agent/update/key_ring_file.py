"""KeyRingFile: the key ring in the configuration, read again when somebody has changed it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vedette_models.keys import KeyFileError, KeyRing, parse_key_ring

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024


class KeyRingFile:
    """The file that `models.key_ring` names. `problem`: a sentence, or None."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            OSError: it cannot be read.
            KeyFileError: it holds no keys.
        """
        self._path = path
        self.problem: str | None = None
        self._seen = _mark(path)
        self.keys: KeyRing = self._read()

    def changed(self) -> bool:
        """Whether `keys` are others than before; a file that cannot be used leaves them as they were, and is said."""
        try:
            seen = _mark(self._path)
            if seen == self._seen:
                return False
            keys = self._read()
        except (OSError, UnicodeDecodeError, KeyFileError) as error:
            problem = f"{self._path}: {error}; the keys read last are followed"
            if problem != self.problem:
                logger.error("%s", problem)
            self.problem = problem
            return False
        self._seen, self.problem = seen, None
        before, self.keys = self.keys, keys
        if before.keys() == keys.keys():
            return False
        logger.warning("%s: the keys that are followed are now %s", self._path, ", ".join(sorted(keys)))
        return True

    def _read(self) -> KeyRing:
        with self._path.open("rb") as file:
            return parse_key_ring(file.read(MAX_BYTES).decode())


def _mark(path: Path) -> tuple[int, int, int]:
    """What is another when the file has been written or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
