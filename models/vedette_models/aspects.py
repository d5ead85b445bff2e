"""Aspects: what of a channel was looked at, in words that go into the sentence of an alert.

An aspect is one of these, perhaps followed by what it was taken over (`average over the last 2 h`), and after a comma
by what its usual range holds for (`value, in the last 8 h`).
"""

from __future__ import annotations

from vedette_models.spans import span

VALUE = "value"
"""The reading itself."""
AVERAGE = "average"
STEP = "step from one reading to the next"
"""On average, whatever the direction: how much a channel swings, jitters or chatters."""
UNLIKE = "distance to the most similar moment"
"""Two readings in a row against all pairs before."""
THIS_HOUR = "value at this hour of the week"
OTHERS = "by what the other channels show"
FEW = "over the last few readings"


def lasting(readings: int, interval: float) -> str:
    """So many readings as a time, if the usual `interval` in seconds is known.

    >>> lasting(24, 300.0), lasting(24, 0.0)
    ('2 h', '24 readings')
    """
    return span(readings * interval) if interval > 0.0 else f"{readings} readings"
