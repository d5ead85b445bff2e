"""What API requests and answers look like. Times are seconds since 1970 UTC; `…_at` says the same in RFC 3339."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from vedette_hub.alerts.lifecycle import LabelValue
from vedette_hub.store.alert_search import AlertFilter
from vedette_models.messages import SEVERITIES

MAX_LIMIT = 500
COMMENT_LENGTH = 4_000


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        pass
    else:
        if not math.isfinite(number):
            raise ValueError("must be a finite number of seconds")
        return number
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("write seconds since 1970, or a time such as 2026-01-31T12:00:00Z") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _one_of(*allowed: str) -> AfterValidator:
    def check(value: str) -> str:
        for part in value.split(","):
            if part not in allowed:
                raise ValueError(f"{part!r} is not known; use {', '.join(allowed)}, several with commas between")
        return value

    return AfterValidator(check)


Seconds = Annotated[float, BeforeValidator(_seconds)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Page(_Shape):
    """Which part of a list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50


class GatewayPage(Page):
    """Which gateways."""

    after: str = Field("", description="Continue after the gateway with this name: the `next` of the page before.")


class AlertChoice(_Shape):
    """Which alerts; `kind`, `severity`, `state` and `label` take several values with commas between."""

    gateway: str | None = None
    device: str | None = None
    profile: str | None = None
    kind: str | None = None
    severity: Annotated[str, _one_of(*SEVERITIES)] | None = None
    detector: str | None = Field(None, description="The algorithm that raised it.")
    assignee: str | None = Field(None, description="Who is to look after it; `none`: nobody is.")
    state: Annotated[str, _one_of("active", "cleared")] | None = None
    acknowledged: Literal["true", "false"] | None = None
    label: Annotated[str, _one_of("true", "false", "normal", "none")] | None = None
    attention: Literal["true", "false"] | None = Field(
        None, description="`true`: active, and nobody has acknowledged it; `false`: all others."
    )
    since: Seconds | None = Field(None, description="Opened at this time or later: seconds since 1970, or RFC 3339.")
    until: Seconds | None = Field(None, description="Opened before this time.")

    def chosen(self) -> AlertFilter:
        """The filter for the store."""

        def names(value: str | None) -> tuple[str, ...]:
            return (value,) if value else ()

        def words(value: str | None) -> tuple[str, ...]:
            return tuple(value.split(",")) if value else ()

        def truth(value: str | None) -> bool | None:
            return None if value is None else value == "true"

        return AlertFilter(
            gateway=names(self.gateway),
            device=names(self.device),
            profile=names(self.profile),
            kind=words(self.kind),
            severity=words(self.severity),
            state=words(self.state),
            detector=names(self.detector),
            assignee=names(self.assignee),
            acknowledged=truth(self.acknowledged),
            label=words(self.label),
            attention=truth(self.attention),
            since=self.since,
            until=self.until,
        )


class AlertQuery(AlertChoice, Page):
    """Which page of the alerts."""

    before: int | None = Field(None, ge=1, le=2**53, description="Continue: the `next` of the page before.")
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0


class CommentIn(_Shape):
    """Something to say about what one does."""

    model_config = ConfigDict(extra="forbid", strict=True)

    comment: Annotated[str, Field(max_length=COMMENT_LENGTH)] = ""


class LabelIn(CommentIn):
    """What an alert turned out to be."""

    label: LabelValue | None = Field(
        description="`true`: a fault; `false`: a false alarm; `normal`: normal for this device; null takes it back."
    )


class ChannelOut(BaseModel):
    """What one channel contributed."""

    channel: str
    value: float
    low: float
    high: float
    share: float
    aspect: str
    unit: str


class CoalescedOut(BaseModel):
    """What one alert stands for: the others of its kind began and ended unseen, while the hub was away."""

    alerts: int
    events: int
    first: float
    first_at: str | None
    last: float
    last_at: str | None


class LabelOut(BaseModel):
    """What an alert turned out to be."""

    value: LabelValue
    by: str
    time: float


class SeenOut(BaseModel):
    """Who did something, and when."""

    by: str
    time: float


class SuppressedOut(BaseModel):
    """What keeps an alert from being told."""

    what: Literal["silence", "maintenance"]
    number: int
    name: str
    """Of the maintenance window; the comment of a silence."""
    end: float
    end_at: str | None


class AssignmentOut(BaseModel):
    """Who is to look after it."""

    to: str
    by: str
    time: float


