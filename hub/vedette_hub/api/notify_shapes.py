"""What API requests and answers about channels, routes and deliveries look like. Times are as in `shapes`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from vedette_hub.alerts.matching import MAX_PATTERNS, Matchers
from vedette_hub.api.shapes import Page, Seconds
from vedette_hub.notify.channels import NAME_FORM, secrets_of
from vedette_hub.notify.kinds import Kind
from vedette_hub.notify.routing import Bounds, Day, Hours, Route
from vedette_hub.store.channels import Channel
from vedette_hub.store.deliveries import Delivery, DeliveryFilter, Status
from vedette_hub.store.schema import NAME_LENGTH
from vedette_hub.times import rfc3339
from vedette_models.messages import Severity

LONGEST_TEST_WAIT = 30.0


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError("write an IANA name, such as Europe/Berlin") from None
    return name


_Name = Annotated[str, Field(pattern=NAME_FORM)]
_Pattern = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]
_Patterns = Annotated[list[_Pattern], Field(max_length=MAX_PATTERNS)]
_Time = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
_Cooldown = Annotated[float, Field(ge=0, le=7 * 86_400.0, strict=False)]
_PerHour = Annotated[int, Field(ge=0, le=10_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ChannelIn(_Strict):
    """A channel to be added."""

    name: _Name
    kind: Kind
    settings: dict[str, Any] = Field(
        {},
        description="webhook: url, secret (made when left out); email: host, port, security (starttls, tls, none), "
        "username, password, sender, to; mqtt: topic, retain; log: level; apprise: url.",
    )
    enabled: bool = True


class ChannelChangeIn(_Strict):
    """What is to be changed about a channel; what is left out stays."""

    name: _Name | None = None
    settings: dict[str, Any] | None = Field(None, description="Those that change; an empty `secret` has one made.")
    enabled: bool | None = None


class ChannelTestIn(_Strict):
    """How a channel is tried."""

    wait: Annotated[float, Field(ge=0, le=LONGEST_TEST_WAIT, strict=False)] = Field(
        10.0, description="Seconds to wait for the result; without one in time, GET the delivery later."
    )


class ChannelOut(BaseModel):
    """A channel without its secrets."""

    name: str
    kind: Kind
    settings: dict[str, Any]
    """What may be shown."""
    secrets: list[str]
    """Names of settings that are kept and never shown."""
    address: str
    """Where it leads, for people."""
    enabled: bool
    state: Literal["working", "failing", "resting", "disabled", "untried"]
    """`resting`: it failed too often in a row, and nothing is tried before `resting_until`."""
    resting_until: float | None
    resting_until_at: str | None
    failures: int
    """In a row."""
    sent: int
    failed: int
    """Messages given up."""
    last_sent: float | None
    last_sent_at: str | None
    last_error: str
    last_error_time: float | None
    created: float
    created_at: str | None
    created_by: str


class NewChannelOut(ChannelOut):
    """A channel that has been added or changed."""

    secret: str | None
    """The webhook's signing secret where one has been made, shown this once."""


class ChannelsOut(BaseModel):
    """All channels by name."""

    channels: list[ChannelOut]


class MatchersShape(_Strict):
    """Which alerts: `*` stands for any characters, `?` for one; a field without patterns lets everything through."""

    gateway: _Patterns = []
    device: _Patterns = []
    profile: _Patterns = []
    kind: _Patterns = []
    severity: Annotated[list[Severity], Field(max_length=4)] = []


class HoursShape(_Strict):
    """When; without days and with equal times always."""

    days: Annotated[list[Day], Field(max_length=7)] = []
    start: _Time = "00:00"
    end: _Time = "00:00"
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_timezone)] = "UTC"


class BoundsShape(_Strict):
    """How often at most; 0: no bound. Seconds, and messages within an hour."""

    cooldown: _Cooldown = 0.0
    device_cooldown: _Cooldown = 0.0
    per_hour: _PerHour = 60
    device_per_hour: _PerHour = 0


class RouteIn(_Strict):
    """A route to be added."""

    name: _Name
    channels: Annotated[list[_Name], Field(max_length=20)]
    matchers: MatchersShape = MatchersShape()
    hours: HoursShape = HoursShape()
    bounds: BoundsShape = BoundsShape()
    tell_worse: bool = Field(True, description="Tell again when the severity rises.")
    tell_cleared: bool = Field(True, description="Tell those who were told when it is over.")
    enabled: bool = True
    comment: Annotated[str, Field(max_length=1_000)] = ""


class RouteChangeIn(_Strict):
    """What is to be changed about a route; what is left out stays."""

    name: _Name | None = None
    channels: Annotated[list[_Name], Field(max_length=20)] | None = None
    matchers: MatchersShape | None = None
    hours: HoursShape | None = None
    bounds: BoundsShape | None = None
    tell_worse: bool | None = None
    tell_cleared: bool | None = None
    enabled: bool | None = None
    comment: Annotated[str, Field(max_length=1_000)] | None = None


