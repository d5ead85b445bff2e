"""A process that ends with its parent, however the parent ends."""

from __future__ import annotations

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """End this process and its group as soon as the parent closes our standard input, also by being killed."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="parent watch", daemon=True).start()


def _watch(parent: int) -> None:
    # Not through sys.stdin: its lock, held while waiting, would break a worker's clean exit.
    while os.read(parent, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)
