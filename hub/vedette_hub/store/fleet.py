"""Gateways in the store: who they are, their ledgers, what they reported, and what could not be parsed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, tuple_, update

from vedette_hub.fleet.ledger import Ledger
from vedette_hub.store.database import insert_new
from vedette_hub.store.schema import counters, gateways, ledgers, losses, reports, unparsed
from vedette_models.messages import DeclaredLoss, MessageError, Priority, Report, Status, from_bytes

LedgerKey = tuple[str, Priority, str]
"""(gateway, class, epoch)"""

_CHUNK = 300


@dataclass(frozen=True)
class StoredGateway:
    """A gateway as the hub knows it. `rows` to `held_back` count outbox rows."""

    gateway: str
    first_seen: float
    last_seen: float
    online: bool
    status: Status | None
    status_received: float | None
    rows: int
    duplicates: int
    unparsed: int
    lost_rows: int
    held_back: int
    group: str = ""
    """Empty: in none."""


@dataclass
class GatewayNews:
    """What a batch brought about one gateway; numbers are added to what is stored."""

    seen: float = 0.0
    online: bool | None = None
    status: str | None = None
    rows: int = 0
    duplicates: int = 0
    unparsed: int = 0
    lost_rows: int = 0
    held_back: int = 0


def recent_ledgers(connection: Connection, since: float, *, epochs: int) -> dict[LedgerKey, Ledger]:
    """Ledgers that have changed at or after `since`: of each gateway and class those of the newest `epochs`."""
    newest = func.row_number().over(
        partition_by=(ledgers.c.gateway, ledgers.c.priority), order_by=ledgers.c.updated.desc()
    )
    ranked = select(ledgers, newest.label("place")).where(ledgers.c.updated >= since).subquery()
    query = select(ranked).where(ranked.c.place <= epochs)
    return dict(_ledger(row) for row in connection.execute(query).mappings())


def load_ledgers(connection: Connection, keys: Collection[LedgerKey]) -> dict[LedgerKey, Ledger]:
    """A ledger for every key; an empty one where nothing has been committed yet."""
    found: dict[LedgerKey, Ledger] = {key: Ledger() for key in keys}
    wanted = list(found)
    columns = tuple_(ledgers.c.gateway, ledgers.c.priority, ledgers.c.epoch)
    for start in range(0, len(wanted), _CHUNK):
        chosen = columns.in_(wanted[start : start + _CHUNK])
        for row in connection.execute(select(ledgers).where(chosen)).mappings():
            key, ledger = _ledger(row)
            found[key] = ledger
    return found


def _ledger(row: RowMapping) -> tuple[LedgerKey, Ledger]:
    ranges = [(int(first), int(last)) for first, last in json.loads(row["ranges"])]
    return (row["gateway"], row["priority"], row["epoch"]), Ledger(row["through"], ranges)


def save_ledgers(connection: Connection, changed: dict[LedgerKey, Ledger], now: float) -> None:
    """Write ledgers over those that are there."""
    keys = [dict(zip(("gateway", "priority", "epoch"), key, strict=True)) for key in changed]
    insert_new(connection, ledgers, [{**key, "through": 0, "ranges": "[]", "updated": now} for key in keys])
    if not changed:
        return
    table = ledgers.c
    connection.execute(
        update(ledgers).where(
            table.gateway == bindparam("of_gateway"),
            table.priority == bindparam("of_priority"),
            table.epoch == bindparam("of_epoch"),
        ),
        [
            {
                "of_gateway": key[0],
                "of_priority": key[1],
                "of_epoch": key[2],
                "through": ledger.through,
                "ranges": json.dumps(ledger.ranges, separators=(",", ":")),
                "updated": now,
            }
            for key, ledger in changed.items()
        ],
    )


def known_gateways(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of `names` that have been seen before."""
    wanted = list(names)
    known: set[str] = set()
    for start in range(0, len(wanted), _CHUNK):
        query = select(gateways.c.gateway).where(gateways.c.gateway.in_(wanted[start : start + _CHUNK]))
        known.update(connection.execute(query).scalars())
    return known


def count_gateways(connection: Connection) -> int:
    """How many gateways have ever been seen."""
    return int(connection.execute(select(func.count()).select_from(gateways)).scalar_one())


