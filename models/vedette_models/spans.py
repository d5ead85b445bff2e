"""Lengths of time as people say them."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A length of time as people say it.

    >>> span(42.0), span(150.0), span(5400.0), span(200000.0)
    ('42 s', '2.5 min', '1.5 h', '2.3 days')
    """
    for unit, length in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 1.5 * length or (unit != "days" and seconds >= length):
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
