"""The outbox at work on a disk that is recorded, and what must be true of it after the power was cut."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from tests.agent.alerts import alert
from tests.faults.power_cuts_media import Change, Mark, State
from tests.faults.power_cuts_recorders import recording_sqlite
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery import database, disk_room
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.mqtt.message import SettledKey
from vedette_agent.reading.effects import AlertStateRow, DeadLetterRow, Effects
from vedette_models import messages
from vedette_models.messages import Alert, Committed, Priority, Receipt, Report, SampleBatch, Segment

FILE = "agent.db"
LIMITS = OutboxLimits(max_rows=24, max_bytes=64 * 1024, history_rows=5)
SETTLED = 40
Key = tuple[Priority, str, int]
"""Class, epoch, sequence."""


class Acknowledged(NamedTuple):
    """What the agent relied on when it acknowledged a batch: everything before it, and this."""

    rows: frozenset[Key]
    """Given to rows so far."""
    bodies: dict[Key, float]
    """Score of each alert: what it must still say, alone or in what stands for it."""
    states: frozenset[tuple[str, bytes]]
    """Device and state, all of them."""
    newest_dead: str
    newest_settled: bytes


class AtHub(NamedTuple):
    """What the hub has committed: its rows, and those that they stand for or declare lost."""

    rows: frozenset[Key]


@contextmanager
def small_files() -> Iterator[None]:
    """The same code with a small database and log, so that thousands of copies are quickly made."""
    with (
        mock.patch.object(database, "SPARE_BYTES", 400 * 1024),
        mock.patch.object(database, "LOG_BYTES", 64 * 1024),
        mock.patch.object(disk_room, "LOG_BYTES", 64 * 1024),
        mock.patch.object(disk_room, "RESERVE_BYTES", 16 * 1024),
        mock.patch.object(disk_room, "CHUNK_BYTES", 32 * 1024),
        mock.patch.object(disk_room, "_SLACK_BYTES", 128 * 1024),
    ):
        yield


def open_box(folder: Path) -> Outbox:
    """As the agent does."""
    return Outbox(
        folder / FILE, "gw", LIMITS, to_hub=True, dead_letters=10, settled_keys=SETTLED, owner=True
    )  # fmt: skip


class Work:
    """A gateway's life in short: storms, deliveries, receipts in any order, a full box, restarts."""

    def __init__(self, folder: Path, recording: list[Change], seed: int, *, early: bool = False) -> None:
        self._folder, self._recording, self._early = folder, recording, early
        self._rng = random.Random(seed)
        self._scores = itertools.count(1)
        self._rows: set[Key] = set()
        self._bodies: dict[Key, float] = {}
        self._states: dict[str, bytes] = {}
        self._open: dict[str, Alert] = {}
        self._hub: set[Key] = set()
        self._dead, self._settled = "", b""
        self._box = open_box(folder)

    def run(self, steps: int) -> None:
        """So many things happen."""
        self._box.disk.prepare()
        for _ in range(steps):
            self._rng.choices(
                (self._commit, self._deliver, self._publish, self._declare, self._take_room, self._restart),
                (60, 14, 12, 4, 9, 1),
            )[0]()
        self._box.close()

    def _event(self) -> Alert:
        """The next event of a device: some of them flap."""
        device = f"d{self._rng.choice((0, 0, 0, 1, 1, self._rng.randint(2, 9)))}"
        score = float(next(self._scores))
        current = self._open.pop(device, None)
        if current is None:
            raised = self._open[device] = alert(id=f"a{score:.0f}", device=device, score=score, reason="x" * 300)
            return raised
        return alert(
            id=current.id, device=device, score=score, revision=2, state="cleared", cleared=score, cleared_by="quiet"
        )

    def _commit(self) -> None:
        events = [self._event() for _ in range(self._rng.choice((0, 1, 1, 2, 5)))]
        number = next(self._scores)
        effects = Effects(
            alerts=events,
            states=[AlertStateRow("pump", event.device, "anomaly", f"{event.score}".encode()) for event in events],
            dead_letters=[DeadLetterRow(1.0, "t", "not_json", f"n{number}", b"")] if self._rng.random() < 0.3 else [],
            settled=[SettledKey(1 + (number + i) % 60_000, f"{number}".encode()) for i in range(3)],
            samples=[_samples(number)] if self._rng.random() < 0.2 else [],
        )
        before = dict(self._box._next)
        states, bodies = dict(self._states), {}
        states.update({row.device: row.body for row in effects.states})
        bodies = {("alerts", self._box.epoch, before["alerts"] + i): e.score for i, e in enumerate(events)}
        if self._early:  # the planted mistake
            self._acknowledge(before, {"alerts": len(events)}, states, bodies, effects)
        self._box.commit(effects, 1.0)
        given = {priority: self._box._next[priority] - first for priority, first in before.items()}
        self._acknowledge(before, given, states, bodies, effects)

    def _acknowledge(
        self,
        before: dict[Priority, int],
        given: dict[Priority, int],
        states: dict[str, bytes],
        bodies: dict[Key, float],
        effects: Effects,
    ) -> None:
        epoch = self._box.epoch
        self._rows |= {(p, epoch, n) for p, count in given.items() for n in range(before[p], before[p] + count)}
        self._states, self._bodies = states, {**self._bodies, **bodies}
        self._dead = effects.dead_letters[-1].detail if effects.dead_letters else self._dead
        self._settled = effects.settled[-1].digest
        self._mark()

    def _mark(self) -> None:
        self._recording.append(
            Mark(
                Acknowledged(
                    frozenset(self._rows),
                    dict(self._bodies),
                    frozenset(self._states.items()),
                    self._dead,
                    self._settled,
                )
            )
        )

    def _deliver(self) -> None:
        """Rows go up; some of the receipts come back."""
        rows = self._box.pending_hub(self._rng.randint(1, 12))
        came = [row for row in rows if self._rng.random() < 0.7]
        for row in came:
            self._hub |= {(row.priority, row.epoch, row.sequence), *_says(row.priority, row.epoch, row.body)}
        self._recording.append(Mark(AtHub(frozenset(self._hub))))
        if came:
            receipt = Receipt(tuple(Committed(row.priority, row.epoch, 0, (row.sequence,)) for row in came))
            self._box.apply(receipt)

    def _publish(self) -> None:
        self._box.local_done([row.id for row in self._box.pending_local(self._rng.randint(1, 20))])

    def _declare(self) -> None:
        before = dict(self._box._next)
        self._box.declare_losses(1.0)
        epoch = self._box.epoch
        self._rows |= {("reports", epoch, n) for n in range(before["reports"], self._box._next["reports"])}
        self._mark()

    def _take_room(self) -> None:
        self._box.disk.step()

    def _restart(self) -> None:
        self._box.close()
        self._box = open_box(self._folder)
        self._box.disk.prepare()