def save_news(connection: Connection, news: dict[str, GatewayNews], now: float) -> None:
    """Add what a batch brought to what is known of each gateway."""
    rows = [{"gateway": name, "first_seen": now, "last_seen": item.seen} for name, item in news.items()]
    insert_new(connection, gateways, rows)
    table = gateways.c
    changes = [_change(name, item, now) for name, item in news.items()]
    added = ("rows", "duplicates", "unparsed", "lost_rows", "held_back")
    values: dict[str, Any] = {name: table[name] + bindparam(f"more_{name}") for name in added}
    values["last_seen"] = func.max(table.last_seen, bindparam("seen"))
    if connection.dialect.name == "postgresql":
        values["last_seen"] = func.greatest(table.last_seen, bindparam("seen"))
    same = table.gateway == bindparam("of_gateway")
    connection.execute(update(gateways).where(same).values(values), changes)
    with_status = [change for change in changes if change["text"] is not None]
    if with_status:
        said: dict[str, Any] = {
            "online": bindparam("said_online"),
            "status": bindparam("text"),
            "status_received": bindparam("at"),
        }
        connection.execute(update(gateways).where(same).values(said), with_status)


def _change(name: str, item: GatewayNews, now: float) -> dict[str, Any]:
    return {
        "of_gateway": name,
        "seen": item.seen,
        "more_rows": item.rows,
        "more_duplicates": item.duplicates,
        "more_unparsed": item.unparsed,
        "more_lost_rows": item.lost_rows,
        "more_held_back": item.held_back,
        "said_online": item.online,
        "text": item.status,
        "at": now,
    }


def list_gateways(connection: Connection, *, limit: int, after: str = "") -> list[StoredGateway]:
    """Gateways by name, at most `limit`, those after the name `after`."""
    query = select(gateways).where(gateways.c.gateway > after).order_by(gateways.c.gateway).limit(limit)
    return [_gateway(row) for row in connection.execute(query).mappings()]


def newest_gateways(connection: Connection, *, limit: int) -> list[str]:
    """Names of the gateways that were heard last."""
    query = select(gateways.c.gateway).order_by(gateways.c.last_seen.desc()).limit(limit)
    return list(connection.execute(query).scalars())


def find_gateway(connection: Connection, name: str) -> StoredGateway | None:
    """One gateway; None when it has never been seen."""
    row = connection.execute(select(gateways).where(gateways.c.gateway == name)).mappings().first()
    return None if row is None else _gateway(row)


def load_statuses(connection: Connection, names: Collection[str]) -> dict[str, Status]:
    """The newest status of each of these gateways that has said one."""
    wanted = list(names)
    found: dict[str, Status] = {}
    for start in range(0, len(wanted), _CHUNK):
        query = select(gateways.c.gateway, gateways.c.status)
        for row in connection.execute(query.where(gateways.c.gateway.in_(wanted[start : start + _CHUNK]))):
            if (status := _status(row.status)) is not None:
                found[row.gateway] = status
    return found


def _gateway(row: RowMapping) -> StoredGateway:
    return StoredGateway(**{**row, "status": _status(row["status"])})


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    try:
        return from_bytes(Status, text.encode())
    except MessageError:
        return None  # written by a newer hub; the next status replaces it


def add_report(connection: Connection, gateway: str, report: Report, raw: str, now: float) -> None:
    """Keep a report."""
    connection.execute(insert(reports).values(gateway=gateway, time=report.time, received=now, body=raw))


def add_losses(
    connection: Connection, gateway: str, lost: Iterable[tuple[DeclaredLoss, int]], time: float, now: float
) -> None:
    """Keep declared losses, each with its number of rows; one that is there already stays as it is."""
    rows = [
        {
            "gateway": gateway,
            "priority": loss.priority,
            "epoch": loss.epoch,
            "first": loss.first,
            "last": loss.last,
            "rows": number,
            "reason": loss.reason,
            "time": time,
            "received": now,
        }
        for loss, number in lost
    ]
    insert_new(connection, losses, rows)


def add_unparsed(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Keep what could not be parsed: received, topic, gateway, error, size, payload."""
    if entries := list(rows):
        connection.execute(insert(unparsed), entries)


def count_up(connection: Connection, more: dict[str, int]) -> None:
    """Add to counters that outlive the process."""
    named = {name: number for name, number in more.items() if number}
    if not named:
        return
    insert_new(connection, counters, [{"name": name, "value": 0} for name in named])
    connection.execute(
        update(counters)
        .where(counters.c.name == bindparam("of_name"))
        .values(value=counters.c.value + bindparam("more")),
        [{"of_name": name, "more": number} for name, number in named.items()],
    )


def read_counters(connection: Connection) -> dict[str, int]:
    """All counters by name."""
    return {row.name: int(row.value) for row in connection.execute(select(counters))}
