"""The one sentence an alert says to a person in the field."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vedette_models.aspects import AVERAGE, STEP, UNLIKE, VALUE
from vedette_models.spans import span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_models.messages import ChannelReason
    from vedette_models.profile import Channel

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
    """For example `vibration 4.1 mm/s, usually 1.2–2; 71 % of the score, with temperature`."""
    if not reasons:
        return "unusual readings"
    first = reasons[0]
    sentence = _said(first)
    others = [r for r in reasons[1:] if r.share >= WORTH_NAMING]
    if others:
        more = f" and {len(others) - 2} more" if len(others) > 2 else ""
        named = ", ".join(r.channel for r in others[:2])
        sentence += f"; {100.0 * first.share:.0f} % of the score, with {named}{more}"
    return sentence


def _said(of: ChannelReason) -> str:
    """What one channel did, beside what is usual; see `vedette_models.aspects`."""
    said, least, most = _beside(of.value, of.low, of.high)
    usual = least
    if least != most:  # a dash between numbers with a sign or an exponent is hard to read
        usual = f"{least} to {most}" if least.startswith("-") or "e" in least + most else f"{least}–{most}"
    said += f" {of.unit}" if of.unit else ""
    looked_at, _, condition = of.aspect.partition(", ")
    holds_for = f" {condition}" if condition else ""
    if looked_at.startswith(VALUE):  # and then perhaps, for example, " at this hour of the week"
        if condition.startswith("in the last"):
            between = f"between {least} and {most}" if least != most else f"always {least}"
            return f"{of.channel} {said}, {between}{holds_for}"
        return f"{of.channel} {said}, usually {usual}{looked_at.removeprefix(VALUE)}{holds_for}"
    if looked_at.startswith(AVERAGE):
        return f"{of.channel} averages {said}{looked_at.removeprefix(AVERAGE)}, usually {usual}{holds_for}"
    if looked_at.startswith(STEP):
        how = "swings more" if of.value > of.high else "moves less"
        over = looked_at.removeprefix(STEP)
        return f"{of.channel} {how} than usual: {said} from one reading to the next{over}, usually {usual}{holds_for}"
    if looked_at.startswith(UNLIKE):
        past = looked_at.removeprefix(UNLIKE).removeprefix(" of the last ")
        before = f"in the last {past}" if past else "before"
        return f"{of.channel} moves as it never did {before}: {said} from the most similar moment, usually {usual}"
    return f"{of.channel}: {looked_at} {said}, usually {usual}{holds_for}"


SMALL = 1e-3
"""Where nothing is larger, all numbers of a sentence are written with an exponent."""


def _beside(value: float, low: float, high: float) -> tuple[str, str, str]:
    """A value and both ends of its usual range, with enough digits to tell them apart."""
    small = max(abs(value), abs(low), abs(high)) < SMALL
    write = _exponential if small else number
    apart = max(low - value, value - high)
    width = high - low if high > low else apart
    said = least = most = ""
    for digits in range(4):
        said, least, most = (write(x, width / 10**digits) for x in (value, low, high))
        if said not in (least, most) or value in (low, high):
            break
    return said, least, most


def _exponential(value: float, resolution: float) -> str:
    """A small number, with as many digits as `resolution` makes worth reading, at most four."""
    if value == 0.0:
        return "0"
    digits = 1
    if resolution > 0.0:
        digits = min(3, max(1, 1 + math.floor(math.log10(abs(value))) - math.floor(math.log10(resolution))))
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


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


def jump(channel: Channel, level: float, departure: float, usual: float, readings: int, began: float) -> str:
    """For example `vibration jumped to 9.1 mm/s for 3 readings and came back to 1.4, from about 2024-05-01 14:05 UTC
    on; check plug and cable`; `began`: seconds since 1970, as nearly as is known.
    """
    unit = f" {channel.unit}" if channel.unit else ""
    resolution = max(usual, abs(departure) / 10.0)
    there, here = number(level + departure, resolution), number(level, resolution)
    lasted = "one reading" if readings == 1 else f"{readings} readings"
    said = f"{channel.name} jumped to {there}{unit} for {lasted} and came back to {here}"
    return f"{said}, from about {moment(began)} on; check plug and cable"


def moment(time: float) -> str:
    """A time, seconds since 1970, to the minute.

    >>> moment(1700000000.0)
    '2023-11-14 22:13 UTC'
    """
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):  # years that no calendar has
        return f"{time:.0f} s"


def silent(quiet: float, typical: float) -> str:
    """For example `no reading for 2.5 h, usually one every 15 min; check power, battery and connection`."""
    usually = f", usually one every {span(typical)}" if typical > 0.0 else ""
    heard = f"no reading for {span(quiet)}" if quiet > 0.0 else "still no reading"
    return f"{heard}{usually}; check power, battery and connection"


def silent_channel(channel: Channel, quiet: float, readings: int, others: Sequence[str] = ()) -> str:
    """For example `no pressure for 2.5 h, in 10 readings of the device in a row; check this sensor and its wiring`;
    `others` are channels that are missing as well.
    """
    since = f" for {span(quiet)}" if quiet > 0.0 else ""
    among = f", in {readings} readings of the device in a row" if readings > 1 else ""
    too = f"; missing, too: {', '.join(others)}" if others else ""
    return f"no {channel.name}{since}{among}{too}; check this sensor and its wiring"


def clock(state: str, amount: float) -> str:
    """For example `its clock is 2 min behind; set it, or check its time source`."""
    if state == "backwards":
        return "its time runs backwards; check its clock, and whether it sends old readings in reverse"
    if state == "zone":
        return f"its clock is {span(amount)} behind, whole hours: does it send local time as UTC?"
    if state == "was ahead":
        return f"its clock was {span(amount)} ahead, and is back; check its time source"
    return f"its clock is {span(amount)} {state}; set it, or check its time source"
