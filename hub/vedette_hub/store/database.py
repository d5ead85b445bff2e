"""The connection to the store: SQLite made durable, PostgreSQL by URL, read and write transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from vedette_hub.errors import StoreError
from vedette_hub.tracing import span

BUSY_SECONDS = 5.0
"""How long a connection waits for another's write transaction before it gives up."""

_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_IMMEDIATE = "vedette_immediate"


def open_store(url: str) -> Engine:
    """An engine for the database at `url`; connects once to see that it can be used.

    SQLite gets WAL (readers and the writer do not wait for each other), `synchronous=FULL` (a receipt is a promise:
    what is committed survives a power cut) and foreign keys.

    Raises:
        StoreError: the URL is not understood, a driver is missing, or the database cannot be opened.
    """
    try:
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"database.url: {error}") from error
    except ImportError as error:
        raise StoreError(f"database.url: {error}; for PostgreSQL run `pip install psycopg`") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        with engine.connect():
            pass
    except SQLAlchemyError as error:
        shown = engine.url.render_as_string(hide_password=True)
        hint = "does the folder exist, may this user write there?" if engine.dialect.name == "sqlite" else "is it up?"
        raise StoreError(f"database {shown}: {describe(error)}; {hint}") from error
    return engine


def _set_up_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # Transactions are begun by `_begin_sqlite`, not by the driver, which would never begin one before a SELECT or DDL.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins as a reader and then wants to write fails at once when somebody wrote in between.
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the store and writes nothing.

    Inside `writing` of the same engine and thread it is part of that transaction, and sees what has been written.
    """
    if (outer := _outer.transactions.get(engine)) is not None:
        yield outer
        return
    with span("store.read"), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: committed as a whole when the block ends, rolled back when it raises.

    Inside another one of the same engine and thread it is a part of it: rolled back alone when it raises, committed
    with the outer one. So an effect, its audit entry and its idempotency key stand or fall together.
    """
    if (outer := _outer.transactions.get(engine)) is not None:
        with outer.begin_nested():
            yield outer
        return
    # The span begins before the transaction: what waits for another writer is seen.
    with (
        span("store.write"),
        engine.connect().execution_options(**{_IMMEDIATE: True}) as connection,
        connection.begin(),
    ):
        _outer.transactions[engine] = connection
        try:
            yield connection
        finally:
            del _outer.transactions[engine]


class _Outer(threading.local):
    """The write transactions that this thread is inside of."""

    def __init__(self) -> None:
        self.transactions: dict[Engine, Connection] = {}


_outer = _Outer()


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert those of `rows` whose keys are not there yet; how many those were."""
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows)).rowcount


def describe(error: BaseException) -> str:
    """The driver's own words, without the statement and its parameters."""
    original = getattr(error, "orig", None)
    return " ".join(str(original if original is not None else error).split())
