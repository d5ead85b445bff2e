"""[profiles.<name>]: from the tables of the file to `vedette_models.profile.Profile`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vedette_agent.config.health import build_health, build_ranges
from vedette_agent.config.problems import unknown_key
from vedette_agent.config.tables import validated
from vedette_agent.config.units import Number, Seconds, Whole, describe, is_name
from vedette_models.profile import Channel, Decisions, Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette_agent.config.problems import Findings, KeyPath

MAX_CHANNELS = 256
MAX_ALERTS_PER_WEEK = 1_000
_KEYS = ("channels", "decisions", "health", "ranges")
_DEFAULTS = Decisions()
_NAME = "the name of a {what} has 1 to 64 printable characters, no space at either end"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ChannelTable(_Table):
    """[profiles.<name>.channels.<channel>]: the fields of `Channel` but its name."""

    unit: str = ""
    low: Number | None = None
    high: Number | None = None


class DecisionsTable(_Table):
    """[profiles.<name>.decisions]: the fields of `Decisions`, with the ranges in which they make sense."""

    alerts_per_week: Annotated[Number, Field(gt=0, le=MAX_ALERTS_PER_WEEK)] = _DEFAULTS.alerts_per_week
    threshold: Annotated[Number, Field(gt=0)] | None = _DEFAULTS.threshold
    medium: Annotated[Number, Field(ge=1)] = _DEFAULTS.medium
    high: Annotated[Number, Field(ge=1)] = _DEFAULTS.high
    critical: Annotated[Number, Field(ge=1)] = _DEFAULTS.critical
    hysteresis: Annotated[Number, Field(gt=0, le=1)] = _DEFAULTS.hysteresis
    clear_after: Annotated[Whole, Field(ge=1, le=1_000_000)] = _DEFAULTS.clear_after
    cooldown: Seconds = _DEFAULTS.cooldown
    burst: Annotated[Whole, Field(ge=1, le=1_000_000)] = _DEFAULTS.burst
    per_day: Annotated[Number, Field(gt=0)] = _DEFAULTS.per_day


def channel_names(table: object) -> list[str] | None:
    """Names of the channels of a profile's table in the order of the file; None where it says nothing usable."""
    channels = table.get("channels") if isinstance(table, dict) else None
    if isinstance(channels, dict):
        return list(channels)
    if isinstance(channels, list):
        return [channel for channel in channels if isinstance(channel, str)]
    return None


def build_profile(name: str, table: Any, findings: Findings) -> Profile | None:
    """The profile of one table after reporting everything that is wrong with it; None if nothing usable is left."""
    path: KeyPath = ("profiles", name)
    if not is_name(name):
        findings.add(path, _NAME.format(what="profile"))
        return None
    if not isinstance(table, dict):
        findings.add(path, f"must be a table [profiles.{name}], got {describe(table)}")
        return None
    for key in table:
        if key not in _KEYS:
            findings.add((*path, key), unknown_key(key, _KEYS))
    channels = _channels((*path, "channels"), table, findings)
    decisions = _decisions((*path, "decisions"), table.get("decisions", {}), findings)
    health = build_health((*path, "health"), table.get("health", {}), findings)
    if channels is None or decisions is None or health is None:
        return None
    ranges = build_ranges((*path, "ranges"), table.get("ranges", {}), channels, findings)
    return Profile(name, channels, decisions, health, {device: dict(own) for device, own in ranges.items()})


def _channels(path: KeyPath, table: Mapping[str, Any], findings: Findings) -> tuple[Channel, ...] | None:
    given = table.get("channels")
    if given is None:
        findings.add(path, 'missing, add for example channels = ["vibration", "temperature"]')
        return None
    if isinstance(given, list):
        tables: dict[str, Any] = {}
        for index, name in enumerate(given):
            if not isinstance(name, str):
                findings.add((*path, index), f"must be the name of a channel in quotes, got {describe(name)}")
            elif not is_name(name):
                findings.add((*path, index), _NAME.format(what="channel"))
            elif name in tables:
                findings.add((*path, index), f'channel "{name}" stands there twice, remove one')
            else:
                tables[name] = {}
    elif isinstance(given, dict):
        tables = given
    else:
        findings.add(path, f"must be a list of names, or a table for each channel, got {describe(given)}")
        return None
    if not 1 <= len(tables) <= MAX_CHANNELS:
        findings.add(path, f"a profile has 1 to {MAX_CHANNELS} channels, got {len(tables)}")
    channels = [_channel((*path, name), name, fields, findings) for name, fields in tables.items()]
    return tuple(channel for channel in channels if channel is not None)


def _channel(path: KeyPath, name: str, table: Any, findings: Findings) -> Channel | None:
    if not is_name(name):
        findings.add(path, _NAME.format(what="channel"))
    fields = validated(ChannelTable, path, table, findings)
    if fields is None:
        return None
    if fields.low is not None and fields.high is not None and fields.low >= fields.high:
        findings.add(
            (*path, "low"),
            f"low = {fields.low:g} is not below high = {fields.high:g}: they are the smallest and largest value the "
            "sensor can report",
        )
    return Channel(name, **fields.model_dump())


def _decisions(path: KeyPath, table: Any, findings: Findings) -> Decisions | None:
    fields = validated(DecisionsTable, path, table, findings)
    if fields is None:
        return None
    if fields.threshold is not None and "alerts_per_week" in table:
        findings.warn((*path, "alerts_per_week"), "does nothing beside a fixed threshold, remove one of both")
    levels = ("medium", "high", "critical")
    for lower, upper in pairwise(levels):
        below, above = getattr(fields, lower), getattr(fields, upper)
        if below >= above:
            key = upper if upper in table else lower
            findings.add((*path, key), f"{lower} = {below:g} is not below {upper} = {above:g}: severities must rise")
    return Decisions(**fields.model_dump())
