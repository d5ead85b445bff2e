"""Row: one reading as plain values, before readings are columns."""

from __future__ import annotations

import math
from typing import Any

Row = tuple[Any, ...]
"""Three candidates for the time (float, str or None), sequence (int or None), device (str, int or None), the struct in
`values` (None in a finished row), then a cell per channel: a number, None for null, `ABSENT` where there is none."""

TIMES = 3
SEQUENCE, DEVICE, VALUES, CELLS = 3, 4, 5, 6
"""Positions; cells follow to the end."""

ABSENT = math.nan
"""This very object stands for a channel that a message does not mention, and is told from null by identity."""
