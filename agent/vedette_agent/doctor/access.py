"""Access: what the agent must be allowed to write and read at each broker, and whether it is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vedette_agent.doctor.finding import Finding
from vedette_agent.doctor.samples import StreamSample
from vedette_models import messages, topics
from vedette_models.messages import Delivery

if TYPE_CHECKING:
    from vedette_agent.config import Broker, Config

NO_MATCHING_SUBSCRIBERS = 0x10
_NO_ARTIFACT = "0" * 64


class Write(NamedTuple):
    """A publication that nobody takes for anything, never retained."""

    topic: str
    payload: bytes


class Side(msgspec.Struct, frozen=True):
    """What somebody who is logged in at a broker saw there; travels from the running agent to the doctor."""

    connected: bool
    problem: str = ""
    reads_refused: tuple[str, ...] = ()
    """Filters whose subscription the broker has refused."""
    writes_refused: dict[str, str] = {}
    """Topic → what the broker said."""
    unheard: tuple[str, ...] = ()
    """Topics on which nobody listens, where the broker says so."""
    tells: bool = True
    """MQTT 5: the broker says when it refuses a publication."""
    echo: bool | None = None
    """Whether what was published came back to us; None: not tried."""


class Examined(msgspec.Struct, frozen=True):
    """What whoever is logged in saw at both brokers."""

    devices: Side
    hub: Side | None
    samples: tuple[StreamSample, ...] = ()
    listened: float = 0.0
    """Seconds."""
    last_receipt: float | None = None
    """When the hub last receipted something, seconds since 1970."""


def echo_topic(config: Config) -> str:
    """An alert topic that no device has: an empty message there clears an alert that does not exist."""
    return topics.device_alert(config.gateway.id, "vedette-doctor", "test")


def writes(config: Config, subject: str) -> list[Write]:
    """What to publish to find out; the hub ignores empty messages and deliveries without rows."""
    gateway = config.gateway.id
    if subject == "devices":
        return [Write(echo_topic(config), b"")]
    nothing = messages.to_bytes(Delivery(()))
    live = [Write(topics.gateway_up(gateway, topics.LIVE), b"")] if config.live.bytes_per_second else []
    return [
        Write(topics.gateway_up(gateway, "status"), b""),
        *(Write(topics.gateway_up(gateway, priority), nothing) for priority in messages.PRIORITIES),
        *live,
    ]


def reads(config: Config, subject: str) -> list[str]:
    """Filters that the agent subscribes to."""
    gateway = config.gateway.id
    if subject == "devices":
        return [topics.device_alerts(gateway), *(stream.pattern.filter for stream in config.streams)]
    down = [topics.gateway_down(gateway, "receipts")]
    if config.live.bytes_per_second:
        down.append(topics.gateway_down(gateway, topics.LIVE_REQUEST))
    if config.models.key_ring is not None:
        down += [topics.gateway_down(gateway, "desired"), topics.artifact(_NO_ARTIFACT)]
    return down


def echoed(side: Side, *, came_back: bool) -> Side:
    """The side with what became of the echo; without writing there can be none."""
    return side if side.writes_refused else msgspec.structs.replace(side, echo=came_back)


def judge(config: Config, subject: str, broker: Broker, side: Side, *, proven: bool) -> list[Finding]:
    """Whether it may write and read; `proven`: what it must read has been seen to arrive."""
    found = [
        _write(subject, broker, side),
        _read(config, subject, broker, side, proven=proven),
    ]
    alerts = topics.gateway_up(config.gateway.id, "alerts")
    if alerts in side.unheard:
        found.append(
            Finding(
                "listener",
                subject,
                "warning",
                f"nobody at this broker listens to {alerts}: is the hub there?",
                "Start it beside its broker: systemctl start vedette-hub; what waits here is kept and sent later.",
            )
        )
    return found


def _write(subject: str, broker: Broker, side: Side) -> Finding:
    who = broker.username or broker.client_id
    if side.writes_refused:
        topic, words = next(iter(side.writes_refused.items()))
        return Finding(
            "acl write",
            subject,
            "failed",
            f"{who} may not write {', '.join(side.writes_refused)} ({words}).",
            f"Allow it in the broker's acl_file: `user {who}`, `topic write {_allowed(topic)}`; then systemctl reload "
            "mosquitto",
        )
    if side.echo is False:
        return Finding(
            "acl write",
            subject,
            "failed",
            f"what {who} publishes below {topics.ROOT}/ does not come back: writing or reading it is not allowed.",
            f"Allow it in the broker's acl_file: `user {who}`, `topic readwrite {topics.ROOT}/{who}/#`",
        )
    if not side.tells and side.echo is None:
        return Finding(
            "acl write",
            subject,
            "not tested",
            "MQTT 3.1.1 does not say whether a publication is allowed.",
            f'Set protocol = "5" in [{subject}], or send a test the whole way: vedette-agent test-alert',
        )
    return Finding("acl write", subject, "ok", f"{who} may write what it has to.")


def _read(config: Config, subject: str, broker: Broker, side: Side, *, proven: bool) -> Finding:
    who = broker.username or broker.client_id
    if side.reads_refused:
        return Finding(
            "acl read",
            subject,
            "failed",
            f"{who} may not subscribe to {', '.join(side.reads_refused)}.",
            f"Allow it in the broker's acl_file: `user {who}`, `topic read {_allowed(side.reads_refused[0])}`; then "
            "systemctl reload mosquitto",
        )
    if proven:
        return Finding("acl read", subject, "ok", f"{who} hears what it has to.")
    way = "vedette-agent test-alert" if subject == "hub" else "vedette-agent doctor --listen 10"
    return Finding(
        "acl read",
        subject,
        "not tested",
        f"subscriptions of {who} are granted, but Mosquitto grants all and filters later, and nothing has come yet.",
        f"Make something arrive: {way}",
    )


def _allowed(topic: str) -> str:
    """The line of an access list that covers a topic and those beside it."""
    for part in ("/up/", "/down/"):
        if part in topic and topic.startswith(topics.HUB_ROOT):
            return f"{topic.partition(part)[0]}{part}#"
    if topic.startswith(f"{topics.ROOT}/v1/models/"):
        return topics.artifact("+")
    return f"{'/'.join(topic.split('/')[:2])}/#" if topics.is_own(topic) else topic
