"""Channels in the store: where people are told of alerts, and how that goes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from vedette_hub.errors import HubError
from vedette_hub.store.notify_schema import channels, deliveries, route_channels, routes

MOST_CHANNELS = 100
"""Channels there can be."""


class ChannelError(HubError):
    """A channel that cannot be added, changed or removed as asked."""


class UnknownChannelError(ChannelError):
    """There is no such channel."""


@dataclass(frozen=True)
class Channel:
    """A channel without its secrets; times are seconds since 1970 UTC."""

    number: int
    name: str
    kind: str
    settings: dict[str, Any]
    """What may be shown."""
    address: str
    """Where it leads, for people."""
    sealed: bytes
    """What may not, encrypted."""
    enabled: bool
    created: float
    created_by: str
    failures: int
    """In a row, of any messages."""
    open_until: float
    """After too many of them nothing is tried before this time."""
    sent: int
    failed: int
    """Messages given up."""
    last_sent: float | None
    last_error: str
    """Empty when what was tried last went well."""
    last_error_time: float | None


def list_channels(connection: Connection) -> list[Channel]:
    """Channels by name."""
    return [_channel(row) for row in connection.execute(select(channels).order_by(channels.c.name))]


def get_channel(connection: Connection, name: str) -> Channel:
    """The channel with a name.

    Raises:
        UnknownChannelError: there is none.
    """
    row = connection.execute(select(channels).where(channels.c.name == name)).first()
    if row is None:
        raise UnknownChannelError(f"there is no channel {name!r}")
    return _channel(row)


def insert_channel(
    connection: Connection,
    name: str,
    kind: str,
    settings: dict[str, Any],
    address: str,
    sealed: bytes,
    *,
    enabled: bool,
    now: float,
    by: str,
) -> Channel:
    """Add a channel.

    Raises:
        ChannelError: the name is taken, or there are too many.
    """
    if connection.execute(select(func.count()).select_from(channels)).scalar_one() >= MOST_CHANNELS:
        raise ChannelError(f"channel {name!r}: there are {MOST_CHANNELS} already, which is as many as there can be")
    values = {"name": name, "kind": kind, "settings": _kept(settings, address), "sealed": sealed, "enabled": enabled}
    try:
        with connection.begin_nested():
            connection.execute(insert(channels).values(**values, created=now, created_by=by))
    except IntegrityError as error:
        raise ChannelError(f"channel {name!r}: there is one already") from error
    return get_channel(connection, name)


def update_channel(
    connection: Connection,
    channel: Channel,
    *,
    name: str,
    settings: dict[str, Any],
    address: str,
    sealed: bytes,
    enabled: bool,
) -> Channel:
    """Change a channel; it begins with a clean record, as what is wrong may have been mended.

    Raises:
        ChannelError: the name is taken.
    """
    values = {"name": name, "settings": _kept(settings, address), "sealed": sealed, "enabled": enabled}
    try:
        with connection.begin_nested():
            connection.execute(
                update(channels).where(channels.c.number == channel.number).values(**values, failures=0, open_until=0.0)
            )
    except IntegrityError as error:
        raise ChannelError(f"channel {name!r}: there is one already") from error
    waits = (deliveries.c.channel == channel.number) & (deliveries.c.status == "queued")
    connection.execute(update(deliveries).where(waits).values(due=deliveries.c.created))
    return get_channel(connection, name)


def delete_channel(connection: Connection, channel: Channel) -> None:
    """Remove a channel with all that was told through it.

    Raises:
        ChannelError: a route leads to it.
    """
    leads = select(routes.c.name).join(route_channels, route_channels.c.route == routes.c.number)
    names = connection.execute(leads.where(route_channels.c.channel == channel.number)).scalars().all()
    if names:
        raise ChannelError(
            f"channel {channel.name!r}: the routes {', '.join(sorted(names))} lead to it; change or remove them first"
        )
    connection.execute(channels.delete().where(channels.c.number == channel.number))


def note_sent(connection: Connection, number: int, now: float) -> None:
    """A message got through."""
    connection.execute(
        update(channels)
        .where(channels.c.number == number)
        .values(failures=0, open_until=0.0, sent=channels.c.sent + 1, last_sent=now, last_error="")
    )


def note_failure(
    connection: Connection,
    number: int,
    now: float,
    *,
    failures: int,
    open_until: float,
    error: str,
    given_up: bool,
) -> None:
    """A message did not get through; `given_up`: and it never will."""
    connection.execute(
        update(channels)
        .where(channels.c.number == number)
        .values(
            failures=failures,
            open_until=open_until,
            last_error=error,
            last_error_time=now,
            failed=channels.c.failed + int(given_up),
        )
    )


def _kept(settings: dict[str, Any], address: str) -> str:
    return json.dumps({"settings": settings, "address": address})


def _channel(row: Row[Any]) -> Channel:
    kept = json.loads(row.settings)
    return Channel(
        row.number,
        row.name,
        row.kind,
        kept["settings"],
        kept["address"],
        row.sealed,
        row.enabled,
        row.created,
        row.created_by,
        row.failures,
        row.open_until,
        row.sent,
        row.failed,
        row.last_sent,
        row.last_error,
        row.last_error_time,
    )
