"""The durable queue: every message to a channel, until it is delivered or given up, and for some time after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, func, insert, literal, select, update
from sqlalchemy.orm import aliased

from vedette_hub.errors import HubError
from vedette_hub.notify.decision import HOUR, Cause, Past
from vedette_hub.notify.routing import Route
from vedette_hub.store.alerts import Key
from vedette_hub.store.notify_schema import channels, deliveries

Status = Literal["queued", "sending", "sent", "failed"]

DETAIL_LENGTH = 1_000
_COOLING: tuple[Cause, ...] = ("opened", "over", "again")
"""What cooldowns begin with."""


class DeliveryStateError(HubError):
    """A delivery that cannot be tried again."""


@dataclass(frozen=True)
class NewDelivery:
    """A message to be delivered."""

    id: str
    """Unique for ever; a receiver knows by it what it has seen."""
    channel: int
    route: int | None
    route_name: str
    key: Key
    """Of the alert; empty names for a test."""
    device: str
    cause: Cause
    message: dict[str, Any]
    created: float


@dataclass(frozen=True)
class Delivery:
    """A message and what became of it; times are seconds since 1970 UTC."""

    number: int
    id: str
    channel: str
    channel_number: int
    route: str
    gateway: str
    alert: str
    device: str
    cause: Cause
    message: dict[str, Any]
    created: float
    status: Status
    due: float
    """When it is tried next."""
    tries: int
    finished: float | None
    detail: str
    """What the receiver answered, or what went wrong last."""


@dataclass(frozen=True)
class DeliveryFilter:
    """Which deliveries; None: any."""

    channel: str | None = None
    status: Status | None = None
    gateway: str | None = None
    alert: str | None = None
    since: float | None = None
    until: float | None = None


def queue(connection: Connection, new: NewDelivery) -> int:
    """Put a message into the queue; its number."""
    row = insert(deliveries).values(
        id=new.id,
        channel=new.channel,
        route=new.route,
        route_name=new.route_name,
        gateway=new.key[0],
        alert=new.key[1],
        device=new.device,
        cause=new.cause,
        message=json.dumps(new.message),
        created=new.created,
        status="queued",
        due=new.created,
    )
    return int(connection.execute(row.returning(deliveries.c.number)).scalar_one())


def past_of(connection: Connection, route: Route, channel: int, key: Key, device: str) -> Past:
    """What a route has told a channel lately, as far as its bounds ask."""
    bounds = route.bounds
    here = (deliveries.c.route == route.number, deliveries.c.channel == channel)
    same = (*here, deliveries.c.gateway == key[0], deliveries.c.device == device)
    cooling = deliveries.c.cause.in_(_COOLING)
    return Past(
        _newest(connection, 1, *here, cooling) if bounds.cooldown else None,
        _newest(connection, 1, *same, cooling) if bounds.device_cooldown else None,
        _newest(connection, bounds.per_hour, *here) if bounds.per_hour else None,
        _newest(connection, bounds.device_per_hour, *same) if bounds.device_per_hour else None,
    )


def _newest(connection: Connection, place: int, *which: ColumnElement[bool]) -> float | None:
    """When the message at this place was made, counted from the newest."""
    query = select(deliveries.c.created).where(*which).order_by(deliveries.c.created.desc())
    found = connection.execute(query.limit(1).offset(place - 1)).scalar()
    return None if found is None else float(found)


def count_queued(connection: Connection, channel: int, *, most: int) -> int:
    """Messages of a channel that wait, `most` at most."""
    waits = (deliveries.c.status == "queued") & (deliveries.c.channel == channel)
    some = select(deliveries.c.number).where(waits).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def count_recent(connection: Connection, channel: int, now: float) -> int:
    """Messages made for a channel within the last hour."""
    query = select(func.count()).select_from(deliveries).where(deliveries.c.channel == channel)
    return int(connection.execute(query.where(deliveries.c.created > now - HOUR)).scalar_one())


def waiting_channels(connection: Connection, now: float) -> list[int]:
    """Numbers of the channels with something due; those that are left alone for a while count only for tests."""
    waits = select(deliveries.c.number).where(
        deliveries.c.status == "queued", deliveries.c.due <= now, deliveries.c.channel == channels.c.number
    )
    open_now = (channels.c.open_until <= now) & channels.c.enabled.is_(True)
    exists, test = waits.exists(), waits.where(deliveries.c.cause == "test")
    query = select(channels.c.number).where((open_now & exists) | test.exists())
    return list(connection.execute(query).scalars())


def claim(connection: Connection, channel: int, now: float) -> Delivery | None:
    """The next message of a channel that is due, from now on being sent; None: there is none.

    Messages about one alert keep their order. Tests come first, and whatever is the matter with the channel.
    """
    older = aliased(deliveries)
    waits = (deliveries.c.status == "queued") & (deliveries.c.channel == channel) & (deliveries.c.due <= now)
    before = select(older.c.number).where(
        older.c.gateway == deliveries.c.gateway,
        older.c.alert == deliveries.c.alert,
        older.c.channel == channel,
        older.c.number < deliveries.c.number,
        older.c.status == "queued",
    )
    usable = select(channels.c.number).where(
        channels.c.number == channel, channels.c.enabled.is_(True), channels.c.open_until <= now
    )
    tests = select(deliveries.c.number).where(waits, deliveries.c.cause == "test")
    others = select(deliveries.c.number).where(waits, usable.exists(), ~before.exists())
    for query in (tests, others):
        number = connection.execute(query.order_by(deliveries.c.due, deliveries.c.number).limit(1)).scalar()
        if number is not None:
            break
    else:
        return None
    mine = deliveries.c.number == number
    connection.execute(update(deliveries).where(mine).values(status="sending", tries=deliveries.c.tries + 1))
    return find_delivery(connection, number)


def finish(connection: Connection, number: int, status: Status, detail: str, now: float) -> None:
    """A message has been delivered, or is given up."""
    values = {"status": status, "detail": detail[:DETAIL_LENGTH], "finished": now}
    connection.execute(update(deliveries).where(deliveries.c.number == number).values(**values))


def put_back(connection: Connection, number: int, due: float, detail: str) -> None:
    """A message is tried again later."""
    values = {"status": "queued", "due": due, "detail": detail[:DETAIL_LENGTH], "finished": None}
    connection.execute(update(deliveries).where(deliveries.c.number == number).values(**values))


def put_back_interrupted(connection: Connection, now: float) -> int:
    """Messages that were being sent when the hub was killed are sent again; how many there are."""
    detail = "the hub was killed while this was being sent: it may come twice, with the same id"
    again = update(deliveries).where(deliveries.c.status == "sending")
    return connection.execute(again.values(status="queued", due=now, detail=detail)).rowcount


def bring_back(connection: Connection, now: float, furthest: float, longest_rest: float) -> None:
    """After the clock has been set back: nothing waits for times that no try or rest of a channel can be meant for."""
    waits = deliveries.c.status == "queued"
    connection.execute(update(deliveries).where(waits, deliveries.c.due > furthest).values(due=now))
    connection.execute(update(deliveries).where(waits, deliveries.c.created > now).values(created=now))
    connection.execute(update(channels).where(channels.c.open_until > longest_rest).values(open_until=0.0))


def give_up_before(connection: Connection, created: float, now: float) -> dict[int, int]:
    """Give up messages that are older and still wait; how many of each channel, by number."""
    old = (deliveries.c.status == "queued") & (deliveries.c.created < created)
    query = select(deliveries.c.channel, func.count()).where(old).group_by(deliveries.c.channel)
    counts = {channel: int(count) for channel, count in connection.execute(query)}
    if counts:
        words = literal("not delivered in time; ") + deliveries.c.detail
        connection.execute(update(deliveries).where(old).values(status="failed", finished=now, detail=words))
        for channel, count in counts.items():
            mine = channels.c.number == channel
            connection.execute(update(channels).where(mine).values(failed=channels.c.failed + count))
    return counts


def try_again(connection: Connection, number: int, now: float) -> Delivery | None:
    """Put a message that was given up into the queue again; None: there is none with this number.

    Raises:
        DeliveryStateError: it waits, is being sent, or was delivered.
    """
    found = find_delivery(connection, number)
    if found is None:
        return None
    if found.status != "failed":
        raise DeliveryStateError(f"delivery {number} is {found.status}; only one that has failed can be tried again")
    values = {"status": "queued", "due": now, "created": now, "tries": 0, "finished": None}
    connection.execute(update(deliveries).where(deliveries.c.number == number).values(**values))
    return find_delivery(connection, number)


def find_delivery(connection: Connection, number: int) -> Delivery | None:
    """One message; None: there is none with this number."""
    row = connection.execute(_joined().where(deliveries.c.number == number)).first()
    return None if row is None else _delivery(row)


def list_deliveries(
    connection: Connection, chosen: DeliveryFilter, *, limit: int, before: int | None = None
) -> list[Delivery]:
    """Messages, the newest first; those older than number `before` where that is given."""
    query = _joined().where(*_conditions(chosen)).order_by(deliveries.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(deliveries.c.number < before)
    return [_delivery(row) for row in connection.execute(query)]


def deliveries_of_alert(connection: Connection, key: Key, *, limit: int = 100) -> list[Delivery]:
    """Who was told of an alert, the newest first."""
    return list_deliveries(connection, DeliveryFilter(gateway=key[0], alert=key[1]), limit=limit)


def count_by_channel(connection: Connection) -> dict[str, dict[str, int]]:
    """Messages kept, by channel and status."""
    query = select(channels.c.name, deliveries.c.status, func.count()).join(
        channels, channels.c.number == deliveries.c.channel
    )
    found: dict[str, dict[str, int]] = {}
    for name, status, count in connection.execute(query.group_by(channels.c.name, deliveries.c.status)):
        found.setdefault(name, {})[status] = int(count)
    return found


def _joined() -> Any:
    return select(deliveries, channels.c.name.label("channel_name")).join(
        channels, channels.c.number == deliveries.c.channel
    )


def _conditions(chosen: DeliveryFilter) -> Iterator[ColumnElement[bool]]:
    if chosen.channel is not None:
        yield deliveries.c.channel.in_(select(channels.c.number).where(channels.c.name == chosen.channel))
    if chosen.status is not None:
        yield deliveries.c.status == chosen.status
    if chosen.gateway is not None:
        yield deliveries.c.gateway == chosen.gateway
    if chosen.alert is not None:
        yield deliveries.c.alert == chosen.alert
    if chosen.since is not None:
        yield deliveries.c.created >= chosen.since
    if chosen.until is not None:
        yield deliveries.c.created < chosen.until


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.number,
        row.id,
        row.channel_name,
        row.channel,
        row.route_name,
        row.gateway,
        row.alert,
        row.device,
        row.cause,
        json.loads(row.message),
        row.created,
        row.status,
        row.due,
        row.tries,
        row.finished,
        row.detail,
    )
