from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.agent.alerts import alert, cleared
from vedette_agent.clock import Clock
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.database import OutboxError
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.mqtt.message import SettledKey
from vedette_agent.reading.effects import AlertStateRow, DeadLetterRow, Effects
from vedette_models import messages
from vedette_models.messages import Alert, Committed, Receipt, Report, SampleBatch

Open = Callable[..., Outbox]


@pytest.fixture
def open_box(tmp_path: Path) -> Iterator[Open]:
    """Open the box at tmp_path/agent.db, as often as one likes."""
    boxes: list[Outbox] = []

    def open_one(to_hub: bool = True, limits: dict[str, Any] | None = None, **options: Any) -> Outbox:
        boxes.append(Outbox(tmp_path / "agent.db", "gw", OutboxLimits(**(limits or {})), to_hub=to_hub, **options))
        return boxes[-1]

    yield open_one
    for box in boxes:
        box.close()


def alerts(count: int, **changes: Any) -> Effects:
    return Effects(alerts=[alert(device=f"d{i}", **changes) for i in range(count)])


def sequences(box: Outbox) -> list[int]:
    return [row.sequence for row in box.pending_hub(10_000)]


def contents(box: Outbox) -> dict[str, int]:
    tables = ("outbox", "loss", "alert_state", "settled", "history", "dead_letter", "request")
    return {table: box.database.number(f"SELECT count(*) FROM {table}") for table in tables}


EVERYTHING = Effects(
    alerts=[alert(), cleared()],
    states=[AlertStateRow("pump", "d1", "anomaly", b"{}")],
    dead_letters=[DeadLetterRow(1.0, "plant/x", "not_json", "why", b"\xff\x00")],
    settled=[SettledKey(7, b"digest")],
)


def test_everything_a_batch_caused_is_committed_together(open_box: Open) -> None:
    box = open_box()
    box.commit(EVERYTHING, 5.0)
    again = open_box()
    assert contents(again) == {
        "outbox": 2, "loss": 0, "alert_state": 1, "settled": 1, "history": 2, "dead_letter": 1, "request": 0
    }  # fmt: skip
    assert again.settled_keys() == [SettledKey(7, b"digest")]
    assert again.alert_states() == [AlertStateRow("pump", "d1", "anomaly", b"{}")]
    assert again.history(10) == [cleared(), alert()]
    assert again.dead_letters(10) == list(EVERYTHING.dead_letters)
    assert (again.stats().rows, again.stats().oldest) == (2, 5.0)
    assert [row.topic for row in again.pending_local(10)] == ["vedette/gw/d1/alert/anomaly"] * 2


def test_an_empty_state_is_forgotten(open_box: Open) -> None:
    box = open_box()
    box.commit(EVERYTHING, 5.0)
    box.commit(Effects(states=[AlertStateRow("pump", "d1", "anomaly", b"")]), 6.0)
    assert box.alert_states() == []


def test_a_commit_that_fails_in_the_middle_leaves_no_trace(open_box: Open) -> None:
    box = open_box()
    box.commit(alerts(2), 1.0)
    before, numbers = contents(box), (dict(box._next), replace(box._fill), box._settled.number)
    broken = EVERYTHING._replace(settled=[SettledKey(1, b"x"), SettledKey("no number", b"x")])  # type: ignore[arg-type]  # refused by the strict table
    with pytest.raises(OutboxError, match="cannot commit a batch"):
        box.commit(broken, 2.0)
    assert contents(box) == before
    assert (dict(box._next), box._fill, box._settled.number) == numbers
    box.commit(alerts(1), 3.0)
    assert sequences(box) == [1, 2, 3], "no gap"


def test_a_lock_held_for_too_long_is_said_and_harmless(open_box: Open, tmp_path: Path) -> None:
    box = open_box()
    box.database.connection.execute("PRAGMA busy_timeout = 10")
    with sqlite3.connect(tmp_path / "agent.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for call in (
            lambda: box.commit(EVERYTHING, 1.0),
            lambda: box.apply(Receipt((Committed("alerts", "x", 1),))),
            lambda: box.local_done([1]),
        ):
            with pytest.raises(OutboxError, match="locked; another process holds it for too long"):
                call()
        other.execute("ROLLBACK")
    other.close()
    box.commit(alerts(1), 2.0)
    assert sequences(box) == [1]


