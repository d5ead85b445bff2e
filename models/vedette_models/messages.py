"""What agent and hub say to each other: typed, versioned, to and from JSON bytes.

Compatibility: a receiver ignores fields it does not know and fills in those it misses, so that a newer partner may add
fields. `v` rises only when an old receiver would misunderstand; a receiver refuses a version above its own.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

VERSION = 1
MAX_BYTES = 256 * 1024
"""Largest message either side accepts."""

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
AlertState = Literal["active", "cleared"]
Priority = Literal["alerts", "reports", "samples"]
"""Class of an outbox row, most important first; each has its own sequence."""
PRIORITIES: tuple[Priority, ...] = ("alerts", "reports", "samples")


class MessageError(ValueError):
    """Bytes that are no message: says which, and why."""


class ChannelReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one channel contributed to an alert."""

    channel: str
    value: float
    low: float
    """Usual range of what was looked at, lower end."""
    high: float
    share: float
    """Share of the score, 0 to 1; an alert names the channels with the largest."""
    aspect: str = "value"
    """What was looked at: the value itself, or for example `average over the last 2 h`."""
    unit: str = ""


class Coalesced(msgspec.Struct, frozen=True):
    """What an alert event stands for that was put together from several before any of them was sent."""

    alerts: int
    """Alerts, this one included; the others began and ended within the period, and have no event of their own."""
    events: int
    """Events, this one included."""
    first: float
    """When the first of the alerts was opened."""
    last: float
    """Time of the last of the events."""
    revision: int
    """Smallest revision of this alert among the events."""
    rows: tuple[tuple[int, int], ...]
    """Sequence numbers of the outbox rows that are gone, first and last of each range: never those of a row that was
    sent. They belong to the epoch and class of the row that holds this event."""


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event in the life of an alert. Events are applied by revision, not by arrival."""

    id: str
    """Unique per gateway and for ever."""
    revision: int
    """1 when raised, higher with every change."""
    gateway: str
    device: str
    profile: str
    kind: str
    """`anomaly`; a sensor-health fault: `silent`, `stuck`, `impossible`, `jump` or `clock`; or `test`."""
    state: AlertState
    severity: Severity
    opened: float
    """Time of the reading that raised it, seconds since 1970 UTC."""
    time: float
    """Time of the reading that caused this revision."""
    score: float
    """Largest score so far divided by the threshold: 1 and more is anomalous."""
    reason: str
    """One sentence for a person in the field."""
    detector: str = ""
    channels: tuple[ChannelReason, ...] = ()
    cleared: float | None = None
    cleared_by: str = ""
    """Why it ended: `quiet`; `heard again` (a silent device); `sensor fault` (an anomaly explained by one);
    `model replaced`, `forgotten`, `no longer watched`, `test`."""
    suppressed: int = 0
    """Alerts of this kind on this device held back by cooldown or rate limit since the one before."""
    time_quality: int = 0
    """`readings.Quality` of `time`: of the reading, and of the gateway's clock when this was recorded."""
    coalesced: Coalesced | None = None
    """Set where it stands for several events; score and severity are then the largest of them, and `reason` is
    that of the worst."""


class DeclaredLoss(msgspec.Struct, frozen=True):
    """Rows an outbox had to give up: sequence numbers `first` to `last` will never come.

    It has no time of its own: that of the report which carries it, and its quality, stand for it.
    """

    priority: Priority
    epoch: str
    first: int
    last: int
    reason: str


class Damage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A gateway's database was damaged and replaced by an empty one: a loss of unknown extent.

    Of the rows in it, those that the hub does not have will never come.
    """

    time: float
    reason: str
    since: str
    """Epoch of the first rows after it."""
    epochs: tuple[str, ...] = ()
    """Those that are known to have had rows in it; there may have been others."""


class Activation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a model that a gateway was told to run."""

    profile: str
    sha256: str
    version: int
    outcome: str
    """`activated`: it runs; `refused`: it failed a check, or its probation, and the one before goes on; `missing`: its
    artefact did not come; `rolled_back`: the one before runs again, by the operator on the gateway, or (with a reason)
    since the newer one failed; `removed`: none runs any more. A newer agent may have others: what it says besides them
    must not be lost with them."""
    reason: str = ""
    """Why: a `rejection.Rejection` code."""
    detail: str = ""
    """The same in words."""
    counter: int = 0
    """Of the manifest that ordered it; 0: none did."""


