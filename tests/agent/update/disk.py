"""A disk that stops the program before a chosen operation, or refuses for a while."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    """`kill -9`, as the killed program sees it: not at all."""


class Disk:
    """Counts opening to write, syncing, renaming and deleting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left = -1
        self._failing = 0
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "open"), (Path, "unlink")):
            self._patch(monkeypatch, owner, name)

    def kill_at(self, operation: int) -> None:
        """So many operations from now on are done, the next is not; negative: all are."""
        self._left, self._failing = operation, 0

    def fail_next(self, after: int, operations: int) -> None:
        """After so many operations, so many find the disk full."""
        self._left, self._failing = after, operations

    def _patch(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            if name == "open" and "w" not in str(arguments[1:2]):
                return original(*arguments, **options)
            if self._left == 0:
                if not self._failing:
                    raise Killed
                self._failing -= 1
                if not self._failing:
                    self._left = -1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._left -= 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)
