"""A hub's store with channels and routes, alerts that come in, and what was queued."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from tests.hub.gateway import alert, row
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.notify import follow
from vedette_hub.notify.channels import ChannelSetup, add_channel
from vedette_hub.notify.routing import Route
from vedette_hub.notify.sealing import Seal
from vedette_hub.store import routes
from vedette_hub.store.database import reading, writing
from vedette_hub.store.deliveries import Delivery, DeliveryFilter, list_deliveries
from vedette_models import topics
from vedette_models.messages import Delivery as Rows
from vedette_models.messages import to_bytes

SEAL = Seal(b"k" * 32)
SETUP = ChannelSetup(SEAL, allow_http=True)
_sequence = [0]


def arrive(engine: Engine, number: int, *, now: float = 1.0, **fields: object) -> None:
    """An event of an alert reaches the hub."""
    _sequence[0] += 1
    event = alert(number, **fields)  # type: ignore[arg-type]  # fields of an alert
    body = to_bytes(Rows((row(_sequence[0], event),)))
    commit(engine, parse(topics.gateway_up(event.gateway, "alerts"), body), now, LimitsSection())


def clear(engine: Engine, number: int, *, revision: int = 9, now: float = 1.0, **fields: object) -> None:
    """An alert is over."""
    arrive(
        engine,
        number,
        revision=revision,
        state="cleared",
        cleared=1_700_000_900.0,
        cleared_by="quiet",
        now=now,
        **fields,
    )


def channel(engine: Engine, name: str, kind: str = "log", **settings: Any) -> int:
    """A channel; its number."""
    with writing(engine) as connection:
        made = add_channel(connection, SETUP, name, kind, settings, now=1.0, by="ana")
    return made.channel.number


def route(engine: Engine, name: str, *channels: str, **fields: Any) -> Route:
    """A route."""
    with writing(engine) as connection:
        return routes.add_route(connection, Route(name, channels, created=1.0, created_by="ana", **fields))


def followed(engine: Engine, now: float = 10.0) -> int:
    """Follow to the end; how many messages were queued."""
    queued = 0
    while True:
        done = follow.step(engine, now)
        queued += done.queued
        if not done.more:
            return queued


def queued(engine: Engine, **chosen: Any) -> list[Delivery]:
    """Messages, the oldest first."""
    with reading(engine) as connection:
        return list_deliveries(connection, DeliveryFilter(**chosen), limit=500)[::-1]


def causes(engine: Engine, **chosen: Any) -> list[tuple[str, str, str]]:
    """(channel, alert, cause) of messages, the oldest first."""
    return [(one.channel, one.alert, one.cause) for one in queued(engine, **chosen)]
