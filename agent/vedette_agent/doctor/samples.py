"""Samples: what arrives on each topic filter, and what the decoder makes of it. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from vedette_agent.doctor.finding import Finding
from vedette_agent.reading.decoding.decoder import Decoder
from vedette_agent.reading.devices import DeviceTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.config import Config, Stream
    from vedette_agent.doctor.finding import Outcome
    from vedette_agent.mqtt.message import Message

SHOWN_CHANNELS = 6
_FIXES = {
    "not_json": "Make the device publish JSON: an object, an array of objects, or a bare number.",
    "wrong_type": 'Make the device send numbers, or say where they stand: [streams.channels] NAME = "path".',
    "non_finite": "Make the device leave out what it does not know, instead of NaN or infinity.",
    "too_deep": "Raise depth in [limits], or make the device nest less.",
    "too_large": "Raise payload_bytes in [limits], or make the device send less at once.",
    "too_many_readings": "Raise readings_per_message in [limits], or make the device send less at once.",
    "no_channel": "Name the place of each channel under [streams.channels], or the channel in [profiles.<name>].",
    "no_device": 'Say where the device is named: {device} in the topic, or device = "path.in.the.payload".',
    "no_time": 'Set time under [[streams]]: a path in the message, or "none" for the time of arrival.',
    "too_old": "Set the device's clock, or raise max_age in [time].",
    "bad_topic": "Rename the device: its name in the topic cannot be used.",
    "no_stream": "Correct topic under [[streams]].",
}


class StreamSample(msgspec.Struct, frozen=True):
    """What was heard of one stream; travels from the running agent to the doctor."""

    filter: str
    messages: int = 0
    retained: int = 0
    """Of these, sent because of a subscription and perhaps long ago."""
    readings: int = 0
    devices: tuple[str, ...] = ()
    profile: str = ""
    channels: dict[str, str] = {}
    """The last value of each channel that came, with its unit."""
    missing: tuple[str, ...] = ()
    refused: int = 0
    """Messages, or readings in them, that could not be used."""
    reason: str = ""
    """Of the first of these, a `dead_letter.Reason`; the same in words, and its topic."""
    detail: str = ""
    topic: str = ""


def summarise(config: Config, heard: Mapping[str, Sequence[Message]], now: float) -> tuple[StreamSample, ...]:
    """What each stream's messages hold, by the decoder that the agent uses."""
    return tuple(_summary(config, stream, heard.get(stream.pattern.filter, ()), now) for stream in config.streams)


def _summary(config: Config, stream: Stream, messages: Sequence[Message], now: float) -> StreamSample:
    tables = {name: DeviceTable(config.limits.max_devices) for name in config.profiles}
    decoded = Decoder(config.streams, config.profiles, config.time, config.limits, tables).decode(messages, now)
    profile = config.profiles[stream.profile]
    found = decoded.profiles.get(stream.profile)
    channels: dict[str, str] = {}
    devices: dict[str, None] = {}
    if found is not None:
        for row, values in zip(found.batch.device.tolist(), found.batch.values.tolist(), strict=True):
            devices[tables[stream.profile].name(row)] = None
            for channel, value in zip(profile.channels, values, strict=True):
                if not math.isnan(value):
                    channels[channel.name] = f"{value:g} {channel.unit}".rstrip()
    first = decoded.dead[0] if decoded.dead else None
    by_topic = "channel" in stream.pattern.levels
    return StreamSample(
        filter=stream.pattern.filter,
        messages=len(messages),
        retained=sum(message.retained for message in messages),
        readings=0 if found is None else len(found.batch),
        devices=tuple(devices)[:3],
        profile=stream.profile,
        channels=channels,
        missing=() if by_topic else tuple(name for name in profile.channel_names if name not in channels),
        refused=len(decoded.dead),
        reason=first.reason if first else "",
        detail=first.detail if first else "",
        topic=messages[first.message].topic if first else "",
    )


def judge(sample: StreamSample, listened: float, user: str) -> Finding:
    """Ok when a reading was understood, with every channel; `user` is who listened, by the broker's access list."""
    if not sample.messages:
        return _finding(
            sample,
            "warning",
            f"nothing arrived within {listened:.0f} s.",
            f"If devices publish there, let the user read it (`user {user}`, `topic read {sample.filter}` in the "
            f"broker's acl_file), or correct topic; try: mosquitto_sub -t '{sample.filter}' -v",
        )
    fix = _FIXES.get(sample.reason, "See: vedette-agent outbox")
    if not sample.readings:
        said = f"of {_count(sample.messages)} none was understood: {sample.topic}: {sample.detail}."
        if not sample.refused:
            said = f"{sample.messages} messages came, and all were empty."
        return _finding(sample, "failed", said, fix)
    shown = [f"{name} {value}" for name, value in sample.channels.items()]
    more = f" and {len(shown) - SHOWN_CHANNELS} more" if len(shown) > SHOWN_CHANNELS else ""
    old = ", all of them retained ones" if sample.retained == sample.messages else ""
    said = (
        f"{_count(sample.messages)}{old}: device {', '.join(sample.devices)}, profile {sample.profile}: "
        f"{', '.join(shown[:SHOWN_CHANNELS]) or 'no value'}{more}"
    )
    if sample.refused:
        return _finding(sample, "warning", f"{said}; {sample.refused} not understood: {sample.detail}.", fix)
    if sample.missing:
        name = sample.missing[0]
        said = f"{said}; no message has {', '.join(sample.missing)}."
        return _finding(
            sample, "warning", said, f'Say where it stands: [streams.channels] {name} = "path.in.the.message"'
        )
    return _finding(sample, "ok", f"{said}.")


def _count(messages: int) -> str:
    return f"{messages} message{'' if messages == 1 else 's'}"


def _finding(sample: StreamSample, outcome: Outcome, said: str, fix: str = "") -> Finding:
    return Finding("sample", sample.filter, outcome, said, fix)
