"""Whatever is looked for is found, in order and completely, though no request looks at everything."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from tests.hub.gateway import alert, row
from vedette_hub.alerts.actions import act
from vedette_hub.config import Config, LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.hub import open_database
from vedette_hub.store import alert_search
from vedette_hub.store.alert_rows import StoredAlert
from vedette_hub.store.alert_search import AlertFilter, count_alerts, page_of_alerts
from vedette_hub.store.alerts import Action
from vedette_hub.store.database import reading, writing
from vedette_models import topics
from vedette_models.messages import SEVERITIES, Delivery, to_bytes

ALERTS = 80
GATEWAYS, DEVICES, PROFILES = ("gw-1", "gw-2", "gw-3"), ("a", "b", "c", "d"), ("pump", "fan")
KINDS, DETECTORS, PEOPLE = ("anomaly", "stuck", "jump"), ("", "lof"), ("ana", "bob")
LABELS = ("true", "false", "normal")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Eighty alerts of all sorts, a few of them pruned, in a store that looks at ten at a time."""
    engine = open_database(Config.model_validate({"hub": {"state_dir": str(tmp_path_factory.mktemp("hub") / "state")}}))
    draw = random.Random(3)
    sequences = dict.fromkeys(GATEWAYS, 0)
    for number in range(ALERTS):
        # The first gateway falls quiet half way through.
        gateway = draw.choice(GATEWAYS[1:] if number > ALERTS // 2 else GATEWAYS)
        sequences[gateway] += 1
        event = alert(
            number,
            gateway=gateway,
            device=draw.choice(DEVICES),
            profile=draw.choice(PROFILES),
            kind=draw.choice(KINDS),
            severity=draw.choice(SEVERITIES),
            detector=draw.choice(DETECTORS),
            state=draw.choice(("active", "cleared")),
            opened=1000.0 + number + draw.choice((0.0, 0.0, -30.0)),
        )
        rows = Delivery((row(sequences[gateway], event),))
        commit(engine, parse(topics.gateway_up(gateway, "alerts"), to_bytes(rows)), 1.0, LimitsSection())
        key = (gateway, event.id)
        if draw.random() < 0.4:
            act(engine, key, Action("acknowledge", 2.0, "ana"))
        if draw.random() < 0.4:
            act(engine, key, Action("label", 2.0, "ana", label=draw.choice(LABELS)))  # type: ignore[arg-type]
        if draw.random() < 0.4:
            act(engine, key, Action("assign", 2.0, "ana", assignee=draw.choice(PEOPLE)))
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM alerts WHERE serial < 8 OR serial IN (20, 21, 22, 80)"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alert_search, "EXAMINED", 10)
        patch.setattr(alert_search, "COUNTED_AMONG", 8)
        patch.setattr(alert_search, "FEW", 4)
        patch.setattr(alert_search, "COUNTED", 12)
        yield engine
    engine.dispose()


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.just(()) | st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)


filters = st.builds(
    AlertFilter,
    gateway=some(*GATEWAYS, "nowhere"),
    device=some(*DEVICES),
    profile=some(*PROFILES),
    kind=some(*KINDS),
    severity=some(*SEVERITIES),
    detector=some(*DETECTORS),
    assignee=some(*PEOPLE, "none"),
    state=some("active", "cleared"),
    acknowledged=st.none() | st.booleans(),
    label=some(*LABELS, "none"),
    attention=st.none() | st.booleans(),
    since=st.none() | st.floats(990.0, 1090.0),
    until=st.none() | st.floats(990.0, 1090.0),
)
sparse = st.builds(
    lambda full, kept: AlertFilter(**{name: getattr(full, name) for name in kept}),
    filters,
    st.sets(st.sampled_from(list(AlertFilter.__dataclass_fields__)), max_size=3),
)


