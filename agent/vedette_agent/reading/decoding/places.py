"""Where the values of a reading stand in the payloads of one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_agent.config.models import Stream

Path = tuple[str, ...]
"""Keys of nested objects, outermost first."""

BELOW = "values"
"""Object in which channels may stand instead of at the top."""
_ALONE = "value"
_TIMES = ("ts", "time", "timestamp")
_SEQUENCE = "seq"


class Places(NamedTuple):
    """Paths to look at, best first, for each value of a reading of C channels."""

    names: tuple[str, ...]
    """Of the C channels."""
    channels: dict[int, tuple[Path, ...]]
    """By column, for the channels that a message may carry; the first that is there counts, be it null."""
    times: tuple[Path, ...]
    """At most three; none: the time of arrival."""
    sequence: Path | None
    device: Path | None
    """None where the topic names the device."""

    alone: int | None
    """The only channel that a message can be about: a bare number is its value."""


def places(stream: Stream, names: Sequence[str], channel: int | None = None) -> Places:
    """Where to look in a stream's payloads; `channel` is the column that the topic names."""
    wanted = range(len(names)) if channel is None else (channel,)
    alone = wanted[0] if len(wanted) == 1 else None
    channels = {k: _channel(stream, names[k], channel is not None, alone is not None) for k in wanted}
    # What is a channel is not also the time.
    taken = {path[0] for paths in channels.values() for path in paths if len(path) == 1}
    times = _paths(stream.time, [name for name in _TIMES if name not in taken])
    sequence = _paths(stream.sequence, [name for name in (_SEQUENCE,) if name not in taken])
    device = None if stream.device is None else _path(stream.device)
    return Places(
        tuple(names),
        channels,
        times,
        sequence[0] if sequence else None,
        device,
        wanted[0] if len(wanted) == 1 else None,
    )


def written(path: Path) -> str:
    """A path as the configuration writes it."""
    return ".".join(path)


def _channel(stream: Stream, name: str, in_topic: bool, alone: bool) -> tuple[Path, ...]:
    if name in stream.channels:
        return (_path(stream.channels[name]),)
    if in_topic:
        return (_ALONE,), (BELOW, name), (name,)
    return ((name,), (BELOW, name), (_ALONE,)) if alone else ((name,), (BELOW, name))


def _paths(setting: str, automatic: Sequence[str]) -> tuple[Path, ...]:
    if setting == "auto":
        return tuple((name,) for name in automatic)
    return () if setting == "none" else (_path(setting),)


def _path(text: str) -> Path:
    return tuple(text.split("."))
