"""What no table can check alone: streams against profiles, and one broker against the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vedette_agent.config.problems import did_you_mean
from vedette_agent.config.profiles import channel_names
from vedette_models.topics import TopicPattern, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.config.models import Broker, Models
    from vedette_agent.config.problems import Findings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check_streams(streams: Sequence[Any], profiles: Mapping[str, Any], findings: Findings) -> None:
    """Report streams that name what is not there, or do not say which device a reading belongs to.

    Works on the tables as they stand in the file, so that a fault in one of them hides nothing in another.
    """
    filters: dict[str, int] = {}
    used = set()
    for index, stream in enumerate(streams):
        if not isinstance(stream, dict):
            continue
        path = ("streams", index)
        profile = stream.get("profile")
        if isinstance(profile, str):
            used.add(profile)
            if profile in profiles:
                _check_channels(index, stream, profile, profiles[profile], findings)
            elif profiles:
                hint = did_you_mean(profile, profiles) or f", there are: {', '.join(profiles)}"
                findings.add((*path, "profile"), f'unknown profile "{profile}"{hint}')
            else:
                findings.add(
                    (*path, "profile"),
                    f'unknown profile "{profile}": add [profiles.{profile}] with channels = ["…"]',
                )
        pattern = _pattern(stream.get("topic"))
        if pattern is None:
            continue
        in_topic, in_payload = "device" in pattern.levels, "device" in stream
        if in_topic and in_payload:
            findings.add((*path, "device"), "the topic names the {device} already: remove one of the two")
        elif not in_topic and not in_payload:
            findings.add(
                (*path, "topic"),
                'nothing says which device it is: put {device} into the topic, or add device = "path.in.the.payload"',
            )
        if pattern.filter in filters:
            first = filters[pattern.filter]
            findings.add(
                (*path, "topic"),
                f"subscribes to {pattern.filter} as streams[{first}] in line {findings.line(('streams', first))} does: "
                "only one stream can read a topic, remove one",
            )
        filters.setdefault(pattern.filter, index)
    for name in profiles:
        if name not in used:
            findings.warn(("profiles", name), "no stream uses this profile")


def check_key_ring(models: Models | None, hub: Broker | None, findings: Findings) -> None:
    """Report a key ring that cannot be used, and one that nobody's models need."""
    if models is None or models.key_ring is None:
        return
    from vedette_models.keys import KeyFileError, parse_key_ring  # costs memory that a gateway without models keeps

    path = ("models", "key_ring")
    try:
        parse_key_ring(models.key_ring.read_text())
    except (OSError, UnicodeDecodeError) as error:
        findings.add(
            path, f"{models.key_ring}: {getattr(error, 'strerror', None) or error}; vedette-hub enroll prints it"
        )
    except KeyFileError as error:
        findings.add(path, f"{models.key_ring}: {error}; vedette-hub enroll prints it")
    if hub is None:
        findings.warn(path, "there is no [hub] that models could come from")


def check_brokers(devices: Broker | None, hub: Broker | None, gateway: str | None, findings: Findings) -> None:
    """Report brokers on which our two connections would get in each other's way, and passwords sent in the clear."""
    for name, broker in (("devices", devices), ("hub", hub)):
        if broker and broker.password is not None and not broker.tls and broker.host not in _LOOPBACK:
            secure = "mqtts" if broker.scheme == "mqtt" else "wss"
            findings.warn(
                (name, "url"), f"the password crosses the network unencrypted: use {secure}:// where possible"
            )
    if hub and hub.username and gateway and hub.username != encode(gateway):
        findings.warn(
            ("hub", "username"),
            "the shipped hub.acl lets a user write below vedette/v1/gw/<user>/ only, and this gateway writes below "
            f'vedette/v1/gw/{encode(gateway)}/: on such a broker the username must be "{encode(gateway)}"',
        )
    if devices is None or hub is None or _host(devices) != _host(hub):
        return
    if devices.client_id != hub.client_id:
        if devices.port == hub.port and devices.username and devices.username == hub.username:
            findings.warn(
                ("hub", "username"),
                "is that of [devices] on the same broker: with use_username_as_clientid, as in the shipped hub.conf, "
                "the two connections evict each other; use a user for each",
            )
        return
    key = "client_id" if findings.stands(("hub", "client_id")) else "username" if hub.username else "url"
    if devices.port == hub.port:
        findings.add(
            ("hub", key),
            f'[devices] and [hub] are the same broker under the same client id "{hub.client_id}", where the two '
            "connections evict each other for ever: use a user for each, or set a client_id in each",
        )
    else:
        findings.warn(
            ("hub", key),
            f'has the client id "{hub.client_id}" of [devices] on the same host: if the two ports belong to one '
            "broker, the connections evict each other for ever; use a user for each, or set a client_id in each",
        )


def _check_channels(index: int, stream: Mapping[str, Any], profile: str, table: Any, findings: Findings) -> None:
    known = channel_names(table)
    mapped = stream.get("channels")
    if known is None or not isinstance(mapped, dict):
        return
    for channel in mapped:
        if channel not in known:
            hint = did_you_mean(channel, known) or f", it has: {', '.join(known)}"
            findings.add(("streams", index, "channels", channel), f'profile "{profile}" has no such channel{hint}')


def _pattern(topic: object) -> TopicPattern | None:
    if not isinstance(topic, str):
        return None
    try:
        return TopicPattern.parse(topic)
    except ValueError:
        return None


def _host(broker: Broker) -> str:
    return "localhost" if broker.host in _LOOPBACK else broker.host
