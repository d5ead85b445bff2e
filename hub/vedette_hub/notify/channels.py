"""Setting up channels: what the API, the console and the command line do, inside a write transaction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from vedette_hub.notify import kinds
from vedette_hub.notify.errors import SettingsError
from vedette_hub.notify.follow import new_id
from vedette_hub.notify.kinds import WebhookSettings
from vedette_hub.notify.message import compose_test
from vedette_hub.notify.sealing import Seal
from vedette_hub.store import channels as store
from vedette_hub.store import deliveries
from vedette_hub.store.channels import Channel, get_channel
from vedette_hub.store.deliveries import NewDelivery

NAME_FORM = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$"
"""Names of channels and routes."""

_NAME = re.compile(NAME_FORM)


@dataclass(frozen=True)
class ChannelSetup:
    """What setting up a channel needs besides the channel."""

    seal: Seal
    allow_http: bool


@dataclass(frozen=True)
class MadeChannel:
    """A channel as it has been set up."""

    channel: Channel
    secret: str | None
    """The signing secret of a webhook where one has been made: shown this once."""


def add_channel(
    connection: Connection,
    setup: ChannelSetup,
    name: str,
    kind: str,
    settings: dict[str, Any],
    *,
    enabled: bool = True,
    now: float,
    by: str,
) -> MadeChannel:
    """Add a channel.

    Args:
        connection: of a write transaction.
        setup: what seals its secrets.
        name: letters, digits and . _ -
        kind: one of `kinds.KINDS`.
        settings: all of them, secret ones too.
        enabled: whether anything is sent.
        now: seconds since 1970 UTC.
        by: who adds it.

    Raises:
        SettingsError: name, kind or settings cannot be used; by field.
        ChannelError: the name is taken, or there are too many.
    """
    check_name(name)
    parsed = kinds.parse(kinds.parse_kind(kind), settings, allow_http=setup.allow_http)
    shown, hidden = kinds.split(parsed)
    sealed = setup.seal.seal(hidden)
    made = store.insert_channel(connection, name, kind, shown, parsed.address, sealed, enabled=enabled, now=now, by=by)
    new = isinstance(parsed, WebhookSettings) and not settings.get("secret")
    return MadeChannel(made, parsed.secret if new and isinstance(parsed, WebhookSettings) else None)


def change_channel(
    connection: Connection,
    setup: ChannelSetup,
    name: str,
    *,
    new_name: str | None = None,
    settings: dict[str, Any] | None = None,
    enabled: bool | None = None,
) -> MadeChannel:
    """Change a channel; None, and settings that are not given, stay as they are.

    Raises:
        UnknownChannelError: there is none.
        SettingsError: a value cannot be used; by field.
        ChannelError: the new name is taken.
        SealError: its secrets cannot be read, and not all of them are given anew.
    """
    found = get_channel(connection, name)
    if new_name is not None:
        check_name(new_name)
    shown, sealed, address = found.settings, found.sealed, found.address
    if settings is not None:
        kind = kinds.parse_kind(found.kind)
        given = set(settings) >= set(kinds.secret_fields(kind))
        hidden = {} if given else setup.seal.open(found.sealed)
        parsed = kinds.parse(kind, found.settings | hidden | settings, allow_http=setup.allow_http)
        shown, hidden = kinds.split(parsed)
        sealed, address = setup.seal.seal(hidden), parsed.address
    changed = store.update_channel(
        connection,
        found,
        name=found.name if new_name is None else new_name,
        settings=shown,
        address=address,
        sealed=sealed,
        enabled=found.enabled if enabled is None else enabled,
    )
    # Asked for anew by an empty one: there is no other way to get to know it.
    renewed = settings is not None and settings.get("secret") == "" and found.kind == "webhook"
    return MadeChannel(changed, setup.seal.open(sealed)["secret"] if renewed else None)


def remove_channel(connection: Connection, name: str) -> Channel:
    """Remove a channel, and what was told through it.

    Raises:
        UnknownChannelError: there is none.
        ChannelError: a route leads to it.
    """
    found = get_channel(connection, name)
    store.delete_channel(connection, found)
    return found


def queue_test(connection: Connection, name: str, *, now: float, by: str) -> int:
    """Queue a message that tries a channel, disabled ones too; the number of the delivery, which has the result.

    The hub's own process sends it, the way it sends everything: once, and at once.

    Raises:
        UnknownChannelError: there is none.
    """
    found = get_channel(connection, name)
    message = compose_test(found.name, by, now)
    return deliveries.queue(
        connection, NewDelivery(new_id(), found.number, None, "", ("", ""), "", "test", message, now)
    )


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a channel or route.

    Raises:
        SettingsError: it cannot.
    """
    if not _NAME.match(name):
        problem = "write 1 to 64 letters a–z, digits and . _ -, the first a letter or digit"
        raise SettingsError({"name": [problem]})


def secrets_of(channel: Channel) -> list[str]:
    """Names of the settings of a channel that nobody is shown."""
    return list(kinds.secret_fields(kinds.parse_kind(channel.kind)))