def fits(stored: StoredAlert, chosen: AlertFilter) -> bool:
    """What a filter says, said again."""
    record, event = stored.record, stored.record.event
    label = "none" if record.label is None else record.label.value
    assignee = "none" if record.assignment is None else record.assignment.to
    waits = record.state == "active" and not record.acknowledged
    return (
        all(
            not wanted or found in wanted
            for wanted, found in (
                (chosen.gateway, event.gateway),
                (chosen.device, event.device),
                (chosen.profile, event.profile),
                (chosen.kind, event.kind),
                (chosen.severity, record.severity),
                (chosen.detector, event.detector),
                (chosen.state, record.state),
                (chosen.label, label),
                (chosen.assignee, assignee),
            )
        )
        and chosen.acknowledged in (None, record.acknowledged)
        and chosen.attention in (None, waits)
        and (chosen.since is None or event.opened >= chosen.since)
        and (chosen.until is None or event.opened < chosen.until)
    )


def everything(connection: Connection) -> list[StoredAlert]:
    return page_of_alerts(connection, AlertFilter(), limit=ALERTS).alerts


@settings(derandomize=True, max_examples=150, deadline=None)
@given(filters | sparse, st.integers(1, 20))
def test_pages_together_have_all_that_fits_in_order_and_once(store: Engine, chosen: AlertFilter, limit: int) -> None:
    with reading(store) as connection:
        expected = [one.serial for one in everything(connection) if fits(one, chosen)]
        found: list[int] = []
        before: int | None = None
        for _ in range(ALERTS):
            page = page_of_alerts(connection, chosen, limit=limit, before=before)
            found += [one.serial for one in page.alerts]
            assert len(page.alerts) <= limit
            if page.next is None:
                break
            assert before is None or page.next < before
            before = page.next
        assert found == expected


@settings(derandomize=True, max_examples=100, deadline=None)
@given(filters | sparse)
def test_a_count_is_exact_or_says_that_there_are_more(store: Engine, chosen: AlertFilter) -> None:
    with reading(store) as connection:
        there = sum(fits(one, chosen) for one in everything(connection))
        counted = count_alerts(connection, chosen)
    assert counted.number == there if counted.exact else counted.number <= there


def test_a_count_ends_where_counting_ends(store: Engine) -> None:
    with reading(store) as connection:
        counted = count_alerts(connection, AlertFilter())
        few = count_alerts(connection, AlertFilter(gateway=("nowhere",)))
    assert (counted.number, counted.exact) == (12, False)
    assert (few.number, few.exact) == (0, True)


@pytest.mark.parametrize(
    "chosen",
    [
        AlertFilter(),
        AlertFilter(gateway=("gw-2",)),
        AlertFilter(detector=("lof",)),
        AlertFilter(profile=("fan",), severity=("critical", "high"), state=("active",)),
        AlertFilter(attention=True, kind=("stuck",)),
        AlertFilter(since=1000.0, until=1060.0, severity=("low",)),
        AlertFilter(label=("none",), assignee=("none",)),
    ],
    ids=str,
)
def test_no_question_reads_or_sorts_all_alerts(store: Engine, chosen: AlertFilter) -> None:
    asked: list[str] = []

    class Watching:
        """A connection that writes down how SQLite would answer."""

        def __init__(self, connection: Connection) -> None:
            self._connection = connection

        def execute(self, query: object) -> object:
            compiled = query.compile(self._connection, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
            asked.extend(
                line[3] for line in self._connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").fetchall()
            )
            return self._connection.execute(query)  # type: ignore[call-overload]

    with reading(store) as connection:
        page_of_alerts(Watching(connection), chosen, limit=5)  # type: ignore[arg-type]
        count_alerts(Watching(connection), chosen)  # type: ignore[arg-type]
    plain = [line for line in asked if line.startswith("SCAN alerts") and "INDEX" not in line]
    # The one scan that may be is the walk from the newest, without a condition; it ends with the page.
    assert not plain or chosen == AlertFilter()
    assert all("COVERING" in line for line in asked if "ix_alerts_facets" in line), "it has all that is asked for"
