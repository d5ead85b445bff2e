"""Key statements in the store: how gateways come to follow the present signing key."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from vedette_hub.store.schema import key_statements, manifests
from vedette_models.succession import KeyStatement


def load_statements(connection: Connection) -> tuple[KeyStatement, ...]:
    """All of them, in the order in which they were made."""
    query = select(key_statements.c.body).order_by(key_statements.c.number)
    return tuple(msgspec.json.decode(body, type=KeyStatement) for body in connection.execute(query).scalars())


def add_statement(connection: Connection, statement: KeyStatement, now: float) -> None:
    """Keep a statement, after all others."""
    connection.execute(insert(key_statements).values(body=msgspec.json.encode(statement), made=now))


def drop_statements(connection: Connection) -> None:
    """Forget all statements: every gateway's key ring has the present key."""
    connection.execute(delete(key_statements))


def sign_everything_again(connection: Connection) -> None:
    """What the statements say has changed: every manifest carries them."""
    connection.execute(update(manifests).values(due="sign"))