class AlertOut(BaseModel):
    """An alert as the hub knows it."""

    gateway: str
    id: str
    revision: int
    device: str
    profile: str
    kind: str
    state: Literal["active", "cleared"]
    severity: Literal["low", "medium", "high", "critical"]
    """What counts: what a rule of the hub says, else what the gateway says."""
    gateway_severity: Literal["low", "medium", "high", "critical"]
    severity_rule: str | None
    """Name of the rule that changed it; null: none did."""
    acknowledged: bool
    acknowledgement: SeenOut | None
    resolution: SeenOut | None
    label: LabelOut | None
    assignment: AssignmentOut | None
    suppressed_by: SuppressedOut | None
    """A silence or a maintenance window that holds now: nobody is told of it."""
    opened: float
    opened_at: str | None
    time: float
    cleared: float | None
    cleared_at: str | None
    cleared_by: str
    score: float
    reason: str
    message: str = Field(description="`reason`, `device` and `opened_at` under the names that other clients know.")
    source: str
    timestamp: str | None
    detector: str
    channels: list[ChannelOut]
    suppressed: int
    coalesced: CoalescedOut | None = Field(
        description="Set where it stands for several events that the gateway put together before it could send them."
    )
    time_quality: int
    received: float
    received_at: str | None
    updated: float


class AlertsOut(BaseModel):
    """A page of alerts, newest at the hub first."""

    status: Literal["success"] = "success"
    alerts: list[AlertOut]
    total: int = Field(description="How many there are, counted up to 10000.")
    total_exact: bool = Field(description="false: there are `total` at least.")
    next: int | None = Field(
        description="`before` of the next page; null on the last. Where few are wanted among very many, a page may have"
        " less than `limit`, or nothing, and yet not be the last."
    )


class HistoryItem(BaseModel):
    """One thing that happened to an alert."""

    what: Literal["event", "acknowledge", "unacknowledge", "resolve", "label", "assign", "comment"]
    time: float
    at: str | None
    by: str
    """The gateway, or the name of a token."""
    revision: int | None = None
    state: str | None = None
    severity: str | None = None
    score: float | None = None
    reason: str = ""
    comment: str = ""
    label: LabelValue | None = None
    assignee: str | None = None


class AlertDetailOut(AlertOut):
    """An alert with everything that happened to it."""

    history: list[HistoryItem]


class ActivationOut(BaseModel):
    """What became of a model that a gateway was told to run."""

    version: int
    sha256: str
    outcome: str
    reason: str
    detail: str
    counter: int
    """Of the manifest that ordered it; 0: none did."""
    time: float
    at: str | None


class GatewayModelOut(BaseModel):
    """A profile's model on one gateway: what was ordered, what runs, and how far the order has come."""

    profile: str
    progress: str
    """`running`, `removed`: done. `queued`, `sent`, `offline`: under way. `refused`, `missing`, `rolled_back`: see
    `last_activation`. `not ordered here`: it runs a model that this hub never ordered."""
    ordered: int | None
    """Version; null: no model."""
    previous: int | None
    """Version that a roll back orders."""
    ordered_by: str
    ordered_at: str | None
    running: int | None
    running_sha256: str
    on_probation: bool
    """Whether what runs still has to prove itself beside the version before it."""
    counter: int
    """Of the newest manifest for this gateway."""
    last_activation: ActivationOut | None


class AlertRateOut(BaseModel):
    """The alert budget of a profile on one gateway, and what it came to."""

    profile: str
    target: float | None
    """False alerts per device and week, at most; null: a fixed threshold instead."""
    realised: float | None
    """Alerts of kind `anomaly` per device and week, those labelled true left out; null before anything was watched."""
    alerts: int
    labelled_true: int
    device_weeks: float
    """How long was watched, all devices together."""


class GatewayOut(BaseModel):
    """A gateway as the hub knows it."""

    gateway: str
    group: str
    """Empty: in none."""
    state: Literal["online", "silent", "offline", "unknown"]
    """`silent`: it says it is online, and has said nothing for longer than `hub.silent_after`."""
    online: bool
    first_seen: float
    last_seen: float
    last_seen_at: str | None
    rows: int
    duplicates: int
    unparsed: int
    lost_rows: int
    held_back: int
    problems: list[str]
    models: list[GatewayModelOut]
    alert_rates: list[AlertRateOut]
    status: dict[str, Any] | None


class GatewaysOut(BaseModel):
    """A page of gateways by name."""

    gateways: list[GatewayOut]
    total: int
    next: str | None = Field(description="`after` of the next page; null on the last.")


class HealthOut(BaseModel):
    """Whether the hub works."""

    status: Literal["ok", "degraded", "failing"]
    version: str
    database: Literal["ok", "failing"]
    ingest: Literal["connected", "disconnected", "not running"]


class ReadyOut(BaseModel):
    """Whether requests should be sent here."""

    ready: bool
    reason: str
    """Why not; empty when they should."""
