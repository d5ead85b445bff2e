"""Routes in the store: which alerts go to which channels."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from vedette_hub.alerts.matching import Matchers
from vedette_hub.errors import HubError
from vedette_hub.notify.routing import Bounds, Hours, Route
from vedette_hub.store.channels import get_channel
from vedette_hub.store.notify_schema import channels, route_channels, routes

MOST_ROUTES = 200
"""Routes there can be."""


class RouteError(HubError):
    """A route that cannot be added or changed as asked."""


class UnknownRouteError(RouteError):
    """There is no such route."""


def list_routes(connection: Connection) -> list[Route]:
    """Routes by name."""
    names: dict[int, list[str]] = {}
    leads = select(route_channels.c.route, channels.c.name).join(
        channels, channels.c.number == route_channels.c.channel
    )
    for number, name in connection.execute(leads.order_by(channels.c.name)):
        names.setdefault(number, []).append(name)
    rows = connection.execute(select(routes).order_by(routes.c.name))
    return [_route(row, tuple(names.get(row.number, ()))) for row in rows]


def get_route(connection: Connection, name: str) -> Route:
    """The route with a name.

    Raises:
        UnknownRouteError: there is none.
    """
    row = connection.execute(select(routes).where(routes.c.name == name)).first()
    if row is None:
        raise UnknownRouteError(f"there is no route {name!r}")
    leads = select(channels.c.name).join(route_channels, route_channels.c.channel == channels.c.number)
    found = connection.execute(leads.where(route_channels.c.route == row.number).order_by(channels.c.name)).scalars()
    return _route(row, tuple(found))


def add_route(connection: Connection, route: Route) -> Route:
    """Add a route.

    Raises:
        RouteError: the name is taken, or there are too many.
        UnknownChannelError: it leads to a channel that there is not.
    """
    if connection.execute(select(func.count()).select_from(routes)).scalar_one() >= MOST_ROUTES:
        raise RouteError(f"route {route.name!r}: there are {MOST_ROUTES} already, which is as many as there can be")
    try:
        with connection.begin_nested():
            row = insert(routes).values(**_columns(route), created=route.created, created_by=route.created_by)
            number = connection.execute(row.returning(routes.c.number)).scalar_one()
    except IntegrityError as error:
        raise RouteError(f"route {route.name!r}: there is one already") from error
    _lead(connection, number, route.channels)
    return get_route(connection, route.name)


def change_route(connection: Connection, route: Route) -> Route:
    """Change the route with this number to what is given.

    Raises:
        RouteError: the name is taken.
        UnknownChannelError: it leads to a channel that there is not.
    """
    try:
        with connection.begin_nested():
            connection.execute(update(routes).where(routes.c.number == route.number).values(**_columns(route)))
    except IntegrityError as error:
        raise RouteError(f"route {route.name!r}: there is one already") from error
    _lead(connection, route.number, route.channels)
    return get_route(connection, route.name)


def remove_route(connection: Connection, name: str) -> Route:
    """Remove a route; what was told stays in the history.

    Raises:
        UnknownRouteError: there is none.
    """
    route = get_route(connection, name)
    connection.execute(delete(routes).where(routes.c.number == route.number))
    return route


def _lead(connection: Connection, number: int, names: tuple[str, ...]) -> None:
    found = [get_channel(connection, name).number for name in dict.fromkeys(names)]
    connection.execute(delete(route_channels).where(route_channels.c.route == number))
    if found:
        connection.execute(insert(route_channels), [{"route": number, "channel": channel} for channel in found])


def _columns(route: Route) -> dict[str, Any]:
    settings = {
        "matchers": route.matchers.patterns(),
        "hours": asdict(route.hours),
        "bounds": asdict(route.bounds),
        "tell_worse": route.tell_worse,
        "tell_cleared": route.tell_cleared,
    }
    return {
        "name": route.name,
        "enabled": route.enabled,
        "settings": json.dumps(settings),
        "comment": route.comment,
    }


def _route(row: Row[Any], names: tuple[str, ...]) -> Route:
    kept = json.loads(row.settings)
    hours = Hours(**kept["hours"])
    return Route(
        row.name,
        names,
        Matchers.of(kept["matchers"]),
        replace(hours, days=tuple(hours.days)),
        Bounds(**kept["bounds"]),
        kept["tell_worse"],
        kept["tell_cleared"],
        row.enabled,
        row.comment,
        row.number,
        row.created,
        row.created_by,
    )
