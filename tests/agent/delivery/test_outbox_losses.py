"""Whatever happens to a box: every sequence number is waiting, receipted, or inside a declared range."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.agent.alerts import alert
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.reading.effects import Effects
from vedette_models import messages
from vedette_models.messages import Committed, DeclaredLoss, Priority, Receipt, Report

Key = tuple[str, str, int]
"""Class, epoch, sequence."""


class Box(RuleBasedStateMachine):
    """An outbox, the hub that receipts what it was sent, and the devices' broker."""

    @initialize(rows=st.integers(1, 12))
    def open_box(self, rows: int) -> None:
        self.folder = TemporaryDirectory()
        self.limits = OutboxLimits(max_rows=rows, history_rows=3)
        self.clock = 0.0
        self.assigned: set[Key] = set()
        self.at_hub: set[Key] = set()
        self.told: list[DeclaredLoss] = []
        """Losses in the reports that the hub has."""
        self.box = self.open()

    def open(self) -> Outbox:
        return Outbox(Path(self.folder.name) / "agent.db", "gw", self.limits, to_hub=True)

    def teardown(self) -> None:
        if hasattr(self, "box"):
            self.box.close()
            self.folder.cleanup()

    def note_sequences(self, epoch: str, before: dict[Priority, int]) -> None:
        for priority, first in before.items():
            self.assigned |= {(priority, epoch, n) for n in range(first, self.box._next[priority])}

    @rule(count=st.integers(1, 5))
    def raise_alerts(self, count: int) -> None:
        before = dict(self.box._next)
        self.clock += 1
        self.box.commit(Effects(alerts=[alert(device=f"d{i}") for i in range(count)]), self.clock)
        self.note_sequences(self.box.epoch, before)

    @rule()
    def declare(self) -> None:
        before = dict(self.box._next)
        self.box.declare_losses(self.clock)
        self.note_sequences(self.box.epoch, before)

    @rule(count=st.integers(1, 8), skip=st.integers(0, 3), receipted=st.booleans())
    def send(self, count: int, skip: int, receipted: bool) -> None:
        rows = self.box.pending_hub(skip + count)[skip:]
        for row in rows:
            if row.priority == "reports" and (row.priority, row.epoch, row.sequence) not in self.at_hub:
                self.told += messages.from_bytes(Report, row.body).losses
            self.at_hub.add((row.priority, row.epoch, row.sequence))
        if receipted and rows:
            self.box.apply(Receipt(tuple(Committed(r.priority, r.epoch, 0, (r.sequence,)) for r in rows)))

    @rule()
    def receipt_again_with_watermarks(self) -> None:
        epochs = {key[:2] for key in self.at_hub}
        committed = []
        for priority, epoch in sorted(epochs):
            have = {key[2] for key in self.at_hub if key[:2] == (priority, epoch)}
            through = next(n for n in range(1, max(have) + 2) if n not in have) - 1
            committed.append(Committed(priority, epoch, through, tuple(n for n in have if n > through)))  # type: ignore[arg-type]  # a class of ours
        self.box.apply(Receipt(tuple(committed)))

    @rule(count=st.integers(1, 8))
    def publish_locally(self, count: int) -> None:
        self.box.local_done([row.id for row in self.box.pending_local(count)])

    @rule()
    def restart(self) -> None:
        self.box.close()
        self.box = self.open()

    def ranges(self) -> list[Key]:
        rows = self.box.database.select("SELECT priority, epoch, first, last FROM loss")
        return [(messages.PRIORITIES[p], e, n) for p, e, first, last in rows for n in range(first, last + 1)]

    @invariant()
    def every_number_is_accounted_for(self) -> None:
        if not hasattr(self, "box"):
            return
        waiting = {(r.priority, r.epoch, r.sequence) for r in self.box.pending_hub(1000)}
        lost = self.ranges()
        assert len(lost) == len(set(lost)), "declared twice"
        assert not waiting & set(lost)
        assert self.assigned == waiting | set(lost) | (self.at_hub & self.assigned)

    @invariant()
    def the_box_keeps_its_bound(self) -> None:
        if hasattr(self, "box"):
            stats = self.box.stats()
            assert stats.rows <= self.limits.max_rows
            assert stats.rows == len(self.box.database.select("SELECT id FROM outbox"))

    @invariant()
    def what_the_reports_say_is_what_was_lost(self) -> None:
        """A loss that is marked as reported stands in the body of the report, or in one the hub has."""
        if not hasattr(self, "box"):
            return
        reported = self.box.database.select(
            "SELECT priority, epoch, first, last FROM loss WHERE reported_by IS NOT NULL"
        )
        said = list(self.told)
        for (body,) in self.box.database.select("SELECT body FROM outbox WHERE priority = 1"):
            said += messages.from_bytes(Report, body).losses
        spoken = {(loss.priority, loss.epoch, n) for loss in said for n in range(loss.first, loss.last + 1)}
        for rank, epoch, first, last in reported:
            assert {(messages.PRIORITIES[rank], epoch, n) for n in range(first, last + 1)} <= spoken


Box.TestCase.settings = settings(max_examples=25, stateful_step_count=25, derandomize=True, deadline=None)
TestBox = Box.TestCase
