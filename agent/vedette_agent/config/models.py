"""The configuration as the rest of the agent sees it: frozen, typed, complete."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from vedette_agent.config.problems import Problem, choices, did_you_mean
from vedette_agent.config.units import (
    Bytes,
    FilePath,
    Number,
    PayloadPath,
    Seconds,
    SecondsOrNone,
    Whole,
    WholeSeconds,
    describe,
    printable,
)
from vedette_models.profile import Profile
from vedette_models.topics import ROOT, TopicPattern

DAY = 86_400
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_OTHER_SCHEMES = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts", "http": "ws", "https": "wss"}
_WEBSOCKET_PATH = "/mqtt"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


class Gateway(_Table):
    """[gateway]: who this agent is, and how it speaks to those who look after it."""

    id: Annotated[str, printable(64)]
    """Name of the gateway, unique at the hub."""
    state_dir: FilePath = Path("/var/lib/vedette-agent")
    """Folder for the outbox and the checkpoints."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    heartbeat: Annotated[Seconds, Field(gt=0, le=DAY)] = 30.0
    """Seconds between two retained statuses."""
    stalled_after: Annotated[Seconds, Field(gt=0)] = 300.0
    """Seconds without any message until the status says `stalled`."""
    checkpoint_every: Annotated[Seconds, Field(gt=0)] = 900.0
    """Seconds between two full checkpoints of the detectors' state."""


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be text such as "mqtt://localhost:1883", got {describe(value)}')  # noqa: TRY004 (pydantic collects ValueError)
    scheme, separator, _ = value.partition("://")
    if not separator or scheme not in _PORTS:
        meant = _OTHER_SCHEMES.get(scheme.lower()) if separator else None
        hint = f', did you mean "{meant}://"?' if meant else did_you_mean(scheme if separator else "", _PORTS)
        raise ValueError(f"must begin with {choices(f'{name}://' for name in _PORTS)}{hint}")
    if not value.isprintable() or any(character.isspace() for character in value):
        raise ValueError("must not contain spaces or control characters")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is no address ({error}): host and port are written as mqtt://localhost:1883") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain user or password, use the keys username and password_file")
    if not parts.hostname:
        raise ValueError("has no host: host and port are written as mqtt://localhost:1883")
    if port == 0:
        raise ValueError("port 0 cannot be connected to, use 1 to 65535")
    if parts.query or parts.fragment:
        raise ValueError('must not contain "?" or "#"')
    if parts.path not in ("", "/") and not scheme.startswith("ws"):
        raise ValueError(f'"{parts.path}": a path is for ws:// and wss:// only')
    return str(value)


class Broker(_Table):
    """[devices] or [hub]: one MQTT broker and who we are there."""

    url: Annotated[str, BeforeValidator(_url)]
    """`mqtt://host:port`, `mqtts://`, `ws://host:port/path` or `wss://`."""
    username: Annotated[str, printable(256)] | None = None
    password: SecretStr | None = None
    """The password itself, wherever it was read from."""
    password_file: FilePath | None = None
    password_credential: Annotated[str, printable(128)] | None = None
    """Name of a systemd credential (`LoadCredential=`)."""
    client_id: Annotated[str, printable(256)]
    """From a file: the username if given, else `vedette-<gateway id>` for [devices] and the gateway id for [hub]."""
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive: Annotated[WholeSeconds, Field(ge=5, le=65_535)] = 30
    connect_timeout: Annotated[Seconds, Field(gt=0, le=600)] = 10.0
    session_expiry: Annotated[WholeSeconds, Field(ge=0, le=0xFFFF_FFFF)] = 7 * DAY
    """Seconds for which the broker keeps our session while we are away; 4,294,967,295 is for ever."""
    receive_maximum: Annotated[Whole, Field(ge=1, le=65_535)] = 512
    """QoS 1 messages the broker may send before we acknowledge the first."""

    @property
    def scheme(self) -> str:
        """`mqtt`, `mqtts`, `ws` or `wss`."""
        return self.url.partition("://")[0]

    @property
    def host(self) -> str:
        """Host name or address, IPv6 without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port: 1883, 8883, 80 or 443 by scheme where the URL names none."""
        return urlsplit(self.url).port or _PORTS[self.scheme]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket_path(self) -> str | None:
        """Path of the WebSocket, None for plain MQTT."""
        if not self.scheme.startswith("ws"):
            return None
        path = urlsplit(self.url).path
        return path if path not in ("", "/") else _WEBSOCKET_PATH


class TimePolicy(_Table):
    """[time]: which times of readings are believed."""

    max_age: SecondsOrNone = 7.0 * DAY
    """Readings older than so many seconds are dead letters; None: any age, for history."""
    max_ahead: Seconds = 300.0
    """A device's clock may run ahead by so many seconds; beyond, the time of arrival stands in."""
    max_late: SecondsOrNone = 3_600.0
    """A reading may be so many seconds older than the newest of its device; beyond, it is a dead letter. None: any."""


