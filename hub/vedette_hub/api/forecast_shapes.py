"""What API requests and answers about forecasts look like. Times are as in `shapes`."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LENGTH = re.compile(r"^(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)$")
SHORTEST, LONGEST = 60.0, 14 * 86_400.0
MOST_LIMITS = 16


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _LENGTH.match(value.strip())
    if found is None:
        raise ValueError("write seconds, or a number with s, m, h or d behind it, such as 24h")
    return float(found[1]) * _UNITS[found[2] or "s"]


class ForecastQuery(BaseModel):
    """How far ahead, and which limits matter."""

    model_config = ConfigDict(extra="forbid")

    horizon: Annotated[float, BeforeValidator(_seconds), Field(ge=SHORTEST, le=LONGEST)] = Field(
        86_400.0, description="Seconds, or such as 90m, 24h, 7d; from one minute to 14 days."
    )
    limit: str = Field(
        "",
        max_length=4_000,
        description="`channel:value`, several with commas between: when will it be crossed? Without it, those that the "
        "profile has on the device's gateway.",
    )
    gateway: str = Field("", description="Needed where several gateways have a device of this name.")
    profile: str = Field("", description="Needed where a device has samples of several profiles.")

    def limits(self) -> list[tuple[str, float]]:
        """(channel, value) of each limit.

        Raises:
            ValueError: something else; says what.
        """
        found = []
        for part in filter(None, self.limit.split(",")):
            channel, colon, number = part.rpartition(":")
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            if not colon or not channel or not math.isfinite(value):
                raise ValueError(f"{part!r}: write channel:value, such as temperature:80")
            found.append((channel, value))
        if len(found) > MOST_LIMITS:
            raise ValueError(f"{len(found)} limits, at most {MOST_LIMITS}")
        return found


class ChannelForecastOut(BaseModel):
    """What is expected of one channel."""

    channel: str
    last: float | None
    """Time of its newest reading; null: it has not reported, or could not be learnt, and nothing is expected of it."""
    times: list[float]
    expected: list[float]
    low: list[float]
    """The band in which normal readings are, as on the gateway."""
    high: list[float]


class LimitOut(BaseModel):
    """When a limit is crossed."""

    channel: str
    limit: float
    side: str
    """`above` or `below` what is expected now."""
    expected: float | None
    """When the expected value crosses it; null: not within the horizon."""
    expected_at: str | None
    expected_in: float | None
    """Seconds from the newest reading until then."""
    band: float | None
    """When the band's edge crosses it: from then on a reading beyond it would be normal."""
    band_at: str | None
    band_in: float | None


class ForecastOut(BaseModel):
    """What is expected of a device. The rhythm of day and week is followed in UTC, not in daylight saving time."""

    gateway: str
    device: str
    profile: str
    version: int
    """Of the profile's model."""
    since: float
    """Time of the newest reading that is known here."""
    since_at: str | None
    horizon: float
    step: float
    readings: int
    """That the device's own level, trend, scatter and size of the season come from."""
    channels: list[ChannelForecastOut]
    limits_of: str
    """`request`, or `profile`: as the device's gateway has them, none where it has none or has not said."""
    limits: list[LimitOut]
