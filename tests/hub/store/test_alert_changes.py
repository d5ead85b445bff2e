"""Who follows alerts asks for what has changed since they last looked, and misses nothing."""

from __future__ import annotations

from sqlalchemy import Engine

from tests.hub.gateway import alert, row
from vedette_hub.alerts.actions import act
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store.alerts import Action, alerts_changed, last_change
from vedette_hub.store.database import reading
from vedette_models import topics
from vedette_models.messages import Delivery, to_bytes


def deliver(engine: Engine, *numbers: int) -> None:
    rows = tuple(row(number, alert(number)) for number in numbers)
    commit(engine, parse(topics.gateway_up("gw-1", "alerts"), to_bytes(Delivery(rows))), 1.0, LimitsSection())


def changed(engine: Engine, after: int, limit: int = 100) -> list[tuple[str, int]]:
    with reading(engine) as connection:
        return [(one.record.event.id, one.changed) for one in alerts_changed(connection, after, limit=limit)]


def test_what_has_changed_comes_in_order_once_as_it_is_now(engine: Engine) -> None:
    with reading(engine) as connection:
        assert last_change(connection) == 0
    deliver(engine, 1, 2, 3)
    assert changed(engine, 0) == [("a-1", 1), ("a-2", 2), ("a-3", 3)]
    assert act(engine, ("gw-1", "a-1"), Action("acknowledge", 2.0, "ana")) is not None
    deliver(engine, 3, 4)
    assert changed(engine, 0) == [("a-2", 2), ("a-3", 3), ("a-1", 4), ("a-4", 5)], "a repeated row is no change"
    assert changed(engine, 3, limit=1) == [("a-1", 4)]
    with reading(engine) as connection:
        assert last_change(connection) == 5
