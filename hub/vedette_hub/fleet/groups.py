"""Groups of gateways, which orders can be given to."""

from __future__ import annotations

from sqlalchemy import Engine

from vedette_hub.fleet.orders import OrderError, UnknownTargetError
from vedette_hub.store import rollout as store
from vedette_hub.store.database import writing
from vedette_hub.store.schema import NAME_LENGTH


def assign(engine: Engine, gateway: str, group: str) -> None:
    """Put a gateway into a group; with an empty name into none. What it has been ordered stays as it is.

    Raises:
        UnknownTargetError: there is no such gateway.
        OrderError: the name is too long, or only blanks.
    """
    if len(group) > NAME_LENGTH or (group and not group.strip()):
        raise OrderError(f"group {group[:NAME_LENGTH]!r}: give it at most {NAME_LENGTH} characters, not only blanks")
    with writing(engine) as connection:
        if not store.set_group(connection, gateway, group):
            raise UnknownTargetError(
                "gateways", f"no such gateway: {gateway!r}; `vedette-hub enroll` makes one known before it reports"
            )
