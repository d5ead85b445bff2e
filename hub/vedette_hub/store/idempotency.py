"""Keys of writes that may be sent twice: the first answer is kept, and given again."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from vedette_hub.store.database import insert_new
from vedette_hub.store.schema import idempotency_keys

LARGEST_ANSWER = 65_536
"""Bytes of an answer, compressed, that are kept; of a larger one only that it was given."""

_UNDER_WAY = 0


@dataclass(frozen=True)
class KeptAnswer:
    """What was answered to the first request with a key."""

    fingerprint: str
    status: int
    headers: dict[str, str]
    body: bytes | None
    """None: it was too large to be kept."""


def claim(
    connection: Connection, owner: str, key: str, fingerprint: str, now: float, *, seconds: float
) -> KeptAnswer | None:
    """Take a key for this transaction; None when it is new, else what was answered to the one that had it.

    On PostgreSQL a second request with the same key waits here until the first one's transaction has ended; on SQLite
    it does so before.
    """
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created <= now - seconds))
    same = (idempotency_keys.c.owner == owner) & (idempotency_keys.c.key == key)
    row = connection.execute(select(idempotency_keys).where(same)).first()
    if row is None:
        new = {"owner": owner, "key": key, "fingerprint": fingerprint, "created": now, "status": _UNDER_WAY}
        if insert_new(connection, idempotency_keys, [{**new, "headers": "{}", "body": None}]):
            return None
        row = connection.execute(select(idempotency_keys).where(same)).one()
    body = None if row.body is None else zlib.decompress(row.body)
    return KeptAnswer(row.fingerprint, row.status, json.loads(row.headers), body)


def keep(connection: Connection, owner: str, key: str, status: int, headers: dict[str, str], body: bytes) -> None:
    """Keep the answer to a request whose key was claimed in this transaction."""
    packed = zlib.compress(body)
    connection.execute(
        update(idempotency_keys)
        .where(idempotency_keys.c.owner == owner, idempotency_keys.c.key == key)
        .values(status=status, headers=json.dumps(headers), body=packed if len(packed) <= LARGEST_ANSWER else None)
    )


def release(connection: Connection, owner: str, key: str) -> None:
    """Give a claimed key back: what it was for was refused."""
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.owner == owner, idempotency_keys.c.key == key))


def prune_keys(connection: Connection, most: int) -> int:
    """Forget the oldest keys beyond so many; how many there were."""
    count = connection.execute(select(func.count()).select_from(idempotency_keys)).scalar_one()
    if count <= most:
        return 0
    oldest = select(idempotency_keys.c.created).order_by(idempotency_keys.c.created).offset(count - most - 1).limit(1)
    last = connection.execute(oldest).scalar_one()
    return connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created <= last)).rowcount
