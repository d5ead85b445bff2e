"""What arrives from gateways, taken apart: one message becomes statuses, rows and what could not be parsed. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from vedette_hub.store.schema import NAME_LENGTH
from vedette_models import topics
from vedette_models.messages import (
    PRIORITIES,
    Alert,
    Delivery,
    MessageError,
    Priority,
    Report,
    Row,
    SampleBatch,
    Segment,
    Status,
    from_bytes,
)

MAX_NUMBER = 2**53
"""Largest revision, sequence number or count: what every JSON reader and database can hold."""

MAX_BODY = 131_072
"""Most bytes of an alert or a report: what the history keeps of each."""

MAX_LOSSES, MAX_DAMAGES, MAX_EPOCHS, MAX_ACTIVATIONS = 200, 20, 16, 200
"""Most that one report says of each; epochs: of each damage. Agents say half as many at most."""

MAX_COALESCED = 1_000
"""Most ranges of rows that one alert stands for."""

MAX_CHANNELS = 512
"""Most channels of a batch of samples."""

MAX_TIME = 1e12
"""Times of samples lie within ± so many seconds of 1970: what training computes with."""

IGNORED_SUBJECTS = frozenset({topics.LIVE})
"""Streams for somebody who is watching: they are passed on (`live_gateway`), and not worth keeping."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHA256 = re.compile(r"^(?:[0-9a-f]{64})?\Z")


Content = Alert | Report | SampleBatch
"""What a row of an outbox holds, by its class."""


@dataclass(frozen=True)
class StatusArrival:
    """A gateway said how it is."""

    topic: str
    gateway: str
    status: Status
    raw: bytes
    retained: bool
    """The broker's copy from before we subscribed: no sign of life."""


@dataclass(frozen=True)
class RowArrival:
    """One row of a gateway's outbox; without `content` it could not be parsed, and `error` says why."""

    topic: str
    gateway: str
    priority: Priority
    epoch: str
    sequence: int
    raw: bytes
    content: Content | None
    error: str = ""


@dataclass(frozen=True)
class UnparsedArrival:
    """A message that is nothing we know; it has no row number, so that nothing can be receipted."""

    topic: str
    gateway: str | None
    raw: bytes
    error: str


Arrival = StatusArrival | RowArrival | UnparsedArrival


def parse(topic: str, payload: bytes, *, retained: bool = False) -> list[Arrival]:
    """The arrivals in one message on `topics.UP_ALL`; never raises for what a gateway sent."""
    address = topics.parse_up(topic)
    if address is None:
        return [UnparsedArrival(topic, None, payload, "not a topic of a gateway")]
    gateway, subject = address
    # Another spelling of the same name would let one gateway speak for another past the broker's access list.
    if topics.gateway_up(gateway, subject) != topic or _name_fault("gateway", gateway, path=True):
        return [UnparsedArrival(topic, None, payload, "gateway: the name in the topic is not encoded as it should be")]
    try:
        if subject == "status":
            return _status(topic, gateway, payload, retained=retained)
        for priority in PRIORITIES:
            if subject == priority:
                return _rows(topic, gateway, priority, payload)
    except MessageError as error:
        return [UnparsedArrival(topic, gateway, payload, str(error))]
    if subject in IGNORED_SUBJECTS:
        return []
    return [UnparsedArrival(topic, gateway, payload, f'"{subject}" is not known to this hub; is the agent newer?')]


def live_gateway(topic: str) -> str | None:
    """The gateway that streams on this topic for somebody who is watching; None for any other topic."""
    address = topics.parse_up(topic)
    if address is None or address[1] != topics.LIVE:
        return None
    gateway, subject = address
    right = topics.gateway_up(gateway, subject) == topic and not _name_fault("gateway", gateway, path=True)
    return gateway if right else None


def as_unparsed(arrival: Arrival, error: str) -> Arrival:
    """The same arrival as one that could not be dealt with; a row keeps its number, and is receipted."""
    if isinstance(arrival, RowArrival):
        return replace(arrival, content=None, error=error)
    return UnparsedArrival(arrival.topic, arrival.gateway, arrival.raw, error)


def _status(topic: str, gateway: str, payload: bytes, *, retained: bool) -> list[Arrival]:
    if not payload:
        return []  # somebody cleared the retained status
    status = from_bytes(Status, payload)
    if status.gateway != gateway:
        raise MessageError(f"Status: gateway {status.gateway[:NAME_LENGTH]!r} on the topic of {gateway!r}")
    return [StatusArrival(topic, gateway, status, payload, retained)]


def _rows(topic: str, gateway: str, priority: Priority, payload: bytes) -> list[Arrival]:
    rows = from_bytes(Delivery, payload).rows
    for row in rows:
        if fault := _name_fault("epoch", row.epoch, path=True):
            raise MessageError(f"Delivery: {fault}")
        if not 1 <= row.sequence <= MAX_NUMBER:
            raise MessageError(f"Delivery: sequence {row.sequence}: must be 1 to {MAX_NUMBER}")
    return [_row(topic, gateway, priority, row) for row in rows]


