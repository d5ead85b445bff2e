"""Planted bugs: mistakes that somebody could make in the real code, each made for a moment by replacing one name in it.

They are the test of the simulation: what it does not find within a few seeds it does not look for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec

from vedette_agent.delivery import eviction, losses, outbox
from vedette_agent.delivery.eviction import Eviction
from vedette_agent.delivery.local_alerts import LocalAlerts
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.delivery.uplink import Uplink
from vedette_agent.mqtt.connection import Connection
from vedette_agent.reading.settled import Settled
from vedette_agent.reading.stages import Outcome, Stages
from vedette_agent.reading.telemetry import Batch
from vedette_agent.update import journal
from vedette_agent.update.fetcher import Fetcher
from vedette_agent.update.model_store import ModelStore
from vedette_agent.update.runner import Runner
from vedette_hub.alerts import lifecycle
from vedette_hub.alerts.intake import take_events
from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.fleet import commit
from vedette_hub.fleet.ledger import Ledger
from vedette_hub.store import fleet
from vedette_models import artifact, manifest
from vedette_models.messages import PRIORITIES, Committed, Receipt, Report

Planted = Callable[[], contextlib.AbstractContextManager[None]]


def _planted(owner: Any, name: str, mistake: Callable[[Any], Any]) -> Planted:
    """`owner.name` becomes what `mistake` makes of it."""

    @contextlib.contextmanager
    def planted() -> Iterator[None]:
        original = vars(owner)[name]
        setattr(owner, name, mistake(original))
        try:
            yield
        finally:
            setattr(owner, name, original)

    return planted


def _both(*parts: Planted) -> Planted:
    @contextlib.contextmanager
    def planted() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for part in parts:
                stack.enter_context(part())
            yield

    return planted


def _nothing(_original: Any) -> Any:
    return lambda *_arguments, **_options: None


# ------------------------------------------------------------------ the outbox and the uplink


def _leaves_on_puback(send_due: Any) -> Any:
    async def mistaken(self: Uplink) -> None:
        await send_due(self)
        rows = await self._database(self._outbox.pending_hub, 1_000)
        sent = tuple(Committed(r.priority, r.epoch, 0, (r.sequence,)) for r in rows if r.key in self._sent)
        await self._database(self._outbox.apply, Receipt(sent))

    return mistaken


def _numbers_of_rows_that_are_there(insert: Any) -> Any:
    def mistaken(self: Outbox, priority: Any, *rest: Any, **options: Any) -> Any:
        query = "SELECT coalesce(max(sequence), 0) + 1 FROM outbox WHERE priority = ? AND epoch = ?"
        (self._next[priority],) = self._conn.execute(query, (PRIORITIES.index(priority), self.epoch)).fetchone()
        return insert(self, priority, *rest, **options)

    return mistaken


def _for_every_epoch(apply: Any) -> Any:
    def mistaken(self: Outbox, receipt: Receipt) -> Any:
        epochs = [row[0] for row in self._conn.execute("SELECT DISTINCT epoch FROM outbox").fetchall()]
        every = tuple(Committed(c.priority, epoch, c.through, c.also) for c in receipt.committed for epoch in epochs)
        return apply(self, Receipt(every))

    return mistaken


def _never_again(send_due: Any) -> Any:
    async def mistaken(self: Uplink) -> None:
        self._resend = 1e12
        await send_due(self)

    return mistaken


def _also_at_the_hub(local_done: Any) -> Any:
    def mistaken(self: Outbox, ids: Any) -> None:
        self._conn.executemany("UPDATE outbox SET hub_done = 1 WHERE id = ?", [(i,) for i in ids])
        local_done(self, ids)

    return mistaken


def _listens_once(subscribe: Any) -> Any:
    async def mistaken(self: Uplink) -> None:
        if vars(self).setdefault("listens", False):
            self._on_connected()
            self._wake.set()
            return
        await subscribe(self)
        vars(self)["listens"] = True

    return mistaken


def _whatever_was_sent(coalesce: Any) -> Any:
    return lambda self, epoch, sent: coalesce(self, epoch, 0)


def _names_no_rows(coalesce: Any) -> Any:
    def mistaken(rows: Any) -> Any:
        return [
            merged._replace(
                alert=msgspec.structs.replace(
                    merged.alert, coalesced=msgspec.structs.replace(merged.alert.coalesced, rows=())
                )
            )
            for merged in coalesce(rows)
        ]

    return mistaken


# ------------------------------------------------------------------------- readings


def _acknowledged_at_once(process: Any) -> Any:
    def mistaken(self: Stages, batch: Batch) -> Any:
        outcome = process(self, batch)
        batch.acknowledge()
        batch._settle = lambda _batch: None
        return outcome

    return mistaken


def _without_states(effects: Any) -> Any:
    return lambda self, *arguments: effects(self, *arguments)._replace(states=())


def _by_packet_id(_contains: Any) -> Any:
    return lambda self, message: bool(self._numbers[message.packet_id] or message.packet_id in self._earlier)


def _across_reconnects(acknowledge: Any) -> Any:
    return lambda self, packet_ids, generation: acknowledge(self, packet_ids, self.generation)


# ---------------------------------------------------------------------------- models


def _counter_in_memory(write: Any) -> Any:
    def mistaken(self: ModelStore, changed: Any) -> None:
        if changed.counter != self.journal.counter:
            self.journal = changed
        else:
            write(self, changed)

    return mistaken


def _verifies_with(change: Callable[..., dict[str, Any]]) -> Callable[[Any], Any]:
    """`change(data, keys, gateway, options)`: what verification is told instead."""

    def mistake(verify: Any) -> Any:
        def mistaken(data: bytes, keys: Any, gateway: str, **options: Any) -> Any:
            known = {"gateway": gateway, **options, **change(data, keys, options)}
            return verify(data, keys, known.pop("gateway"), **known)

        return mistaken

    return mistake


def _whatever_comes(_look_at: Any) -> Any:
    def mistaken(self: Fetcher, asked: Any, _sha256: str, payload: bytes) -> None:
        asked.data = payload
        self._arrived()

    return mistaken


def _any_hash(load: Any) -> Any:
    return lambda data, *, expected=None, **options: load(data, **options)


# ------------------------------------------------------------------------------- the hub


def _in_two_transactions(before: Any) -> Any:
    """What was written before this call is committed by itself."""

    def mistaken(connection: Any, *rest: Any) -> Any:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return before(connection, *rest)

    return mistaken


def _ledger_first(apply: Any) -> Any:
    def mistaken(self: Any, arrivals: Any) -> Any:
        def first(connection: Any, *events: Any) -> None:
            fleet.save_ledgers(connection, {key: self._ledgers[key] for key in self._touched}, self._now)
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            take_events(connection, *events)

        with _planted(commit, "take_events", lambda _: first)():
            return apply(self, arrivals)

    return mistaken


def _keeps_ledgers(row: Any) -> Any:
    def kept(self: Any, arrival: Any, ledgers: Any) -> None:
        self._ledgers = ledgers
        row(self, arrival, ledgers)

    return kept


def _up_to_the_highest(add: Any) -> Any:
    def mistaken(self: Ledger, first: int, last: int | None = None) -> Any:
        new = add(self, first, last)
        self._through = max(self._through, *self._last, 0)
        self._first, self._last = [], []
        return new

    return mistaken


def _without_losses(count: Any) -> Any:
    def mistaken(arrival: Any, ledgers: Any) -> Any:
        if not isinstance(arrival.content, Report):
            return count(arrival, ledgers)
        ledgers[arrival.gateway, arrival.priority, arrival.epoch].add(arrival.sequence)
        return [loss.last - loss.first + 1 for loss in arrival.content.losses]

    return mistaken


def _newest_arrival(_apply: Any) -> Any:
    return lambda record, event, _rule: AlertRecord(event) if record is None else replace(record, event=event)


def _no_receipt_for_duplicates(row: Any) -> Any:
    def mistaken(self: Any, arrival: Any, ledgers: Any) -> None:
        if arrival.sequence not in ledgers[arrival.gateway, arrival.priority, arrival.epoch]:
            row(self, arrival, ledgers)

    return mistaken


def _says_too_much(receipts: Any) -> Any:
    def mistaken(*arguments: Any) -> Any:
        return {
            gateway: [
                Receipt(tuple(Committed(c.priority, c.epoch, max(c.through, *c.also, 0)) for c in one.committed))
                for one in each
            ]
            for gateway, each in receipts(*arguments).items()
        }

    return mistaken


PLANTED: dict[str, Planted] = {
    "a row leaves when the broker has it": _planted(Uplink, "_send_due", _leaves_on_puback),
    "an epoch is used again after a restart": _planted(
        outbox, "secrets", lambda _: SimpleNamespace(token_hex=lambda size: "e" * 2 * size)
    ),
    "a sequence is used again": _planted(Outbox, "_insert", _numbers_of_rows_that_are_there),
    "a receipt counts for every epoch": _planted(Outbox, "apply", _for_every_epoch),
    "rows are never sent again": _planted(Uplink, "_send_due", _never_again),
    "a row leaves when the devices' broker has it": _planted(Outbox, "local_done", _also_at_the_hub),
    "receipts are listened for once": _planted(Uplink, "_subscribe", _listens_once),
    "rows are given up without a word": _planted(losses, "declare", _nothing),
    "a loss is forgotten with its report": _planted(losses, "given_up", _nothing),
    "rows that were sent are put together": _planted(Eviction, "_coalesce", _whatever_was_sent),
    "coalesced rows are not named": _planted(eviction, "coalesce", _names_no_rows),
    "readings are acknowledged before the commit": _planted(Stages, "process", _acknowledged_at_once),
    "settled messages are not committed": _planted(Batch, "keys", lambda _: lambda self: []),
    "states of alerts are not committed": _planted(Outcome, "effects", _without_states),
    "a redelivery is known by its packet id": _planted(Settled, "__contains__", _by_packet_id),
    "acknowledgements cross a reconnect": _planted(Connection, "acknowledge", _across_reconnects),
    "local topics are not reconciled": _planted(LocalAlerts, "connected", _nothing),
    "a counter is not written down": _planted(ModelStore, "write", _counter_in_memory),
    "a lost counter asks for no nonce": _planted(
        manifest, "verify", _verifies_with(lambda _d, _k, known: {"last_counter": known["last_counter"] or 0})
    ),
    "an older manifest is followed": _planted(
        manifest, "verify", _verifies_with(lambda _d, _k, known: {"last_counter": known["last_counter"] and 0})
    ),
    "an expired manifest is followed": _planted(manifest, "_check_times", _nothing),
    "a foreign manifest is followed": _planted(
        manifest, "verify", _verifies_with(lambda data, keys, _: {"gateway": manifest.authentic(data, keys).gateway})
    ),
    "an artefact's hash is not looked at": _both(
        _planted(artifact, "load", _any_hash),
        _planted(Runner, "_read", lambda _: lambda self, r: self._store.read(r.sha256)),
        _planted(Fetcher, "_look_at", _whatever_comes),
    ),
    "a version that failed is tried again": _planted(journal, "refused", lambda _: lambda journal, *_rest: journal),
    "the effect is committed before the ledger": _planted(fleet, "add_unparsed", _in_two_transactions),
    "the ledger is committed before the effect": _both(
        _planted(commit._Batch, "_row", _keeps_ledgers), _planted(commit._Batch, "apply", _ledger_first)
    ),
    "the watermark passes a gap": _planted(Ledger, "add", _up_to_the_highest),
    "a declared loss leaves its gap": _planted(commit, "_count", _without_losses),
    "an older revision replaces a newer": _planted(lifecycle, "apply", _newest_arrival),
    "a duplicate gets no receipt": _planted(commit._Batch, "_row", _no_receipt_for_duplicates),
    "a receipt says too much": _planted(commit, "_receipts", _says_too_much),
}
"""By the mistake, in words."""