class RouteOut(BaseModel):
    """A route."""

    name: str
    channels: list[str]
    matchers: MatchersShape
    hours: HoursShape
    bounds: BoundsShape
    tell_worse: bool
    tell_cleared: bool
    enabled: bool
    comment: str
    created: float
    created_at: str | None
    created_by: str


class RoutesOut(BaseModel):
    """All routes by name."""

    routes: list[RouteOut]


class DeliveryQuery(Page):
    """Which page of the deliveries."""

    before: int | None = Field(None, ge=1, le=2**53, description="Continue: the `next` of the page before.")
    channel: Annotated[str, Field(max_length=64)] | None = None
    status: Status | None = None
    gateway: Annotated[str, Field(max_length=NAME_LENGTH)] | None = None
    alert: Annotated[str, Field(max_length=NAME_LENGTH)] | None = None
    since: Seconds | None = Field(None, description="Made at this time or later: seconds since 1970, or RFC 3339.")
    until: Seconds | None = None

    def chosen(self) -> DeliveryFilter:
        """The filter for the store."""
        return DeliveryFilter(self.channel, self.status, self.gateway, self.alert, self.since, self.until)


class DeliveryOut(BaseModel):
    """A message to a channel, and what became of it."""

    number: int
    id: str
    """The receiver gets it too, at every try."""
    channel: str
    route: str
    """Empty for a test."""
    gateway: str
    alert: str
    device: str
    cause: Literal["opened", "over", "worse", "again", "cleared", "test"]
    status: Status
    tries: int
    created: float
    created_at: str | None
    due: float | None
    """When it is tried next."""
    due_at: str | None
    finished: float | None
    finished_at: str | None
    detail: str
    """What the receiver answered, or what went wrong last."""
    title: str


class DeliveriesOut(BaseModel):
    """A page of deliveries, the newest first."""

    deliveries: list[DeliveryOut]
    next: int | None = Field(description="`before` of the next page; null on the last.")


def channel_answer(channel: Channel, now: float) -> dict[str, Any]:
    """Fields of `ChannelOut`."""
    resting = channel.open_until if channel.open_until > now else None
    return {
        "name": channel.name,
        "kind": channel.kind,
        "settings": channel.settings,
        "secrets": secrets_of(channel),
        "address": channel.address,
        "enabled": channel.enabled,
        "state": channel_state(channel, now),
        "resting_until": resting,
        "resting_until_at": rfc3339(resting),
        "failures": channel.failures,
        "sent": channel.sent,
        "failed": channel.failed,
        "last_sent": channel.last_sent,
        "last_sent_at": rfc3339(channel.last_sent),
        "last_error": channel.last_error,
        "last_error_time": channel.last_error_time,
        "created": channel.created,
        "created_at": rfc3339(channel.created),
        "created_by": channel.created_by,
    }


def channel_state(channel: Channel, now: float) -> str:
    """How a channel fares, in a word of `ChannelOut.state`."""
    if not channel.enabled:
        return "disabled"
    if channel.open_until > now:
        return "resting"
    if channel.last_error:
        return "failing"
    return "untried" if channel.last_sent is None else "working"


def route_answer(route: Route) -> dict[str, Any]:
    """Fields of `RouteOut`."""
    return {
        "name": route.name,
        "channels": list(route.channels),
        "matchers": {name: list(patterns) for name, patterns in asdict(route.matchers).items()},
        "hours": {**asdict(route.hours), "days": list(route.hours.days)},
        "bounds": asdict(route.bounds),
        "tell_worse": route.tell_worse,
        "tell_cleared": route.tell_cleared,
        "enabled": route.enabled,
        "comment": route.comment,
        "created": route.created,
        "created_at": rfc3339(route.created),
        "created_by": route.created_by,
    }


def route_fields(given: RouteIn | RouteChangeIn) -> dict[str, Any]:
    """Fields of `Route` that a request gives."""
    made: dict[str, Any] = {}
    for name in given.model_fields_set if isinstance(given, RouteChangeIn) else type(given).model_fields:
        value = getattr(given, name)
        match value:
            case None:
                continue
            case MatchersShape():
                value = Matchers.of(value.model_dump())
            case HoursShape():
                value = Hours(tuple(dict.fromkeys(value.days)), value.start, value.end, value.timezone)
            case BoundsShape():
                value = Bounds(**value.model_dump())
            case list():
                value = tuple(value)
        made[name] = value
    return made


def delivery_answer(delivery: Delivery) -> dict[str, Any]:
    """Fields of `DeliveryOut`."""
    due = delivery.due if delivery.status == "queued" else None
    return {
        "number": delivery.number,
        "id": delivery.id,
        "channel": delivery.channel,
        "route": delivery.route,
        "gateway": delivery.gateway,
        "alert": delivery.alert,
        "device": delivery.device,
        "cause": delivery.cause,
        "status": delivery.status,
        "tries": delivery.tries,
        "created": delivery.created,
        "created_at": rfc3339(delivery.created),
        "due": due,
        "due_at": rfc3339(due),
        "finished": delivery.finished,
        "finished_at": rfc3339(delivery.finished),
        "detail": delivery.detail,
        "title": str(delivery.message.get("data", {}).get("title", "")),
    }
