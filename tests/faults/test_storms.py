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
from vedette_hub.fleet.ledger import MAX_RANGES, Ledger
from vedette_models import messages
from vedette_models.messages import PRIORITIES, Alert, Committed, Receipt, Report

DEVICES, ROUNDS, ROWS = 200, 100, 1_500


@pytest.mark.fault(fault="a storm of many devices in a long outage", expected="drained, every number accounted for")
def test_a_storm_of_many_devices_is_drained_and_every_number_accounted_for(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    box = Outbox(tmp_path / "agent.db", "gw", OutboxLimits(max_rows=ROWS, history_rows=3), to_hub=True)
    events = 0
    for number in range(ROUNDS):
        for state in ("active", "cleared"):
            raised = [
                alert(
                    id=f"{device}-{number}",
                    device=f"d{device}",
                    revision=1 if state == "active" else 2,
                    state=state,
                    time=float(number),
                )
                for device in range(DEVICES)
            ]
            box.commit(Effects(alerts=raised), float(number))
            events += len(raised)

    ledgers = {priority: Ledger() for priority in PRIORITIES}
    named = 0
    while True:
        box.declare_losses(float(ROUNDS))
        rows = box.pending_hub(100)
        if not rows:
            break
        for row in rows:
            ledgers[row.priority].add(row.sequence)  # LedgerFullError: the hub would have held it back for ever
            if row.priority == "reports":
                for loss in messages.from_bytes(Report, row.body).losses:
                    ledgers[loss.priority].add(loss.first, loss.last)
            elif row.priority == "alerts":
                coalesced = messages.from_bytes(Alert, row.body).coalesced
                for first, last in coalesced.rows if coalesced is not None else ():
                    ledgers["alerts"].add(first, last)
                    named += 1
        box.local_done([row.id for row in rows])
        box.apply(
            Receipt(
                tuple(
                    Committed(priority, box.epoch, ledger.through, ledger.above(10_000))
                    for priority, ledger in ledgers.items()
                )
            )
        )
    lost = box.stats().lost
    box.close()

    assert ledgers["alerts"].through == events
    assert not ledgers["alerts"].ranges
    assert 0 < named <= MOST_NAMED < MAX_RANGES
    record_property("observed", f"{events} events of {DEVICES} devices in a box of {ROWS} rows: {lost} declared lost")
