"""Changing the signing key: the old one says that the new one counts, and later the new one that the old does not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey
from sqlalchemy import Engine

from vedette_hub import state
from vedette_hub.errors import HubError
from vedette_hub.store import keys as store
from vedette_hub.store import rollout
from vedette_hub.store.database import reading, writing
from vedette_models.keys import key_id
from vedette_models.succession import MAX_STATEMENTS, add_key, revoke_key

NEXT_SUFFIX = ".next"
"""Of the file of the new key, until the old one has spoken for it."""


class KeyChangeError(HubError):
    """The signing key cannot be changed, or revoked; nothing has changed."""


@dataclass(frozen=True)
class Rotated:
    """The ids of the keys before and after, and where the old one is kept."""

    old: str
    new: str
    kept: Path


def rotate(state_dir: Path, engine: Engine, now: float, *, remark: str, rings_renewed: bool = False) -> Rotated:
    """Make a new signing key that the old one has spoken for; the hub signs with it from its next start on.

    The statement is kept before the key is used: a crash in between leaves a key that nobody uses yet, and asking again
    goes on with it. `rings_renewed`: every gateway's key ring has the present key, so that older statements may go.

    Raises:
        KeyChangeError: too many statements.
        state.StateError: there is no signing key, or the state directory cannot be written.
    """
    path = state_dir / state.SIGNING_KEY_FILE
    old = state.signing_key(state_dir)
    new = state.signing_key_in(path.with_name(path.name + NEXT_SUFFIX), remark)
    statement = add_key(old, new.verify_key, now)
    with writing(engine) as connection:
        if rings_renewed:
            store.drop_statements(connection)
        _check_room(len(store.load_statements(connection)))
        store.add_statement(connection, statement, now)
    kept = path.with_name(f"{path.name}.{key_id(old.verify_key)}.old")
    try:
        if not kept.exists():
            os.link(path, kept)
        path.with_name(path.name + NEXT_SUFFIX).replace(path)
    except OSError as error:
        raise KeyChangeError(f"{path}: {error.strerror}; ask again when that is mended") from error
    return Rotated(key_id(old.verify_key), key_id(new.verify_key), kept)


def revoke(engine: Engine, key: SigningKey, revoked: str, now: float) -> None:
    """Say with the present key that another one is not to be followed any more, with every manifest from now on.

    Raises:
        KeyChangeError: it is the present key, manifests are still signed by it, or there are too many statements.
    """
    with reading(engine) as connection:
        foreign = rollout.foreign_keys(connection, key_id(key.verify_key))
    if foreign.get(revoked):
        raise KeyChangeError(
            f"key {revoked}: {foreign[revoked]} manifests are still signed by it; restart the hub, and look again"
        )
    try:
        statement = revoke_key(key, revoked, now)
    except ValueError as error:
        raise KeyChangeError(f"{error}; make another one first: `vedette-hub key rotate`") from error
    with writing(engine) as connection:
        _check_room(len(store.load_statements(connection)))
        store.add_statement(connection, statement, now)
        store.sign_everything_again(connection)


def _check_room(there: int) -> None:
    if there >= MAX_STATEMENTS:
        raise KeyChangeError(
            f"there are {there} key statements, and gateways take no more: copy what `vedette-hub key ring` prints to "
            "every gateway, then use `vedette-hub key rotate --key-rings-renewed`"
        )