def _row(topic: str, gateway: str, priority: Priority, row: Row) -> RowArrival:
    raw = bytes(row.body)
    content: Content | None = None
    fault = ""
    try:
        match priority:
            case "alerts":
                content = alert = from_bytes(Alert, raw)
                fault = _size_fault(raw) or _alert_fault(alert, gateway) or _coalesced_fault(alert, row.sequence)
            case "reports":
                content = report = from_bytes(Report, raw)
                fault = _size_fault(raw) or _report_fault(report)
            case "samples":
                content = samples = from_bytes(SampleBatch, raw)
                fault = _samples_fault(samples)
    except MessageError as error:
        fault = str(error)
    return RowArrival(topic, gateway, priority, row.epoch, row.sequence, raw, None if fault else content, fault)


def _size_fault(raw: bytes) -> str:
    return f"{len(raw)} bytes, at most {MAX_BODY}" if len(raw) > MAX_BODY else ""


def _alert_fault(alert: Alert, gateway: str) -> str:
    if alert.gateway != gateway:
        return f"Alert: gateway {alert.gateway[:NAME_LENGTH]!r} on the topic of {gateway!r}"
    if not 1 <= alert.revision <= MAX_NUMBER:
        return f"Alert: revision {alert.revision}: must be 1 to {MAX_NUMBER}"
    return (
        _name_fault("Alert: id", alert.id, path=True)
        or _name_fault("Alert: device", alert.device)
        or _name_fault("Alert: profile", alert.profile)
        or _name_fault("Alert: kind", alert.kind)
    )


def _coalesced_fault(alert: Alert, sequence: int) -> str:
    """A row may speak only for rows before it, and for no more than its events."""
    if (coalesced := alert.coalesced) is None:
        return ""
    if len(coalesced.rows) > MAX_COALESCED:
        return f"Alert: {len(coalesced.rows)} ranges of rows, at most {MAX_COALESCED}"
    before = 0
    for first, last in coalesced.rows:
        if not before < first <= last < sequence:
            return f"Alert: {first} to {last} is no range of sequence numbers before {sequence}, in ascending order"
        before = last
    stood_for = sum(last - first + 1 for first, last in coalesced.rows)
    if not 1 <= coalesced.alerts <= coalesced.events or coalesced.events != stood_for + 1:
        return f"Alert: {coalesced.alerts} alerts in {coalesced.events} events cannot stand for {stood_for} rows"
    return ""


def _report_fault(report: Report) -> str:
    for name, found, most in (
        ("losses", len(report.losses), MAX_LOSSES),
        ("damages", len(report.damages), MAX_DAMAGES),
        ("epochs of a damage", max((len(damage.epochs) for damage in report.damages), default=0), MAX_EPOCHS),
        ("activations", len(report.activations), MAX_ACTIVATIONS),
    ):
        if found > most:
            return f"Report: {found} {name}, at most {most}"
    for loss in report.losses:
        if fault := _name_fault("Report: epoch", loss.epoch, path=True):
            return fault
        if not 1 <= loss.first <= loss.last <= MAX_NUMBER:
            return f"Report: {loss.first} to {loss.last} is no range of sequence numbers"
    for damage in report.damages:
        for epoch in (damage.since, *damage.epochs):
            if fault := _name_fault("Report: epoch", epoch, path=True):
                return fault
    for item in report.activations:
        if fault := _name_fault("Report: profile", item.profile) or _name_fault("Report: reason", item.reason):
            return fault
        if not _SHA256.match(item.sha256):
            return f"Report: {item.sha256[:NAME_LENGTH]!r} is no SHA-256"
        if not 0 <= item.version <= MAX_NUMBER or not 0 <= item.counter <= MAX_NUMBER:
            return f"Report: version {item.version}, counter {item.counter}: must be 0 to {MAX_NUMBER}"
    return ""


def _samples_fault(samples: SampleBatch) -> str:
    channels = samples.channels
    if fault := _name_fault("SampleBatch: profile", samples.profile, path=True):
        return fault
    if not 1 <= len(channels) <= MAX_CHANNELS or len(set(channels)) < len(channels):
        return f"SampleBatch: {len(channels)} channels; must be 1 to {MAX_CHANNELS}, each named once"
    for channel in channels:
        if fault := _name_fault("SampleBatch: channel", channel, path=True):
            return fault
    for segment in samples.segments:
        if fault := _name_fault("SampleBatch: device", segment.device) or _segment_fault(segment, len(channels)):
            return fault
    return ""


def _segment_fault(segment: Segment, channels: int) -> str:
    where = f"SampleBatch: device {segment.device!r}"
    if len(segment.values) != len(segment.times):
        return f"{where}: {len(segment.times)} times for {len(segment.values)} readings"
    if any(len(reading) != channels for reading in segment.values):
        return f"{where}: a reading without a place for each of {channels} channels"
    if not all(math.isfinite(time) and abs(time) <= MAX_TIME for time in segment.times):
        return f"{where}: a time beyond ± {MAX_TIME:g} s"
    return ""


def _name_fault(what: str, name: str, *, path: bool = False) -> str:
    """What is wrong with a name, or nothing; one that becomes part of an address (`path`) is held to more."""
    if len(name) > NAME_LENGTH:
        return f"{what}: {len(name)} characters, at most {NAME_LENGTH}"
    if path and not name:
        return f"{what}: empty"
    if path and _CONTROL.search(name):
        return f"{what}: control characters in {name!r}"
    return ""
