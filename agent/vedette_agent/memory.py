"""What becomes of memory that was freed."""

from __future__ import annotations

import ctypes
import gc

M_MMAP_THRESHOLD = -3
THRESHOLD_BYTES = 1024 * 1024


def return_freed() -> None:
    """Give freed memory back to the system, now and later; no effect where the C library is another.

    Reading the configuration leaves holes behind, and so do state arrays, replaced as devices arrive. Left alone,
    glibc raises its threshold with every large block freed (mallopt(3), M_MMAP_THRESHOLD) and keeps the holes of all
    earlier sizes.
    """
    gc.collect()
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, THRESHOLD_BYTES)
        libc.malloc_trim(0)
    except (OSError, AttributeError):
        return