class ClockSet(msgspec.Struct, frozen=True):
    """The clock of a gateway was set while its agent ran."""

    by: float
    """Seconds; negative: back."""
    quality: int
    """`readings.Quality` of the gateway's clock before: what it recorded then carries it, too."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something the hub should know that is no alert."""

    time: float
    losses: tuple[DeclaredLoss, ...] = ()
    damages: tuple[Damage, ...] = ()
    activations: tuple[Activation, ...] = ()
    text: str = ""
    time_quality: int = 0
    """`readings.Quality` of `time`."""
    clock_set: ClockSet | None = None


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive readings of one device, R of them, without a known fault or open alert among them."""

    device: str
    times: tuple[float, ...]
    """(R,) seconds since 1970."""
    values: tuple[tuple[float | None, ...], ...]
    """(R, C) in the order of the batch's channels; None: not reported."""
    time_quality: int = 0
    """`readings.Quality` of the times, all flags of any of them together."""


class SampleBatch(msgspec.Struct, frozen=True):
    """Readings to train with: what an outbox row of class samples holds."""

    profile: str
    channels: tuple[str, ...]
    segments: tuple[Segment, ...]
    time: float
    """When they were gathered."""
    suspect: bool = False
    """Whether each segment has an anomaly or an open alert in it: normal only if somebody says so."""
    time_quality: int = 0
    """`readings.Quality` of `time`."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One row of an outbox on its way."""

    epoch: str
    sequence: int
    body: msgspec.Raw
    """An `Alert` (class alerts), a `Report` (class reports) or a `SampleBatch` (class samples) as JSON."""


class Delivery(msgspec.Struct, frozen=True):
    """Rows of one class, on `up/<class>`."""

    rows: tuple[Row, ...]
    v: int = VERSION


class Committed(msgspec.Struct, frozen=True, array_like=True):
    """What the hub has committed of one epoch and class: 1 to `through`, and those in `also`."""

    priority: Priority
    epoch: str
    through: int
    also: tuple[int, ...] = ()


class Receipt(msgspec.Struct, frozen=True):
    """On `down/receipts`: the rows named here are durable at the hub and may be deleted."""

    committed: tuple[Committed, ...]
    v: int = VERSION


class Counters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Readings and messages since the agent started."""

    received: int = 0
    scored: int = 0
    duplicates: int = 0
    retained: int = 0
    dead_letters: int = 0
    alerts: int = 0
    suppressed: int = 0
    acknowledged: int = 0
    dead_by_reason: dict[str, int] = {}
    """The dead letters by their reason."""


class Restricted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device whose readings are not all taken, to protect the others."""

    device: str
    state: str
    """`rate_limited`: what is beyond its rate is a dead letter; `quarantined`: so is everything it sends; `probation`:
    it is listened to again, and the next unusable message ends that."""
    since: float
    until: float | None = None
    """When a device in quarantine is listened to again."""
    reason: str = ""
    """Why, as the reason of a dead letter."""
    dead_letters: int = 0
    """Since `since`."""


class RunningModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model from the hub that a gateway runs."""

    version: int
    sha256: str
    detector: str
    since: float = 0.0
    """When it was activated."""
    on_probation: bool = False
    """Whether it still has to prove itself beside the one before."""


class AlertRate(msgspec.Struct, frozen=True, omit_defaults=True):
    """The alert budget of a profile on one gateway, and what it came to there."""

    target: float | None = None
    """False alerts per device and week, at most; None: the operator has set a fixed threshold instead."""
    alerts: int = 0
    """Alerts of kind `anomaly`, raised while the devices known now were watched."""
    device_weeks: float = 0.0
    """How long that was, all devices together."""


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a channel's sensor can report, as its profile on the gateway says; None: it does not say."""

    low: float | None = None
    high: float | None = None


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """Retained state of an agent, on both brokers; the last will says `online: false`."""

    gateway: str
    online: bool
    time: float = 0.0
    started: float = 0.0
    version: str = ""
    ingest: str = ""
    """`receiving`, `stalled` (connected, but nothing arrives), `waiting` (nothing has arrived yet), `disconnected`."""
    last_reading: float | None = None
    """When the newest reading arrived."""
    hub: str = ""
    """`connected`, `disconnected`, or `none` where no hub is configured."""
    devices: int = 0
    silent: int = 0
    """Devices that have stopped reporting."""
    rate_limited: int = 0
    """Devices that send more than they may."""
    quarantined: int = 0
    """Devices that are not listened to, because all they sent was unusable."""
    restricted: tuple[Restricted, ...] = ()
    """The first of both, and of those on probation."""
    open_alerts: int = 0
    outbox_rows: int = 0
    outbox_bytes: int = 0
    outbox_oldest: float | None = None
    """When the oldest undelivered row was written."""
    outbox_hours: float | None = None
    """Hours until the box is full if the hub stays away, at the rate at which it is being filled; None: nothing fills
    it, or the agent has started only now."""
    coalesced_rows: int = 0
    """Rows of alert storms put together with others since the agent started, before they were sent."""
    lost_rows: int = 0
    state_age: float | None = None
    """Seconds between the checkpoint this run resumed from and its start; None: started fresh."""
    counters: Counters = Counters()
    models: dict[str, RunningModel] = {}
    """By profile; a profile that is not named runs without a model from the hub."""
    alert_rates: dict[str, AlertRate] = {}
    """By profile."""
    limits: dict[str, dict[str, Limits]] = {}
    """By profile and channel, of those that have some."""
    manifest: int = 0
    """Counter of the manifest in force; 0: none, or its counter was lost."""
    nonce: str = ""
    """New at every start: a manifest that echoes it was made after it."""
    problems: tuple[str, ...] = ()
    """What is wrong now, one sentence each; empty means nothing known is wrong."""
    reason: str = ""
    """Why it is offline: `stopped`, or `lost` from the last will."""
    time_quality: int = 0
    """`readings.Quality` of the gateway's clock."""
    v: int = VERSION


LIVE_BYTES = 32 * 1024
"""Largest `Live` message."""
LIVE_SECONDS = 60.0
"""How long a stream goes on after the last request for it, at most."""


class LiveRequest(msgspec.Struct, frozen=True):
    """On `down/request/live`: somebody looks at a device. Comes again and again while they do; never retained."""

    device: str
    """Its name; empty: all devices, of which only scores are wanted."""
    seconds: float
    """How long to go on without another request."""
    v: int = VERSION


class LiveReading(msgspec.Struct, frozen=True, array_like=True):
    """A reading of C channels as it was judged."""

    time: float
    """Seconds since 1970."""
    values: tuple[float | None, ...]
    """(C,) as received; None: not reported."""
    low: tuple[float | None, ...]
    """(C,) the expected band as it was before this reading, lower end; None: not known yet."""
    high: tuple[float | None, ...]
    score: float
    """Largest score of any detector divided by the device's threshold: 1 and more is anomalous."""
    time_quality: int = 0


class LiveScore(msgspec.Struct, frozen=True, array_like=True):
    """The largest score of a device since the message before."""

    device: str
    profile: str
    time: float
    score: float


class Live(msgspec.Struct, frozen=True, omit_defaults=True):
    """On `up/live`: what a device that somebody looks at has sent since the message before; may get lost."""

    device: str
    """As it was asked for."""
    state: str
    """`streaming`; `unknown device`: none of this name has been heard; `refused`: too many are looked at already;
    `off`: this gateway does not stream."""
    profile: str = ""
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    readings: tuple[LiveReading, ...] = ()
    skipped: int = 0
    """Readings left out to keep to the gateway's budget."""
    scores: tuple[LiveScore, ...] = ()
    """Where all devices were asked for: those with the largest."""
    v: int = VERSION


_T = TypeVar("_T", bound=msgspec.Struct)


def to_bytes(message: msgspec.Struct) -> bytes:
    """JSON bytes of a message.

    >>> to_bytes(Receipt((Committed("alerts", "a1", 7),)))
    b'{"committed":[["alerts","a1",7,[]]],"v":1}'
    """
    return msgspec.json.encode(message)


def from_bytes(kind: type[_T], data: bytes | msgspec.Raw) -> _T:
    """The message of type `kind` in `data`.

    Raises:
        MessageError: not JSON, a field missing or of the wrong type, too large, or of a newer version.
    """
    if len(bytes(data)) > MAX_BYTES:
        raise MessageError(f"{kind.__name__}: {len(bytes(data))} bytes, more than {MAX_BYTES}")
    try:
        message = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"{kind.__name__}: {error}") from error
    version = getattr(message, "v", VERSION)
    if version > VERSION:
        raise MessageError(f"{kind.__name__}: version {version}, this side understands up to {VERSION}; update it")
    return message
