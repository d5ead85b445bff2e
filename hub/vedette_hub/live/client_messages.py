"""What a client of /ws may say: a JSON object with a type and its data. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec

from vedette_hub.errors import HubError
from vedette_hub.store.schema import NAME_LENGTH
from vedette_models.messages import SEVERITIES, Severity

ALERTS, SCORES = "alerts", "scores"
SEVERITY_CHANNELS = {f"severity:{severity}": severity for severity in SEVERITIES}
CHANNELS = (ALERTS, SCORES, *SEVERITY_CHANNELS)
ALERT_CHANNELS = frozenset((ALERTS, *SEVERITY_CHANNELS))
MAX_BYTES = 16 * 1024
"""Largest message of a client."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH)]


class MessageRefusedError(HubError):
    """A message that cannot be followed: says which part of it, and what there is."""


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class Token(_Data, frozen=True):
    """Who speaks."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Channels(_Data, frozen=True):
    """Channels, by name."""

    channels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=16)]


class Subscription(Channels, frozen=True):
    """Channels to be told of from now on."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    """The newest change of an alert that the client has seen: what came since is told first."""


class Device(_Data, frozen=True):
    """A device of a gateway."""

    gateway: _Name
    device: _Name


class Authenticate(_Message, frozen=True, tag="authenticate"):
    """The first message of a client without a session."""

    data: Token


class Subscribe(_Message, frozen=True, tag="subscribe"):
    """Tell me of these too."""

    data: Subscription


class Unsubscribe(_Message, frozen=True, tag="unsubscribe"):
    """Tell me of these no more."""

    data: Channels


class Watch(_Message, frozen=True, tag="watch"):
    """I look at this device: send its readings."""

    data: Device


class Unwatch(_Message, frozen=True, tag="unwatch"):
    """I do not look at it any more."""

    data: Device


class Ping(_Message, frozen=True, tag="ping"):
    """Are you there?"""

    data: _Data = _Data()


ClientMessage = Authenticate | Subscribe | Unsubscribe | Watch | Unwatch | Ping

_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)


def parse(text: str) -> ClientMessage:
    """The message in a text.

    Raises:
        MessageRefusedError: it is none, or names a channel that does not exist.
    """
    try:
        message = _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MessageRefusedError(f"{error}; see docs/live.md for what can be said here") from error
    if isinstance(message, Subscribe | Unsubscribe):
        for name in message.data.channels:
            if name not in CHANNELS:
                raise MessageRefusedError(f"there is no channel {name[:64]!r}; there are {', '.join(CHANNELS)}")
    return message


def channels_of(severity: Severity) -> frozenset[str]:
    """The channels that an alert of this severity belongs to."""
    return frozenset((ALERTS, f"severity:{severity}"))