def test_a_full_disk_is_said_and_harmless(open_box: Open) -> None:
    box = open_box()
    box.commit(alerts(1), 1.0)
    box.database.connection.execute(f"PRAGMA max_page_count = {box.database.number('PRAGMA page_count')}")
    before = contents(box)
    huge = alerts(200, reason="x" * 500)
    with pytest.raises(OutboxError, match="full; free space on its disk"):
        box.commit(huge, 2.0)
    assert contents(box) == before
    box.database.connection.execute("PRAGMA max_page_count = 100000")
    box.commit(huge, 3.0)
    assert sequences(box) == list(range(1, 202))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65_534)  # root may write everywhere
        with pytest.raises(OutboxError, match="must be able to write its state_dir"):
            Outbox(tmp_path / "agent.db", "gw", OutboxLimits(), to_hub=True)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(OutboxError, match="must be able to write its state_dir"):
        Outbox(tmp_path / "state" / "agent.db", "gw", OutboxLimits(), to_hub=True)


@pytest.mark.parametrize("damage", ["no database", "pages"])
def test_a_damaged_file_is_said_with_what_to_do(tmp_path: Path, open_box: Open, damage: str) -> None:
    path = tmp_path / "agent.db"
    if damage == "no database":
        path.write_bytes(b"no database at all" * 1000)
    else:
        box = open_box()
        box.commit(alerts(300), 1.0)
        box.close()
        data = bytearray(path.read_bytes())
        data[100:] = b"\xa5" * (len(data) - 100)
        path.write_bytes(data)
    with pytest.raises(OutboxError, match=r"agent\.db: .*if the file is damaged, move it away"):
        open_box()


def test_sequences_have_no_gaps_per_class_and_epoch(open_box: Open) -> None:
    first, second = open_box(), open_box()  # two processes beside each other
    for i in range(20):
        (first, second)[i % 2].commit(alerts(1 + i % 3), float(i))
    rows = first.pending_hub(1000)
    for box in (first, second):
        mine = [row.sequence for row in rows if row.epoch == box.epoch]
        assert mine == list(range(1, len(mine) + 1))
    assert first.epoch != second.epoch
    assert len(rows) == first.stats().rows == second.stats().rows


def test_an_epoch_is_new_at_every_opening(open_box: Open) -> None:
    assert len({open_box().epoch for _ in range(5)}) == 5


def test_a_row_leaves_only_when_both_sinks_have_it(open_box: Open) -> None:
    box = open_box()
    box.commit(alerts(4), 1.0)
    ids = [row.id for row in box.pending_local(10)]
    box.local_done(ids[:2])
    assert box.stats().rows == 4
    assert box.apply(Receipt((Committed("alerts", box.epoch, 1, (3,)),))) == 2
    assert box.stats().rows == 3, "1 is done; 2 lacks the hub, 3 the devices' broker"
    assert sequences(box) == [2, 4]
    assert [row.sequence for row in box.pending_local(10)] == [3, 4]
    box.local_done(ids)
    assert box.apply(Receipt((Committed("alerts", box.epoch, 4),))) == 2
    assert (box.stats().rows, box.stats().bytes, contents(box)["outbox"]) == (0, 0, 0)


def test_receipts_may_come_in_any_order_twice_or_for_others(open_box: Open) -> None:
    box = open_box()
    box.commit(alerts(6), 1.0)
    mine = box.epoch
    for committed, newly in [
        (Committed("alerts", mine, 0, (5,)), 1),
        (Committed("alerts", mine, 0, (5,)), 0),
        (Committed("alerts", mine, 3), 3),
        (Committed("alerts", mine, 2), 0),
        (Committed("alerts", "another epoch", 99), 0),
        (Committed("reports", mine, 99), 0),
        (Committed("alerts", mine, 0, (77,)), 0),
    ]:
        assert box.apply(Receipt((committed,))) == newly
    assert sequences(box) == [4, 6]


