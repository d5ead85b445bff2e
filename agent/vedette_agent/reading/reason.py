"""The one sentence an alert says to a person in the field."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_models.messages import ChannelReason
    from vedette_models.profile import Channel

VALUE = "value"
"""What an aspect begins with that is the reading itself."""
WORTH_NAMING = 0.05
"""Share of the score from which a channel is named beside the first."""


def number(value: float, resolution: float) -> str:
    """A number with as many digits as `resolution` (the width of what it is compared with) makes worth reading.

    >>> number(21.4567, 0.8), number(1013.2512, 0.02), number(123456.7, 3000.0), number(0.0, 0.0)
    ('21.46', '1013.251', '123457', '0')
    """
    if value == 0.0:
        return "0"
    scale = resolution if 0.0 < resolution < math.inf else abs(value) * 0.01
    decimals = min(9, max(0, 1 - math.floor(math.log10(scale)))) if scale > 0.0 else 0
    if abs(value) >= 1e9 or (abs(value) < 1e-6 and scale < 1e-6):
        return f"{value:.4g}"
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def anomaly(reasons: Sequence[ChannelReason]) -> str:
    """For example `vibration 4.1 mm/s, usually 1.2–2.0; 71 % of the score, with temperature`."""
    if not reasons:
        return "unusual readings"
    first = reasons[0]
    value, usual = _beside(first.value, first.low, first.high)
    unit = f" {first.unit}" if first.unit else ""
    looked_at, _, condition = first.aspect.partition(", ")
    if looked_at.startswith(VALUE):  # and then perhaps, for example, " at this hour of the week"
        sentence = f"{first.channel} {value}{unit}, usually {usual}{looked_at.removeprefix(VALUE)}"
    else:
        sentence = f"{first.channel}: {looked_at} {value}{unit}, usually {usual}"
    sentence += f" {condition}" if condition else ""
    others = [r for r in reasons[1:] if r.share >= WORTH_NAMING]
    if others:
        more = f" and {len(others) - 2} more" if len(others) > 2 else ""
        named = ", ".join(r.channel for r in others[:2])
        sentence += f"; {100.0 * first.share:.0f} % of the score, with {named}{more}"
    return sentence


def _beside(value: float, low: float, high: float) -> tuple[str, str]:
    """A value and its usual range, with enough digits to tell them apart."""
    said = least = most = ""
    for digits in range(4):
        resolution = (high - low) / 10**digits
        said, least, most = (number(x, resolution) for x in (value, low, high))
        if said not in (least, most) or value in (low, high):
            break
    if least == most:
        return said, least
    return said, f"{least} to {most}" if least.startswith("-") else f"{least}–{most}"


def impossible(channel: Channel, value: float, others: Sequence[str] = ()) -> str:
    """For example `temperature 950 °C is impossible, the sensor reports -40 to 125; check sensor and wiring`; `others`
    are channels that report impossible values at the same time.
    """
    low, high = channel.low, channel.high
    width = 0.0 if low is None or high is None else high - low
    if low is None:
        bounds = f"at most {number(high or 0.0, width)}"
    elif high is None:
        bounds = f"at least {number(low, width)}"
    else:
        bounds = f"{number(low, width)} to {number(high, width)}"
    unit = f" {channel.unit}" if channel.unit else ""
    said = f"{channel.name} {number(value, width)}{unit}"
    too = f", and so {'is' if len(others) == 1 else 'are'} {', '.join(others)}" if others else ""
    return f"{said} is impossible, the sensor reports {bounds}{too}; check sensor and wiring"


def stuck(channel: Channel, value: float, readings: int, usual: int) -> str:
    """For example `temperature has said 21.4 °C 25 times in a row, usually at most 2; is the sensor frozen?`."""
    unit = f" {channel.unit}" if channel.unit else ""
    often = f"at most {usual} times" if usual > 1 else "never twice"
    return (
        f"{channel.name} has said {value:.9g}{unit} {readings} times in a row, usually {often}; is the sensor frozen?"
    )


def jump(channel: Channel, level: float, departure: float, usual: float, readings: int) -> str:
    """For example `vibration jumped to 9.1 mm/s for 3 readings and came back to 1.4; check plug and cable`."""
    unit = f" {channel.unit}" if channel.unit else ""
    resolution = max(usual, abs(departure) / 10.0)
    there, here = number(level + departure, resolution), number(level, resolution)
    lasted = "one reading" if readings == 1 else f"{readings} readings"
    return f"{channel.name} jumped to {there}{unit} for {lasted} and came back to {here}; check plug and cable"


def span(seconds: float) -> str:
    """A length of time as people say it.

    >>> span(42.0), span(150.0), span(5400.0), span(200000.0)
    ('42 s', '2.5 min', '1.5 h', '2.3 days')
    """
    for unit, length in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 1.5 * length or (unit != "days" and seconds >= length):
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def silent(quiet: float, typical: float) -> str:
    """For example `no reading for 2.5 h, usually one every 15 min; check power, battery and connection`."""
    usually = f", usually one every {span(typical)}" if typical > 0.0 else ""
    heard = f"no reading for {span(quiet)}" if quiet > 0.0 else "still no reading"
    return f"{heard}{usually}; check power, battery and connection"


def clock(state: str, amount: float) -> str:
    """For example `its clock is 2 min behind; set it, or check its time source`."""
    if state == "backwards":
        return "its time runs backwards; check its clock, and whether it sends old readings in reverse"
    if state == "zone":
        return f"its clock is {span(amount)} behind, whole hours: does it send local time as UTC?"
    return f"its clock is {span(amount)} {state}; set it, or check its time source"
