"""Where simulated disks lie: in memory where the machine offers that, for a seed writes as much as it can."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

MEMORY = Path("/dev/shm")  # a folder of our own is made in it


@lru_cache
def _root() -> Path:
    in_memory = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="vedette-simulation-", dir=in_memory))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def folder(name: str) -> Path:
    """An empty folder that goes with this process, at the latest."""
    made = _root() / name
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    return made