@pytest.mark.parametrize("number", [-1, 0, 2**63, 10**40, -(10**40)])
def test_a_receipt_of_absurd_numbers_is_harmless(open_box: Open, number: int) -> None:
    box = open_box()
    box.commit(alerts(2), 1.0)
    box.apply(Receipt((Committed("alerts", "other", number, (number, 10**30)),)))
    box.apply(Receipt((Committed("alerts", box.epoch, min(number, 0), (number, 2)),)))
    assert sequences(box) == [1]


def test_without_a_hub_nothing_waits_for_it_and_nothing_is_declared_lost(open_box: Open) -> None:
    box = open_box(to_hub=False, limits={"max_rows": 10})
    box.commit(alerts(25), 1.0)
    assert box.pending_hub(100) == []
    assert box.stats().lost == 0
    assert box.database.select("SELECT * FROM loss") == []
    box.local_done([row.id for row in box.pending_local(100)])
    assert box.stats().rows == 0


def test_reports_go_first_then_the_oldest_alerts(open_box: Open) -> None:
    box = open_box(limits={"max_rows": 5})
    box.commit(alerts(7), 1.0)  # 1 and 2 are given up
    box.declare_losses(2.0)  # the report takes the place of 3, and says so
    report = box.pending_hub(10)[-1]
    (loss,) = messages.from_bytes(Report, report.body).losses
    assert (report.priority, loss.priority, loss.first, loss.last, loss.reason) == (
        "reports", "alerts", 1, 3, "outbox full"
    )  # fmt: skip
    box.commit(alerts(1), 3.0)  # the report goes, its news do not
    assert [row.priority for row in box.pending_hub(10)] == ["alerts"] * 5
    assert box.stats().lost == 4
    box.apply(Receipt((Committed("alerts", box.epoch, 5),)))
    box.local_done([row.id for row in box.pending_local(10)])
    box.declare_losses(4.0)
    losses = messages.from_bytes(Report, box.pending_hub(10)[-1].body).losses
    assert {(loss.priority, loss.first, loss.last) for loss in losses} == {("alerts", 1, 3), ("reports", 1, 1)}


@pytest.mark.parametrize("rows", [1, 2, 3, 60])
def test_declaring_losses_in_a_box_full_of_alerts_comes_to_an_end(open_box: Open, rows: int) -> None:
    box = open_box(limits={"max_rows": rows})
    box.commit(alerts(3 * rows), 1.0)
    for _ in range(3):
        box.declare_losses(2.0)
    said = [loss for row in box.pending_hub(100) if row.priority == "reports" for loss in
            messages.from_bytes(Report, row.body).losses]  # fmt: skip
    assert said
    assert box.stats().rows <= rows


def test_the_bytes_are_bounded_too(open_box: Open) -> None:
    box = open_box(limits={"max_bytes": 65_536})
    for i in range(40):
        box.commit(Effects(alerts=[alert(device=f"{i}-{j}", reason="x" * 1000) for j in range(5)]), float(i))
    stats = box.stats()
    assert stats.bytes <= 65_536
    assert stats.rows + stats.lost == 200
    assert sequences(box) == list(range(stats.lost + 1, 201))


def test_a_storm_does_not_evict_at_every_row(open_box: Open) -> None:
    box = open_box(limits={"max_rows": 1000})
    box.commit(alerts(1000), 1.0)
    box.commit(alerts(1), 1.0)
    assert box.stats().lost == 20


