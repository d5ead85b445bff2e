"""Replay layout: which columns of a file are the time, the device and the channels of which profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_agent.config import Config
    from vedette_models.profile import Profile

TIME_COLUMNS = ("time", "timestamp", "ts", "datetime", "date")
DEVICE_COLUMN = "device"


class ReplayError(ValueError):
    """A file that cannot be replayed: says what was seen and what is needed."""


class Layout(NamedTuple):
    """Which columns of a file are what."""

    profile: Profile
    time: int
    device: int | None
    channels: tuple[int | None, ...]
    """Column of each channel of the profile; None: the file does not have it."""
    notes: tuple[str, ...]
    """What was assumed, for the person who looks at the result."""


def find_layout(
    config: Config, header: Sequence[str], profile: str | None, time_column: str | None, device_column: str | None
) -> Layout:
    """What the columns of a file are, for the profile named or the one whose channels fit best.

    Raises:
        ReplayError: nothing fits; says what was seen and what is needed.
    """
    if not header:
        raise ReplayError("the file is empty: a header with a time column and value columns is needed")
    if profile is not None and profile not in config.profiles:
        raise ReplayError(f"no profile {profile!r} in {config.source}; there are: {', '.join(config.profiles)}")
    time = _find_time(header, time_column)
    device = _find_column(header, device_column or DEVICE_COLUMN)
    if device_column is not None and device is None:
        raise ReplayError(f"no column {device_column!r}; the header has: {', '.join(header)}")
    candidates = [config.profiles[profile]] if profile else list(config.profiles.values())
    columns = {p.name: _find_channels(config, p, header) for p in candidates}
    best = max(candidates, key=lambda p: sum(c is not None for c in columns[p.name]))
    channels = columns[best.name]
    notes = []
    if all(c is None for c in channels):
        others = [i for i in range(len(header)) if i not in (time, device)]
        if len(candidates) == 1 and len(channels) == 1 and len(others) == 1:
            channels = (others[0],)
            notes.append(f'column "{header[others[0]]}" is taken for channel "{best.channels[0].name}"')
        else:
            wanted = "; ".join(f"{p.name}: {', '.join(p.channel_names)}" for p in candidates)
            raise ReplayError(
                f"no column is a channel; the header has: {', '.join(header)}; the profiles have: {wanted}"
            )
    missing = [name for name, c in zip(best.channel_names, channels, strict=True) if c is None]
    if missing:
        notes.append(f"not in the file: {', '.join(missing)}")
    return Layout(best, time, device, channels, tuple(notes))


def _find_time(header: Sequence[str], wanted: str | None) -> int:
    for name in (wanted,) if wanted else TIME_COLUMNS:
        if (found := _find_column(header, name)) is not None:
            return found
    if wanted:
        raise ReplayError(f"no column {wanted!r}; the header has: {', '.join(header)}")
    raise ReplayError(f"no time column ({', '.join(TIME_COLUMNS)}); the header has: {', '.join(header)}; name it")


def _find_channels(config: Config, profile: Profile, header: Sequence[str]) -> tuple[int | None, ...]:
    """Columns of a profile's channels, by their names or by the names that devices use for them."""
    aliases = {c: path for s in config.streams if s.profile == profile.name for c, path in s.channels.items()}
    found = []
    for name in profile.channel_names:
        column = _find_column(header, name)
        found.append(_find_column(header, aliases[name]) if column is None and name in aliases else column)
    return tuple(found)


def _find_column(header: Sequence[str], name: str) -> int | None:
    wanted = name.casefold()
    return next((i for i, column in enumerate(header) if column.casefold() == wanted), None)