def record(folder: Path, seed: int, steps: int, *, early: bool = False) -> list[Change]:
    """What a life of so many steps does to the disk."""
    recording: list[Change] = []
    with recording_sqlite(folder, recording):
        Work(folder, recording, seed, early=early).run(steps)
    return recording


def restore(folder: Path, state: State) -> None:
    """Lay out what the disk holds."""
    for old in sorted(folder.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    for name, content in state.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def violations(folder: Path, state: State) -> list[str]:
    """What was promised and is not so, after the agent has started again on what the disk holds."""
    restore(folder, state)
    promised = next((p for p in reversed(state.promised) if isinstance(p, Acknowledged)), None)
    hub = next((p.rows for p in reversed(state.promised) if isinstance(p, AtHub)), frozenset())
    box = open_box(folder)
    try:
        found = []
        if box.replaced:
            return [f"the database was damaged: {[p.name for p in folder.iterdir()]}"]
        if (integrity := box.database.select("PRAGMA integrity_check")) != [("ok",)]:
            return [f"integrity check: {integrity[:3]}"]
        if promised is not None:
            found += _missing(box, promised, hub)
        box.commit(Effects(alerts=[alert()]), 2.0)
        return found
    finally:
        box.close()


def _missing(box: Outbox, promised: Acknowledged, hub: frozenset[Key]) -> list[str]:
    found = []
    there: set[Key] = set(hub)
    for row in box.pending_hub(1_000):
        key = (row.priority, row.epoch, row.sequence)
        there |= {key, *_says(row.priority, row.epoch, row.body)}
        if row.priority == "alerts":
            said = messages.from_bytes(Alert, row.body)
            if said.coalesced is None and said.score != promised.bodies.get(key, said.score):
                found.append(f"{key} says {said.score}, not {promised.bodies[key]}")
    for rank, epoch, first, last in box.database.select("SELECT priority, epoch, first, last FROM loss"):
        there |= {(messages.PRIORITIES[rank], epoch, n) for n in range(first, last + 1)}
    if gone := promised.rows - there:
        found.append(f"{len(gone)} rows without a trace: {sorted(gone)[:3]}")
    states = {(row.device, float(row.body)) for row in box.alert_states()}
    for device, body in promised.states:
        # a commit that was under way may have made it newer
        if not any(name == device and score >= float(body) for name, score in states):
            found.append(f"the state of {device} is older than {body!r}")
    newest = max((int(letter.detail[1:]) for letter in box.dead_letters(10)), default=0)
    if promised.newest_dead and newest < int(promised.newest_dead[1:]):
        found.append(f"dead letter {promised.newest_dead} is gone")
    settled = max((int(key.digest) for key in box.settled_keys()), default=0)
    if promised.newest_settled and settled < int(promised.newest_settled):
        found.append(f"settled keys of {promised.newest_settled!r} are gone")
    return found


def _says(priority: Priority, epoch: str, body: bytes) -> set[Key]:
    """The rows that a row speaks for."""
    if priority == "alerts":
        several = messages.from_bytes(Alert, body).coalesced
        return {
            ("alerts", epoch, n) for first, last in (several.rows if several else ()) for n in range(first, last + 1)
        }
    if priority == "reports":
        losses = messages.from_bytes(Report, body).losses
        return {(loss.priority, loss.epoch, n) for loss in losses for n in range(loss.first, loss.last + 1)}
    return set()


def _samples(number: int) -> SampleBatch:
    return SampleBatch("pump", ("v",), (Segment("d", (1.0,), ((float(number),),)),), 1.0)
