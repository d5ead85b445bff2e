"""[profiles.<name>.health] and [profiles.<name>.ranges]: from the tables of the file to what a profile holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vedette_agent.config.problems import did_you_mean
from vedette_agent.config.tables import validated
from vedette_agent.config.units import Number, Seconds, SecondsOrNone, describe
from vedette_models.profile import Channel, Health, Range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.config.problems import Findings, KeyPath

MAX_DEVICES = 100_000
_DEFAULTS = Health()


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class HealthTable(_Table):
    """[profiles.<name>.health]: the fields of `Health`, with the ranges in which they make sense."""

    silent: bool = _DEFAULTS.silent
    stuck: bool = _DEFAULTS.stuck
    impossible: bool = _DEFAULTS.impossible
    jump: bool = _DEFAULTS.jump
    clock: bool = _DEFAULTS.clock
    silent_after: SecondsOrNone = _DEFAULTS.silent_after
    clock_tolerance: Annotated[Seconds, Field(ge=1, le=86_400)] = _DEFAULTS.clock_tolerance
    cooldown: Seconds = _DEFAULTS.cooldown


class RangeTable(_Table):
    """[profiles.<name>.ranges.<device>.<channel>]: what this device's sensor can report."""

    low: Number | None = None
    high: Number | None = None


def build_health(path: KeyPath, table: Any, findings: Findings) -> Health | None:
    """The checks of one profile after reporting everything that is wrong with them."""
    fields = validated(HealthTable, path, table, findings)
    return None if fields is None else Health(**fields.model_dump())


def build_ranges(
    path: KeyPath, table: Any, channels: Sequence[Channel], findings: Findings
) -> Mapping[str, Mapping[str, Range]]:
    """Ranges by device and channel after reporting everything that is wrong with them."""
    if not isinstance(table, dict):
        findings.add(path, f"must be a table for each device, got {describe(table)}")
        return {}
    if len(table) > MAX_DEVICES:
        findings.add(path, f"at most {MAX_DEVICES} devices may have ranges of their own, got {len(table)}")
        return {}
    names = [channel.name for channel in channels]
    ranges: dict[str, dict[str, Range]] = {}
    for device, given in table.items():
        if not isinstance(given, dict):
            findings.add((*path, device), f"must be a table of channels, got {describe(given)}")
            continue
        for channel, fields in given.items():
            if channel not in names:
                hint = did_you_mean(channel, names) or f", it has: {', '.join(names)}"
                findings.add((*path, device, channel), f"the profile has no such channel{hint}")
                continue
            found = validated(RangeTable, (*path, device, channel), fields, findings)
            if found is None:
                continue
            if found.low is not None and found.high is not None and found.low >= found.high:
                problem = f"low = {found.low:g} is not below high = {found.high:g}"
                findings.add((*path, device, channel, "low"), problem)
            ranges.setdefault(device, {})[channel] = Range(found.low, found.high)
    return ranges
