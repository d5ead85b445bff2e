"""The witness: sees what agent, hub and brokers do, changes nothing of it, and says what must never be seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.simulation.broker import Publication
from tests.simulation.models import KEY, names
from tests.simulation.story import Story
from vedette_agent.agent import Agent
from vedette_agent.update.journal import Journal
from vedette_models import manifest, messages, topics
from vedette_models.artifact import Model
from vedette_models.keys import key_ring
from vedette_models.manifest import CLOCK_TOLERANCE, Manifest
from vedette_models.messages import PRIORITIES, Activation, Delivery, Status
from vedette_models.rejection import ManifestRejected

LOG = (
    "CREATE TABLE IF NOT EXISTS seen (what TEXT, priority INTEGER, epoch TEXT, sequence INTEGER, body BLOB)",
    "CREATE TEMP TRIGGER seen_row AFTER INSERT ON outbox BEGIN "
    "INSERT INTO seen VALUES ('row', NEW.priority, NEW.epoch, NEW.sequence, NEW.body); END",
    "CREATE TEMP TRIGGER seen_event AFTER INSERT ON history BEGIN "
    "INSERT INTO seen VALUES ('event', 0, '', 0, NEW.body); END",
    "CREATE TEMP TRIGGER seen_settled AFTER INSERT ON settled BEGIN "
    "INSERT INTO seen VALUES ('settled', {life}, '', NEW.packet_id, NEW.digest); END",
    "CREATE TEMP TRIGGER seen_dead AFTER INSERT ON dead_letter BEGIN "
    "INSERT INTO seen VALUES ('dead', 0, NEW.topic, 0, NEW.sample); END",
)
"""A copy of what the agent commits, made by its own transactions: it is there exactly if that is."""


def log(connection: sqlite3.Connection, life: int) -> None:
    """Have a database keep that copy while the agent lives this life."""
    for statement in LOG:
        connection.execute(statement.replace("{life}", str(life)))


class Witness:
    """Everything seen from outside, or from beside."""

    def __init__(self, home: Path, story: Story, hub_now: Callable[[], float]) -> None:
        self._home, self._story, self._hub_now = home, story, hub_now
        self.traces: list[Path] = []
        self.lives: dict[str, int] = {}
        """Which life of the agent an epoch belongs to; a damaged database begins another."""
        self.acknowledged: dict[tuple[str, bytes], Publication] = {}
        """Readings whose acknowledgement the devices' broker has."""
        self.repeated: set[tuple[str, bytes]] = set()
        """Readings the devices' broker has delivered anew after they were acknowledged."""
        self.sent: dict[tuple[str, str, int], bytes] = {}
        """Bodies of rows on the wire by class, epoch and sequence."""
        self.manifests: dict[bytes, Manifest] = {}
        """All that were ever published for anyone, signed by the hub's key."""
        self.counter = 0
        """Of the manifest that the gateway accepted last."""
        self.counter_lost = False
        self._accepting: tuple[str, float] | None = None
        """Nonce and clock of the agent as it wrote its journal last."""
        self.activations: set[Activation] = set()
        """What the agent has written down to be reported."""
        self.used: str | None = None
        """SHA-256 of the model that runs in this life."""
        self._told_counter = 0
        self._told_lost = False
        """Whether a status may say that there is no counter; one from before the next order may come after it."""

    # ---------------------------------------------------------------- beside the agent

    def trace(self, life: int) -> Path:
        """Where a life of the agent writes the fate of each reading."""
        path = self._home / f"trace{life}.jsonl"
        self.traces.append(path)
        return path

    def watch(self, agent: Agent) -> None:
        """Look at what this life does."""
        log(agent._outbox.database.connection, len(self.traces) - 1)
        self.used = None
        self.lives[agent._outbox.epoch] = len(self.traces) - 1
        updater = agent._updater
        assert updater is not None
        store, write, use = updater._store, updater._store.write, agent.use
        if self._is_news(store.journal) and self._accepting is not None:  # killed as it was on the disk
            self._accepted(store.journal, *self._accepting)
        if not self.counter_lost and (store.journal.counter or 0) < self.counter:
            self._story.wrong(
                "counters never go back", f"the agent resumes with {store.journal.counter} after {self.counter}"
            )

        def written(journal: Journal) -> None:
            self._accepting = updater.nonce, agent._clock.now()
            write(journal)
            self.activations.update(journal.unreported)
            if self._is_news(journal):
                self._accepted(journal, *self._accepting)

        async def used(profile: str, model: Model | None) -> None:
            await use(profile, model)
            self.used = None if model is None else model.sha256
            self._story.tell("gateway", "runs version %s", names().get(self.used or ""))

        store.write = written  # type: ignore[method-assign]  # looked at, not changed
        agent.use = used  # type: ignore[method-assign]  # looked at, not changed

    def _is_news(self, journal: Journal) -> bool:
        """Whether this journal has another manifest than the one that was accepted last."""
        return journal.counter is not None and (journal.counter != self.counter or self.counter_lost)

    def lose_journal(self) -> None:
        """The disk has lost what the agent knew of its models, and of what it had still to tell."""
        self.counter_lost = self._told_lost = True
        self.activations.clear()

    def _accepted(self, journal: Journal, nonce: str, now: float) -> None:
        """A manifest has come into force: one of those that were published must be one to follow."""
        self._story.tell("gateway", "accepts manifest %s", journal.counter)
        found = [m for m in self.manifests.values() if m.counter == journal.counter and m.releases == journal.ordered]
        faults = [fault for m in found if (fault := self._fault(m, nonce, now))] if found else ["nobody signed it"]
        if not found or len(faults) == len(found):
            self._story.wrong("only valid manifests are followed", f"{journal.counter}: {', '.join(faults)}")
        self.counter, self.counter_lost = max(self.counter, journal.counter or 0), False

    def _fault(self, order: Manifest, nonce: str, now: float) -> str:
        fresh = bool(nonce) and order.nonce == nonce
        if order.gateway != "gw":
            return f"it is for {order.gateway}"
        if order.counter <= self.counter:
            return f"its counter is not above {self.counter}"
        if self.counter_lost and not fresh:
            return "the counter was lost, and it does not echo the nonce"
        if not fresh and not (order.issued <= now + CLOCK_TOLERANCE and now < order.expires):
            return "it is not of this time, and does not echo the nonce"
        return ""

    # -------------------------------------------------------------------- at the brokers

    def devices_acknowledged(self, client: str, publication: Publication) -> None:
        """The agent has acknowledged a message on the devices' broker."""
        key = publication[:2]
        if publication.again:
            self.repeated.add(key)
        if not topics.is_own(publication.topic):
            self.acknowledged[key] = publication

    def wrongly_acknowledged(self, packet_id: int) -> None:
        """The agent has acknowledged what it was not given on this connection."""
        self._story.wrong("no acknowledgement crosses a reconnect", f"packet id {packet_id}")

    def hub_saw(self, topic: str, payload: bytes, sender: str) -> None:
        """Somebody has published on the hub's broker."""
        kind = topic.rpartition("/")[2]
        if kind == "desired" and payload:
            self._manifest(payload)
        elif sender == "gw" and kind in PRIORITIES:
            self._delivery(kind, payload)
        elif sender == "gw" and kind == "status":
            self._status(messages.from_bytes(Status, payload))

    def _manifest(self, payload: bytes) -> None:
        try:
            self.manifests[payload] = manifest.authentic(payload, key_ring(KEY.verify_key))
        except ManifestRejected:
            return

    def _delivery(self, priority: str, payload: bytes) -> None:
        rows = messages.from_bytes(Delivery, payload).rows
        self._story.tell("gateway", "sends %s %s", priority, [(row.epoch[:4], row.sequence) for row in rows])
        for row in rows:
            body = bytes(row.body)
            if self.sent.setdefault((priority, row.epoch, row.sequence), body) != body:
                self._story.wrong(
                    "a row that was sent never changes", f"{priority} {row.epoch}/{row.sequence} came with another body"
                )

    def _status(self, status: Status) -> None:
        if not status.online:
            return
        if status.manifest < self._told_counter and not (self._told_lost and status.manifest == 0):
            self._story.wrong(
                "counters never go back", f"a status says {status.manifest}, one before said {self._told_counter}"
            )
        self._told_counter = max(self._told_counter, status.manifest)
        if status.manifest >= self.counter and not self.counter_lost:
            self._told_lost = False

    # ------------------------------------------------------------------------ at the end

    def seen(self, database: Path) -> dict[str, list[tuple[Any, ...]]]:
        """What the agent has ever committed, by what it is."""
        found: dict[str, list[tuple[Any, ...]]] = {"row": [], "event": [], "settled": [], "dead": []}
        connection = sqlite3.connect(database)
        try:
            for what, *rest in connection.execute("SELECT * FROM seen"):
                found[what].append(tuple(rest))
        finally:
            connection.close()
        return found
