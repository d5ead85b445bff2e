"""A configuration for people and programs to read: the effective values, without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vedette_agent.config.problems import key_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vedette_agent.config.models import Broker, Config, Stream
    from vedette_models.profile import Channel

HIDDEN = "********"


def effective(config: Config) -> dict[str, Any]:
    """Every value in force, in the shape of the file; None where there is none, passwords as `********`."""
    return {
        "gateway": _plain(config.gateway.model_dump()),
        "devices": _broker(config.devices),
        "hub": _broker(config.hub) if config.hub else None,
        "time": {**config.time.model_dump(), "max_age": "none" if config.time.max_age is None else config.time.max_age},
        "limits": config.limits.model_dump(),
        "outbox": config.outbox.model_dump(),
        "models": _plain(config.models.model_dump()),
        "samples": config.samples.model_dump(),
        "live": config.live.model_dump(),
        "metrics": config.metrics.model_dump(),
        "streams": [stream.model_dump() for stream in config.streams],
        "profiles": {
            name: {
                "channels": {
                    channel.name: {"unit": channel.unit, "low": channel.low, "high": channel.high}
                    for channel in profile.channels
                },
                "decisions": msgspec.to_builtins(profile.decisions),
                "health": msgspec.to_builtins(profile.health),
                "ranges": msgspec.to_builtins(profile.ranges),
            }
            for name, profile in config.profiles.items()
        },
    }


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested tables of text, numbers, switches and lists as a TOML document; None is left out."""
    return "\n".join(_table_lines(values, ())).lstrip("\n") + "\n"


def summary(config: Config) -> list[str]:
    """What was understood, one line each: gateway, brokers, streams down to their channels."""
    gateway, hub = config.gateway, config.hub
    return [
        f"gateway {gateway.id}, state in {gateway.state_dir}",
        f"devices {_broker_text(config.devices)}",
        f"hub     {_broker_text(hub) if hub else 'none: works alone, alerts go to the local topics'}",
        *(f"stream  {_stream_text(stream, config)}" for stream in config.streams),
    ]


def _broker(broker: Broker) -> dict[str, Any]:
    return _plain({**broker.model_dump(), "password": None if broker.password is None else HIDDEN})


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None and not _is_tables(value):
            yield f"{key_text((key,))} = {_value(value)}"
    for key, value in table.items():
        inner = (*path, key)
        if isinstance(value, dict) and value:
            if any(not _is_tables(item) for item in value.values()):
                yield f"\n[{key_text(inner)}]"
            yield from _table_lines(value, inner)
        elif isinstance(value, list) and _is_tables(value):
            for item in value:
                yield f"\n[[{key_text(inner)}]]"
                yield from _table_lines(item, inner)


def _is_tables(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _value(value: Any) -> str:
    # What JSON writes for text, numbers, switches and lists of them is TOML too, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _broker_text(broker: Broker) -> str:
    user = f"user {broker.username}" if broker.username else "no user"
    return f"{broker.url} as client {broker.client_id}, {user}, MQTT {broker.protocol}"


def _stream_text(stream: Stream, config: Config) -> str:
    channels = [
        _channel_text(channel) + (f" from {stream.channels[channel.name]}" if channel.name in stream.channels else "")
        for channel in config.profiles[stream.profile].channels
    ]
    device = "from the topic" if stream.device is None else f"from {stream.device}"
    return (
        f"{stream.topic} → subscribes to {stream.pattern.filter} → device {device} → profile {stream.profile} → "
        f"{', '.join(channels)}"
    )


def _channel_text(channel: Channel) -> str:
    unit = f" {channel.unit}" if channel.unit else ""
    match channel.low, channel.high:
        case None, None:
            return f"{channel.name} [{channel.unit}]" if unit else channel.name
        case low, None:
            return f"{channel.name} [from {low:g}{unit}]"
        case None, high:
            return f"{channel.name} [to {high:g}{unit}]"
        case low, high:
            return f"{channel.name} [{low:g} to {high:g}{unit}]"
    raise AssertionError("every pair of limits is one of the four")