class Limits(_Table):
    """[limits]: what bounds memory and work."""

    max_devices: Annotated[Whole, Field(ge=1, le=1_000_000)] = 10_000
    """Devices per profile."""
    payload_bytes: Annotated[Bytes, Field(ge=16, le=16 * 2**20)] = 65_536
    depth: Annotated[Whole, Field(ge=1, le=100)] = 16
    """Nesting of a JSON payload."""
    readings_per_message: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1_000
    batch: Annotated[Whole, Field(ge=1, le=65_535)] = 512
    """Messages scored together at most."""
    topic_length: Annotated[Whole, Field(ge=16, le=65_535)] = 1_024
    """Characters of a topic, at most."""
    dead_letters: Annotated[Whole, Field(ge=0, le=1_000_000)] = 1_000
    """Samples of unusable messages that are kept."""
    device_rate: Annotated[Number, Field(ge=0, le=1_000_000)] = 20.0
    """Readings per second that a device may send for long; 0: as many as it likes."""
    device_burst: Annotated[Whole, Field(ge=1, le=100_000_000)] = 1_000
    """Readings that it may send at once."""
    quarantine_after: Annotated[Whole, Field(ge=0, le=1_000_000)] = 100
    """More unusable messages than usable ones by which a device ends in quarantine; 0: never."""
    quarantine_first: Annotated[Seconds, Field(ge=1, le=DAY)] = 60.0
    """Seconds of a first quarantine; each further one lasts twice as long."""
    quarantine_longest: Annotated[Seconds, Field(ge=1, le=30 * DAY)] = 6 * 3_600.0


class OutboxLimits(_Table):
    """[outbox]: what waits for the hub."""

    max_rows: Annotated[Whole, Field(ge=1, le=100_000_000)] = 100_000
    max_bytes: Annotated[Bytes, Field(ge=64 * 2**10, le=2**40)] = 64 * 2**20
    history_rows: Annotated[Whole, Field(ge=0, le=10_000_000)] = 1_000
    """Delivered alerts that are kept for people to look at."""
    preallocate: bool = True
    """Take the room for all of this on the disk beforehand, so that a disk that others fill stops no alert."""


class Models(_Table):
    """[models]: models that the hub has trained and signed."""

    key_ring: FilePath | None = None
    """Public keys of the hub, one a line; without it no model from the hub is run."""
    fetch_timeout: Annotated[Seconds, Field(gt=0, le=DAY)] = 30.0
    """Seconds to wait for a model's artefact until the hub is told that it is missing."""
    probation: SecondsOrNone = 3_600.0
    """Seconds for which a new model has to prove itself beside the one before it; None: it is believed at once."""
    probation_readings: Annotated[Whole, Field(ge=0, le=100_000)] = 2_000
    """The newest readings kept per profile, which a new model scores before it runs."""
    probation_cost: Annotated[Seconds, Field(ge=1e-6, le=60)] = 0.005
    """Seconds of processor time that a model on probation may take to score a reading, on average."""


class Samples(_Table):
    """[samples]: readings for the hub to train with, sent when nothing else waits."""

    every: Annotated[Seconds, Field(gt=0)] = 600.0
    """Seconds between two samples."""
    bytes_per_day: Annotated[Bytes, Field(ge=0)] = 4 * 2**20
    """What they may cost on the way to the hub; 0 sends none."""
    segment: Annotated[Whole, Field(ge=2, le=1_000)] = 32
    """Consecutive readings of a device that are kept together."""
    segments: Annotated[Whole, Field(ge=1, le=10_000)] = 64
    """Segments kept per profile until they are sent, chosen at random among all."""


class LiveSettings(_Table):
    """[live]: readings for people who look at a device, while they do."""

    bytes_per_second: Annotated[Bytes, Field(ge=0, le=2**20)] = 16 * 2**10
    """What they may cost on the way to the hub; 0 sends none."""
    devices: Annotated[Whole, Field(ge=1, le=64)] = 4
    """Devices that are looked at at the same time."""


class MetricsSettings(_Table):
    """[metrics]: what the agent counts, for programs on this machine."""

    port: Annotated[Whole, Field(ge=0, le=65_535)] = 0
    """Of 127.0.0.1; 0: none."""


def _topic(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be text such as "plant/{{device}}/telemetry", got {describe(value)}')  # noqa: TRY004 (pydantic collects ValueError)
    pattern = TopicPattern.parse(value)
    first = value.split("/")[0]
    if first == "$share":
        raise ValueError("shared subscriptions scatter one device over several agents, use the topic without $share/…/")
    if first == ROOT:
        raise ValueError(f"topics below {ROOT}/ are Vedette's own and are never read as telemetry")
    return str(value) if pattern else ""


class Stream(_Table):
    """[[streams]]: where readings of one profile arrive, and where in topic and payload their parts stand."""

    topic: Annotated[str, BeforeValidator(_topic)]
    """Topic filter whose levels may be `{device}` and `{channel}`."""
    profile: str
    device: PayloadPath | None = None
    """Where the payload names the device, when the topic does not."""
    time: PayloadPath = "auto"
    """`auto`: the first of ts, time, timestamp; `none`: time of arrival; else a path."""
    sequence: PayloadPath = "auto"
    """`auto`: seq if there; `none`; else a path."""
    channels: dict[str, PayloadPath] = {}
    """Channel → path, where the payload calls it otherwise."""

    @cached_property
    def pattern(self) -> TopicPattern:
        """The topic, parsed."""
        return TopicPattern.parse(self.topic)


class Config(_Table):
    """Everything the operator decided. Made by `load`, which checks what no table can check alone."""

    gateway: Gateway
    devices: Broker
    hub: Broker | None = None
    time: TimePolicy = TimePolicy()
    limits: Limits = Limits()
    outbox: OutboxLimits = OutboxLimits()
    models: Models = Models()
    samples: Samples = Samples()
    live: LiveSettings = LiveSettings()
    metrics: MetricsSettings = MetricsSettings()
    streams: Annotated[tuple[Stream, ...], Field(min_length=1)]
    profiles: dict[str, Profile]
    source: Path
    """The file it came from."""
    warnings: tuple[Problem, ...] = ()
    """What works, and the operator should know."""