def test_many_scattered_losses_take_several_reports_within_a_messages_size(open_box: Open) -> None:
    box = open_box(limits={"max_rows": 1000})
    box.commit(alerts(1000), 1.0)
    box.local_done([row.id for row in box.pending_local(1000)])
    box.apply(Receipt((Committed("alerts", box.epoch, 0, tuple(range(2, 700, 2))),)))
    for i in range(40):
        box.commit(Effects(alerts=[alert(device=f"{i}-{j}") for j in range(25)]), 2.0)
    box.apply(Receipt((Committed("alerts", box.epoch, 0, tuple(range(900, 2000))),)))
    box.local_done([row.id for row in box.pending_local(5000)])
    box.declare_losses(3.0)
    reports = [row for row in box.pending_hub(5000) if row.priority == "reports"]
    assert len(reports) >= 2
    assert all(len(row.body) <= messages.MAX_BYTES // 8 for row in reports)
    said = {n for row in reports for loss in messages.from_bytes(Report, row.body).losses
            for n in range(loss.first, loss.last + 1)}  # fmt: skip
    assert len(said) == box.stats().lost


def test_history_and_dead_letters_keep_the_newest(open_box: Open) -> None:
    box = open_box(limits={"history_rows": 3}, dead_letters=2)
    for i in range(10):
        letters = [DeadLetterRow(float(i), "t", "not_json", f"{i}-{j}", b"") for j in range(2)]
        box.commit(Effects(alerts=[alert(score=float(i))], dead_letters=letters), float(i))
    assert [a.score for a in box.history(100)] == [9.0, 8.0, 7.0]
    assert [letter.detail for letter in box.dead_letters(100)] == ["9-1", "9-0"]


def test_no_history_and_no_dead_letters_may_be_kept(open_box: Open) -> None:
    box = open_box(limits={"history_rows": 0}, dead_letters=0)
    box.commit(EVERYTHING, 1.0)
    assert (box.history(10), box.dead_letters(10)) == ([], [])


def test_settled_keys_are_the_newest_by_packet_id(open_box: Open) -> None:
    box = open_box(settled_keys=5)
    for i in range(12):
        box.commit(Effects(settled=[SettledKey(1 + i % 4, str(i).encode()), SettledKey(100 + i, b"x")]), 1.0)
    keys = box.settled_keys()
    assert len(keys) <= 5
    assert keys[-2:] == [SettledKey(4, b"11"), SettledKey(111, b"x")]
    assert len({key.packet_id for key in keys}) == len(keys)


def test_filters_are_remembered(open_box: Open) -> None:
    box = open_box()
    assert box.filters() == []
    box.set_filters(["b", "a"])
    box.set_filters(["a", "b"])
    assert sorted(open_box().filters()) == ["a", "b"]
    box.set_filters(["c"])
    assert box.filters() == ["c"]


def test_what_waits_of_an_epoch_is_told_by_sink(open_box: Open) -> None:
    box = open_box()
    box.commit(alerts(3), 1.0)
    box.local_done([box.pending_local(1)[0].id])
    assert box.has_rows_of(box.epoch) == (2, 3)
    assert box.has_rows_of("other") == (0, 0)


WRITER = """
import sys
from pathlib import Path
from tests.agent.alerts import alert
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.reading.effects import Effects
box = Outbox(Path(sys.argv[1]), "gw", OutboxLimits(), to_hub=True)
print(box.epoch, flush=True)
for i in range(10**9):
    box.commit(Effects(alerts=[alert(device=f"{i}-{j}") for j in range(5)]), 1.0)
    print(i, flush=True)
"""


@pytest.mark.fault(
    fault="kill -9 of a process that commits all the time",
    expected="what was said to be committed is there, no half batch",
)
def test_a_writer_killed_in_mid_commit_loses_nothing_committed_and_leaves_no_half(
    open_box: Open, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    reader = open_box()
    for enough in (3, 17, 40):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "agent.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
            assert process.stdout is not None
            epoch = process.stdout.readline().strip()
            last = -1
            for line in process.stdout:
                last = int(line)
                if last >= enough:
                    process.send_signal(signal.SIGKILL)
                    break
            rest = process.stdout.read().split("\n")
        last = max([last, *(int(line) for line in rest[:-1] if line)])
        rows = [row for row in reader.pending_hub(10_000) if row.epoch == epoch]
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) % 5 == 0, "half a batch"
        assert last + 1 <= len(rows) // 5 <= last + 2
        newest = messages.from_bytes(Alert, rows[-1].body)
        assert newest.device == f"{len(rows) // 5 - 1}-4"
    record_property("observed", "3 kills; every commit that was said is there, whole")


def test_a_storm_that_nobody_has_seen_is_put_together_before_anything_is_lost(open_box: Open) -> None:
    box = open_box(limits={"max_rows": 10})
    for i in range(100):
        box.commit(Effects(alerts=[alert(id=f"a{i}"), cleared(id=f"a{i}")]), float(i))
    stats = box.stats()
    assert (stats.lost, stats.coalesced) == (0, 200 - stats.rows)
    said = [messages.from_bytes(Alert, row.body) for row in box.pending_hub(100)]
    # an alert whose beginning and end stand in two rows yet counts once
    alone = {one.id for one in said if one.coalesced is None}
    assert sum(one.coalesced.alerts for one in said if one.coalesced) + len(alone) == 100
    assert stats.bytes == sum(len(row.body) for row in box.pending_hub(100))


def test_a_row_that_was_handed_out_to_be_sent_is_never_put_together(open_box: Open) -> None:
    box = open_box(limits={"max_rows": 10})
    for i in range(4):
        box.commit(Effects(alerts=[alert(id=f"a{i}"), cleared(id=f"a{i}")]), 1.0)
    sent = {row.id: row.body for row in box.pending_hub(6)}
    for i in range(4, 20):
        box.commit(Effects(alerts=[alert(id=f"a{i}"), cleared(id=f"a{i}")]), 1.0)
    now = {row.id: row.body for row in box.pending_hub(100)}
    assert {row_id: now[row_id] for row_id in sent} == sent
    assert box.stats().coalesced > 0
    assert box.stats().lost == 0


def test_samples_go_before_storms_are_put_together(open_box: Open) -> None:
    box = open_box(limits={"max_rows": 6})
    sample = SampleBatch("pump", ("v",), (), 1.0)
    box.commit(Effects(alerts=[alert(), cleared()], samples=[sample] * 4), 1.0)
    box.commit(Effects(alerts=[alert(id="b"), cleared(id="b")]), 1.0)
    rows = box.pending_hub(100)
    assert [row.priority for row in rows] == ["alerts"] * 4 + ["samples"] * 2
    assert box.stats().coalesced == 0


def test_what_stands_for_others_and_is_given_up_declares_them_too(open_box: Open) -> None:
    box = open_box(limits={"max_rows": 4})
    for i in range(3):
        box.commit(Effects(alerts=[alert(id=f"a{i}"), cleared(id=f"a{i}")]), 1.0)
    for i in range(20):
        box.commit(Effects(alerts=[alert(id=f"b{i}", device=f"other-{i}")]), 1.0)
    waiting = {row.sequence for row in box.pending_hub(100) if row.priority == "alerts"}
    lost = {n for first, last in box.database.select("SELECT first, last FROM loss WHERE priority = 0")
            for n in range(first, last + 1)}  # fmt: skip
    assert waiting | lost == set(range(1, 27))
    assert not waiting & lost


class Virtual(Clock):
    """Goes on when told to."""

    seconds = 0.0

    def uptime(self) -> float:
        return self.seconds


def test_the_box_says_how_long_it_lasts_without_the_hub(open_box: Open) -> None:
    clock = Virtual()
    box = open_box(limits={"max_rows": 7_200}, clock=clock)
    assert box.stats().hours_left is None
    for i in range(600):
        clock.seconds += 1.0
        box.commit(Effects(alerts=[alert(device=f"d{i}")]), clock.seconds)
    assert box.stats().hours_left == pytest.approx((7_200 - 600) / 3_600, rel=0.1)


def test_a_settled_key_does_not_outlive_the_messages_that_came_after_it(open_box: Open) -> None:
    """Or it would stand for another message, once packet ids have come round."""
    box = open_box(settled_keys=100)
    box.commit(Effects(settled=[SettledKey(7, b"old")]), 1.0)
    box.commit(Effects(passed=60), 1.0)
    assert box.settled_keys() == [SettledKey(7, b"old")]
    assert box.keys_kept
    box.commit(Effects(passed=60), 1.0)
    assert box.settled_keys() == []
    assert not box.keys_kept


def test_after_a_crash_messages_may_have_passed_that_nobody_counted(open_box: Open) -> None:
    open_box(settled_keys=100).commit(Effects(settled=[SettledKey(7, b"old")]), 1.0)
    again = open_box(settled_keys=100)
    assert again.settled_keys() == [SettledKey(7, b"old")]
    again.commit(Effects(passed=51), 1.0)
    assert again.settled_keys() == []
