"""Routes: which stream a topic belongs to, and what its levels say."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.reading.decoding.careful import check_device
from vedette_agent.reading.decoding.document import DecodeError, shown
from vedette_agent.reading.decoding.payload import PayloadReader
from vedette_agent.reading.decoding.places import places
from vedette_models import topics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.config.models import Limits, Stream
    from vedette_models.profile import Profile

REMEMBERED = 4
"""Topics per device at most; past it all are forgotten and resolved anew, a few microseconds each."""
_LONGEST_REMEMBERED = 256
"""Characters of a topic worth remembering, so that what is remembered is bounded in bytes, too."""


class Route(NamedTuple):
    """What a topic means."""

    reader: PayloadReader
    profile: str
    device: str | None
    """None where the payload names it."""


class Routes(dict[str, Route]):
    """Topic → route, resolved when first asked for: the first stream whose pattern matches, in the order of the file.

    Asking for a topic that no stream wants, or whose levels are no device or channel, raises `DecodeError`.
    """

    def __init__(self, streams: Sequence[Stream], profiles: Mapping[str, Profile], limits: Limits) -> None:
        super().__init__()
        self._streams = tuple(streams)
        self._names = [profiles[stream.profile].channel_names for stream in streams]
        self._readers = [
            _readers(stream, names, limits) for stream, names in zip(self._streams, self._names, strict=True)
        ]
        self._remembered = REMEMBERED * limits.max_devices
        self._longest = limits.topic_length

    def __missing__(self, topic: str) -> Route:
        route = self._resolve(topic)
        if len(topic) <= _LONGEST_REMEMBERED:
            if len(self) >= self._remembered:
                self.clear()
            self[topic] = route
        return route

    def _resolve(self, topic: str) -> Route:
        if len(topic) > self._longest:  # before it is taken apart: 65,535 bytes may be 32,768 levels
            raise DecodeError("bad_topic", f"{shown(topic)} is longer than limits.topic_length = {self._longest}")
        if topics.is_own(topic):
            raise DecodeError("bad_topic", f"{shown(topic)} is Vedette's own and never telemetry")
        for i, stream in enumerate(self._streams):
            if topics.matches(stream.pattern.filter, topic):
                device = stream.pattern.level("device", topic)
                if device is not None:
                    check_device(device, f"in the topic {shown(topic)}")
                channel = stream.pattern.level("channel", topic)
                return Route(self._reader(i, channel, topic), stream.profile, device)
        wanted = ", ".join(shown(stream.pattern.filter) for stream in self._streams[:3])
        more = ", …" if len(self._streams) > 3 else ""
        raise DecodeError("no_stream", f"{shown(topic)} matches no [[streams]] topic ({wanted}{more})")

    def _reader(self, i: int, channel: str | None, topic: str) -> PayloadReader:
        names, stream = self._names[i], self._streams[i]
        if channel is not None and channel not in names:
            raise DecodeError(
                "no_channel",
                f"{shown(channel)} in the topic {shown(topic)} is no channel of the profile "
                f"{stream.profile}, which has {', '.join(names[:8])}{', …' if len(names) > 8 else ''}",
            )
        return self._readers[i][channel]


def _readers(stream: Stream, names: Sequence[str], limits: Limits) -> dict[str | None, PayloadReader]:
    """By the channel that the topic names; None where it names none."""
    if "channel" in stream.pattern.levels:
        return {name: PayloadReader(places(stream, names, k), limits) for k, name in enumerate(names)}
    return {None: PayloadReader(places(stream, names), limits)}
