"""A storm of many devices in a long outage: what is put together never outgrows what the hub can remember."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.alerts import alert
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.eviction import MOST_NAMED
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.reading.effects import Effects
from vedette_hub.fleet.ledger import MAX_RANGES, Ledger, LedgerFullError
from vedette_models import messages
from vedette_models.messages import PRIORITIES, Alert, Committed, Receipt, Report

SMALL, FEW = 60, 40
"""Ranges that a small hub remembers, and that a gateway of its size names."""


def storm(box: Outbox, devices: int, rounds: int) -> int:
    """Every device raises and clears an alert in every round, while the hub is away; how many events that were."""
    events = 0
    for number in range(rounds):
        for revision, state in ((1, "active"), (2, "cleared")):
            raised = [
                alert(id=f"{d}-{number}", device=f"d{d}", revision=revision, state=state, time=float(number))
                for d in range(devices)
            ]
            box.commit(Effects(alerts=raised), float(number))
            events += len(raised)
    return events


def drain(box: Outbox, max_ranges: int) -> tuple[Ledger, int]:
    """Deliver everything: the hub's ledger of alerts, and how many ranges of rows were named.

    Raises:
        LedgerFullError: the hub would have held a row back for ever.
    """
    ledgers = {priority: Ledger(max_ranges=max_ranges) for priority in PRIORITIES}
    named = 0
    while True:
        box.declare_losses(1e6)
        rows = box.pending_hub(100)
        if not rows:
            return ledgers["alerts"], named
        for row in rows:
            ledgers[row.priority].add(row.sequence)
            if row.priority == "reports":
                for loss in messages.from_bytes(Report, row.body).losses:
                    ledgers[loss.priority].add(loss.first, loss.last)
            elif row.priority == "alerts":
                coalesced = messages.from_bytes(Alert, row.body).coalesced
                for first, last in coalesced.rows if coalesced is not None else ():
                    ledgers["alerts"].add(first, last)
                    named += 1
        box.local_done([row.id for row in rows])
        done = [Committed(name, box.epoch, found.through, found.above(10_000)) for name, found in ledgers.items()]
        box.apply(Receipt(tuple(done)))


@pytest.mark.fault(fault="a storm of many devices in a long outage", expected="drained, every number accounted for")
def test_a_storm_of_many_devices_is_drained_and_every_number_accounted_for(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    box = Outbox(tmp_path / "agent.db", "gw", OutboxLimits(max_rows=1_500, history_rows=3), to_hub=True)
    events = storm(box, devices=200, rounds=100)
    ledger, named = drain(box, MAX_RANGES)
    lost = box.stats().lost
    box.close()
    assert (ledger.through, ledger.ranges) == (events, ())
    assert 0 < named <= MOST_NAMED < MAX_RANGES
    record_property("observed", f"{events} events of 200 devices in a box of 1500 rows: {lost} declared lost")


@pytest.mark.parametrize("bounded", [True, False], ids=["bounded", "unbounded"])
def test_a_gateway_that_named_more_than_the_hub_remembers_would_never_be_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: bool
) -> None:
    monkeypatch.setattr("vedette_agent.delivery.eviction.MOST_NAMED", FEW if bounded else 1_000_000)
    box = Outbox(tmp_path / "agent.db", "gw", OutboxLimits(max_rows=100, history_rows=3), to_hub=True)
    events = storm(box, devices=30, rounds=60)
    if bounded:
        ledger, named = drain(box, SMALL)
        assert (ledger.through, ledger.ranges) == (events, ())
        assert 0 < named <= FEW
    else:
        with pytest.raises(LedgerFullError):
            drain(box, SMALL)
    box.close()
