"""The store stays within its limits, and what goes first is what is needed least."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from tests.hub.gateway import alert, row
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store import audit
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.audit import AuditFilter, Entry
from vedette_hub.store.database import reading, writing
from vedette_hub.store.retention import prune
from vedette_hub.store.schema import alert_events, unparsed
from vedette_models import topics
from vedette_models.messages import Delivery, Report, to_bytes


def test_the_oldest_cleared_alerts_go_first_with_their_history(engine: Engine) -> None:
    limits = LimitsSection(alerts=3)
    rows = [row(number, alert(number, state="cleared" if number in (2, 4) else "active")) for number in range(1, 7)]
    commit(engine, parse(topics.gateway_up("gw-1", "alerts"), to_bytes(Delivery(tuple(rows)))), 1.0, limits)
    assert prune(engine, limits) == {"alerts_pruned": 3}
    assert prune(engine, limits) == {}
    with reading(engine) as connection:
        left = [found.record.event.id for found in list_alerts(connection, AlertFilter(), limit=10)]
        events = connection.execute(select(alert_events.c.alert)).scalars().all()
    assert left == ["a-6", "a-5", "a-3"]
    assert sorted(events) == sorted(left)


def test_a_gateway_with_many_alerts_takes_nothing_from_the_others(engine: Engine) -> None:
    limits = LimitsSection(alerts=10)
    for gateway, first, number in (("gw-1", 1, 2), ("gw-2", 3, 40), ("gw-3", 50, 6)):
        rows = [row(n, alert(n, gateway=gateway, state="cleared")) for n in range(first, first + number)]
        commit(engine, parse(topics.gateway_up(gateway, "alerts"), to_bytes(Delivery(tuple(rows)))), 1.0, limits)
    assert prune(engine, limits) == {"alerts_pruned": 38}
    with reading(engine) as connection:
        left = [found.record.event for found in list_alerts(connection, AlertFilter(), limit=99)]
    assert [event.id for event in left] == [*(f"a-{n}" for n in (55, 54, 53, 52, 42, 41, 40, 39, 2, 1))]


def test_the_oldest_unparsed_messages_and_reports_go(engine: Engine) -> None:
    limits = LimitsSection(unparsed=2, reports=2)
    for number in range(1, 6):
        commit(engine, parse(topics.gateway_up("gw-1", "alerts"), b"garbage %d" % number), float(number), limits)
        report = Delivery((row(number, Report(float(number))),))
        commit(engine, parse(topics.gateway_up("gw-1", "reports"), to_bytes(report)), float(number), limits)
    assert prune(engine, limits) == {"unparsed_pruned": 3, "reports_pruned": 3}
    with reading(engine) as connection:
        assert connection.execute(select(unparsed.c.payload)).scalars().all() == [b"garbage 4", b"garbage 5"]
        assert connection.execute(select(func.count()).select_from(unparsed)).scalar_one() == 2


def test_refusals_do_not_push_out_what_was_done(engine: Engine) -> None:
    limits = LimitsSection(audit=10)
    with writing(engine) as connection:
        for number in range(6):
            audit.note(connection, Entry(float(number), "ana", "", f"done.{number}"))
        for number in range(50):
            audit.note(connection, Entry(float(number), "nobody", "", f"no.{number}", outcome="refused"))
    assert prune(engine, limits) == {"audit_pruned": 46}
    with reading(engine) as connection:
        left = [one.entry.action for one in audit.list_entries(connection, AuditFilter(), limit=100)]
    assert left == [*(f"no.{n}" for n in range(49, 44, -1)), *(f"done.{n}" for n in range(5, 0, -1))]
    with writing(engine) as connection:
        for number in range(6, 20):
            audit.note(connection, Entry(float(number), "ana", "", f"done.{number}"))
    prune(engine, limits)
    with reading(engine) as connection:
        left = [one.entry.action for one in audit.list_entries(connection, AuditFilter(), limit=100)]
    assert left == [f"done.{n}" for n in range(19, 9, -1)]
