"""A batch and its ledger are one transaction; what is receipted is committed, once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, func, select

from tests.hub.gateway import alert, row
from vedette_hub.alerts import lifecycle
from vedette_hub.api.answers import alert_answer
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import Outcome, StoreUnavailableError, commit
from vedette_hub.fleet.ledger import Ledger
from vedette_hub.store import alerts as alert_store
from vedette_hub.store import database
from vedette_hub.store import fleet as fleet_store
from vedette_hub.store.alert_search import AlertFilter, count_alerts, list_alerts
from vedette_hub.store.database import open_store, reading, writing
from vedette_hub.store.migrate import migrate
from vedette_hub.store.schema import alert_events, losses, reports, unparsed
from vedette_models import topics
from vedette_models.messages import (
    Alert,
    Coalesced,
    Committed,
    Damage,
    DeclaredLoss,
    Delivery,
    Report,
    Row,
    Status,
    to_bytes,
)

LIMITS = LimitsSection()
NOW = 1_800_000_000.0


def take(
    engine: Engine, *rows: Row, gateway: str = "gw-1", subject: str = "alerts", limits: LimitsSection = LIMITS
) -> Outcome:
    found = parse(topics.gateway_up(gateway, subject), to_bytes(Delivery(rows)))
    return commit(engine, found, NOW, limits)


def committed(outcome: Outcome, gateway: str = "gw-1") -> list[Committed]:
    return [done for receipt in outcome.receipts[gateway] for done in receipt.committed]


def gateway_row(engine: Engine, name: str = "gw-1") -> fleet_store.StoredGateway:
    with reading(engine) as connection:
        found = fleet_store.find_gateway(connection, name)
    assert found is not None
    return found


def count(engine: Engine, table: object) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_a_new_row_is_stored_and_receipted(engine: Engine) -> None:
    outcome = take(engine, row(1, alert(1)), row(2, alert(2)))
    assert committed(outcome) == [Committed("alerts", "e1", 2)]
    with reading(engine) as connection:
        found = list_alerts(connection, AlertFilter(), limit=10)
    assert [stored.record.event for stored in found] == [alert(2), alert(1)]
    assert gateway_row(engine).last_seen == NOW


def test_a_duplicate_is_receipted_again_without_effect(engine: Engine) -> None:
    take(engine, row(1, alert(1)))
    outcome = take(engine, row(1, alert(1)), row(1, alert(1)))
    assert committed(outcome) == [Committed("alerts", "e1", 1)]
    assert (outcome.rows, outcome.duplicates) == (0, 2)
    assert count(engine, alert_events) == 1
    assert gateway_row(engine).duplicates == 2


def test_rows_ahead_of_a_gap_are_named_one_by_one(engine: Engine) -> None:
    outcome = take(engine, row(1, alert(1)), row(4, alert(4)), row(6, alert(6)))
    assert committed(outcome) == [Committed("alerts", "e1", 1, (4, 6))]
    assert committed(take(engine, row(2, alert(2)), row(3, alert(3)))) == [Committed("alerts", "e1", 4, (6,))]


def test_epochs_and_classes_have_ledgers_of_their_own(engine: Engine) -> None:
    take(engine, row(1, alert(1)))
    assert take(engine, row(1, alert(2), "e2")).rows == 1
    assert take(engine, row(1, Report(1.0, text="hello")), subject="reports").rows == 1
    assert take(engine, row(1, alert(1, gateway="gw-2")), gateway="gw-2").rows == 1
    assert count(engine, reports) == 1


@settings(derandomize=True, max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4)), min_size=1, max_size=30), st.integers(1, 5))
def test_any_order_split_and_repetition_has_the_effect_of_one_clean_run(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, int]], size: int
) -> None:
    engine = open_store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'hub.db'}")
    migrate(engine)
    rows = [row(4 * number + revision, alert(number, revision=revision)) for number, revision in sent]
    for start in range(0, len(rows), size):
        outcome = take(engine, *rows[start : start + size])
        ledger = committed(outcome)[0]
        assert all(
            item.sequence <= ledger.through or item.sequence in ledger.also for item in rows[start : start + size]
        )
    with reading(engine) as connection:
        found = list_alerts(connection, AlertFilter(), limit=100)
    newest = {number: max(revision for n, revision in sent if n == number) for number, _ in sent}
    assert {stored.record.event.id: stored.record.event.revision for stored in found} == {
        f"a-{number}": revision for number, revision in newest.items()
    }
    assert count(engine, alert_events) == len(set(sent))
    engine.dispose()


def test_a_declared_loss_is_kept_once_and_passes_the_watermark(engine: Engine) -> None:
    take(engine, row(1, alert(1)), row(5, alert(5)))
    loss = DeclaredLoss("alerts", "e1", 2, 4, "outbox full")
    outcome = take(engine, row(1, Report(2.0, (loss,))), subject="reports")
    assert Committed("alerts", "e1", 5) in committed(outcome)
    assert Committed("reports", "e1", 1) in committed(outcome)
    take(engine, row(2, Report(3.0, (loss,))), subject="reports")
    assert count(engine, losses) == 1
    assert gateway_row(engine).lost_rows == 3


def test_a_row_that_cannot_be_parsed_is_kept_raw_counted_and_receipted(engine: Engine) -> None:
    limits = LimitsSection(unparsed_bytes=256)
    outcome = take(engine, row(1, alert(1)), row(2, b'{"new":"' + b"x" * 1000 + b'"}'), limits=limits)
    assert committed(outcome) == [Committed("alerts", "e1", 2)]
    with reading(engine) as connection:
        kept = connection.execute(select(unparsed)).one()
    assert (kept.gateway, kept.size, len(kept.payload)) == ("gw-1", 1010, 256)
    assert gateway_row(engine).unparsed == 1
    assert take(engine, row(2, b"{}"), limits=limits).unparsed == 0


def test_a_message_that_cannot_be_parsed_is_kept_and_not_receipted(engine: Engine) -> None:
    outcome = commit(engine, parse(topics.gateway_up("gw-1", "alerts"), b"garbage"), NOW, LIMITS)
    assert outcome.unparsed == 1
    assert not outcome.receipts
    assert count(engine, unparsed) == 1


def test_a_poisonous_row_ends_as_unparsed_and_harms_no_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = lifecycle.apply

    def breaks_on_13(record: lifecycle.AlertRecord | None, happened: Alert, rule: Any = None) -> lifecycle.AlertRecord:
        if happened.id == "a-13":
            raise ValueError("cannot be stored")
        return genuine(record, happened, rule)

    monkeypatch.setattr(lifecycle, "apply", breaks_on_13)
    outcome = take(engine, *(row(number, alert(number)) for number in range(1, 31)))
    assert committed(outcome)[-1].through == 30
    with reading(engine) as connection:
        assert count_alerts(connection, AlertFilter()).number == 29
        assert "cannot be stored" in connection.execute(select(unparsed.c.error)).scalar_one()


def test_a_locked_database_commits_and_receipts_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    impatient = database.open_store(engine.url.render_as_string())
    with writing(engine), pytest.raises(StoreUnavailableError, match="locked"):
        take(impatient, row(1, alert(1)))
    assert take(impatient, row(1, alert(1))).rows == 1
    impatient.dispose()


def test_a_full_disk_commits_nothing_and_later_all(engine: Engine) -> None:
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limit = pages + 5

    @event.listens_for(engine, "begin", insert=True)
    def cap(connection: object) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {limit}")  # type: ignore[attr-defined]

    many = [row(number, alert(number)) for number in range(1, 201)]
    with pytest.raises(StoreUnavailableError, match="full"):
        take(engine, *many)
    with reading(engine) as connection:
        assert count_alerts(connection, AlertFilter()).number == 0
    limit = 1_000_000
    assert committed(take(engine, *many)) == [Committed("alerts", "e1", 200)]


def test_a_last_will_and_a_retained_status_are_no_sign_of_life(engine: Engine) -> None:
    topic = topics.gateway_up("gw-1", "status")
    alive = to_bytes(Status("gw-1", online=True, time=NOW - 900))
    commit(engine, parse(topic, alive, retained=True), NOW, LIMITS)
    assert (gateway_row(engine).online, gateway_row(engine).last_seen) == (True, NOW - 900)
    commit(engine, parse(topic, alive), NOW, LIMITS)
    assert gateway_row(engine).last_seen == NOW
    commit(engine, parse(topic, to_bytes(Status("gw-1", online=False, reason="lost"))), NOW + 60, LIMITS)
    assert (gateway_row(engine).online, gateway_row(engine).last_seen) == (False, NOW)


def test_gateways_beyond_the_limit_get_no_receipt(engine: Engine) -> None:
    limits = LimitsSection(gateways=1)
    take(engine, row(1, alert(1)), limits=limits)
    outcome = take(engine, row(1, alert(1, gateway="gw-2")), gateway="gw-2", limits=limits)
    assert not outcome.receipts
    assert outcome.unparsed == 1
    assert take(engine, row(2, alert(2)), limits=limits).rows == 1


def test_an_alert_keeps_its_first_and_its_newest_revisions(engine: Engine) -> None:
    limits = LimitsSection(events_per_alert=3)
    for revision in range(1, 8):
        take(engine, row(revision, alert(1, revision=revision)), limits=limits)
    with reading(engine) as connection:
        events, _ = alert_store.history(connection, ("gw-1", "a-1"))
    assert [item.event.revision for item in events] == [1, 5, 6, 7]


def test_a_history_stays_within_its_limit_in_whatever_order_revisions_come(engine: Engine) -> None:
    limits = LimitsSection(events_per_alert=3)
    for number, revision in enumerate([1, *range(1_000_010, 1_000_000, -1)], 1):
        take(engine, row(number, alert(1, revision=revision)), limits=limits)
    with reading(engine) as connection:
        events, _ = alert_store.history(connection, ("gw-1", "a-1"))
    assert [item.event.revision for item in events] == [1, 1_000_008, 1_000_009, 1_000_010]


def test_a_gap_too_many_is_held_back_and_comes_through_later(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_store, "Ledger", lambda *stored: Ledger(*stored, max_ranges=1))
    outcome = take(engine, row(3, alert(3)), row(5, alert(5)))
    assert (outcome.rows, outcome.held_back) == (1, 1)
    assert committed(outcome) == [Committed("alerts", "e1", 0, (3,))]
    assert gateway_row(engine).held_back == 1
    take(engine, row(1, alert(1)), row(2, alert(2)), row(4, alert(4)))
    assert committed(take(engine, row(5, alert(5)))) == [Committed("alerts", "e1", 5)]


def test_a_report_that_is_held_back_has_no_effect_and_has_it_once_when_it_comes_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_store, "Ledger", lambda *stored: Ledger(*stored, max_ranges=1))
    lost = (DeclaredLoss("alerts", "e1", 1, 1, "disk"), DeclaredLoss("alerts", "e1", 5, 5, "disk"))
    damaged = Report(1.0, (*lost, DeclaredLoss("alerts", "e1", 9, 9, "disk")), (Damage(1.0, "flash", "e1"),))
    for _ in range(3):
        outcome = take(engine, row(1, damaged), subject="reports")
        assert (outcome.rows, outcome.held_back) == (0, 1)
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(reports)).scalar_one() == 0
        assert connection.execute(select(func.count()).select_from(losses)).scalar_one() == 0
    assert gateway_row(engine).lost_rows == 0
    take(engine, *(row(number, alert(number)) for number in (2, 3, 4)))
    assert take(engine, row(1, damaged), subject="reports").held_back == 0
    assert gateway_row(engine).lost_rows == 3
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(reports)).scalar_one() == 1
        (ledger,) = fleet_store.load_ledgers(connection, [("gw-1", "alerts", "e1")]).values()
    assert (ledger.through, ledger.ranges) == (5, ((9, 9),))


def test_standing_receipts_speak_of_the_newest_epochs_only(engine: Engine) -> None:
    for number in range(1, 6):
        found = parse(topics.gateway_up("gw-1", "alerts"), to_bytes(Delivery((row(1, alert(number), f"e{number}"),))))
        commit(engine, found, NOW + number, LIMITS)
    with reading(engine) as connection:
        standing = fleet_store.recent_ledgers(connection, NOW, epochs=2)
        assert not fleet_store.recent_ledgers(connection, NOW + 6, epochs=2)
    assert set(standing) == {("gw-1", "alerts", "e4"), ("gw-1", "alerts", "e5")}


def coalesced(number: int, *rows: tuple[int, int], alerts: int = 2) -> Alert:
    events = 1 + sum(last - first + 1 for first, last in rows)
    several = Coalesced(alerts=alerts, events=events, first=1.0, last=2.0, revision=1, rows=rows)
    return msgspec.structs.replace(alert(number), coalesced=several)


def test_a_row_that_stands_for_others_has_one_effect_and_explains_their_numbers(engine: Engine) -> None:
    outcome = take(engine, row(1, alert(1)), row(6, coalesced(2, (2, 3), (5, 5))))
    assert committed(outcome) == [Committed("alerts", "e1", 3, (5, 6))]
    again = take(engine, row(6, coalesced(2, (2, 3), (5, 5))), row(4, alert(3)))
    assert committed(again) == [Committed("alerts", "e1", 6)]
    assert again.duplicates == 1
    with reading(engine) as connection:
        found = list_alerts(connection, AlertFilter(), limit=10)
    assert len(found) == 3
    several = alert_answer(next(stored for stored in found if stored.record.event.coalesced))["coalesced"]
    assert (several["alerts"], several["events"], several["first"], several["last"]) == (2, 4, 1.0, 2.0)


@pytest.mark.parametrize(
    "wrong",
    [
        coalesced(1, (6, 9)),
        coalesced(1, (3, 4), (2, 2)),
        coalesced(1, (0, 1)),
        coalesced(1, (1, 2), alerts=9),
        msgspec.structs.replace(coalesced(1, (1, 2)), coalesced=Coalesced(1, 99, 1.0, 2.0, 1, ((1, 2),))),
    ],
)
def test_a_row_speaks_for_no_others_than_those_before_it(engine: Engine, wrong: Alert) -> None:
    outcome = take(engine, row(5, wrong))
    assert outcome.unparsed == 1
    assert committed(outcome) == [Committed("alerts", "e1", 0, (5,))], "the row itself is receipted, and kept raw"


def test_a_damaged_database_is_a_loss_of_unknown_extent_on_record(engine: Engine) -> None:
    take(engine, row(1, alert(1)), row(3, alert(3)))
    report = Report(NOW, damages=(Damage(NOW, "malformed", "e2", ("e1",)),))
    take(engine, row(1, report, epoch="e2"), subject="reports")
    with reading(engine) as connection:
        found = connection.execute(select(losses.c.priority, losses.c.epoch, losses.c.rows, losses.c.reason)).all()
    assert {(priority, epoch, rows) for priority, epoch, rows, _ in found} == {
        ("alerts", "e1", 0), ("reports", "e1", 0), ("samples", "e1", 0)
    }  # fmt: skip
    assert all("unknown extent: malformed" in reason for *_, reason in found)
    late = take(engine, row(2, alert(2)))
    assert late.rows == 1, "what was on its way still counts"
    assert committed(late) == [Committed("alerts", "e1", 3)]
