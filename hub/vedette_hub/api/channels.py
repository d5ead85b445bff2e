"""`/api/v1/channels`: where people are told of alerts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub import state
from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.notify_shapes import (
    ChannelChangeIn,
    ChannelIn,
    ChannelOut,
    ChannelsOut,
    ChannelTestIn,
    DeliveryOut,
    NewChannelOut,
    channel_answer,
    delivery_answer,
)
from vedette_hub.notify import channels
from vedette_hub.notify.channels import ChannelSetup
from vedette_hub.notify.errors import SettingsError
from vedette_hub.notify.sealing import Seal, SealError
from vedette_hub.store import channels as store
from vedette_hub.store.channels import ChannelError, UnknownChannelError
from vedette_hub.store.database import reading, writing
from vedette_hub.store.deliveries import find_delivery
from vedette_hub.web.stopping import stopping

blueprint = APIBlueprint("channels", __name__, url_prefix="/api/v1/channels", tag="Notifications")

_WATCH_SECONDS = 0.1


def channel_setup() -> ChannelSetup:
    """What setting up a channel needs, for this hub."""
    here = context()
    return ChannelSetup(Seal(state.channel_key(here.state_dir)), here.config.notify.allow_http)


@contextmanager
def refusals_answered() -> Iterator[None]:
    """Why it cannot be done, as a status with a sentence."""
    try:
        yield
    except SettingsError as error:
        abort(422, "The request is not as it should be.", detail={"json": error.fields})
    except UnknownChannelError as error:
        abort(404, f"{_sentence(error)}; GET /api/v1/channels lists those there are.")
    except (ChannelError, SealError) as error:
        abort(409, f"{_sentence(error)}.")


@blueprint.get("")
@requires("admin")
@blueprint.output(ChannelsOut)
def list_channels() -> dict[str, Any]:
    """Channels by name, without their secrets."""
    here = context()
    with reading(here.engine) as connection:
        return {"channels": [channel_answer(one, here.now()) for one in store.list_channels(connection)]}


@blueprint.post("")
@requires("admin")
@blueprint.input(ChannelIn)
@blueprint.output(NewChannelOut, status_code=201)
@blueprint.doc(responses=[400, 409, 413])
def add_channel(json_data: ChannelIn) -> dict[str, Any]:
    """Add a channel; the signing secret of a webhook is answered this once where one was made."""
    here, setup = context(), channel_setup()
    with refusals_answered(), writing(here.engine) as connection:
        made = channels.add_channel(
            connection,
            setup,
            json_data.name,
            json_data.kind,
            json_data.settings,
            enabled=json_data.enabled,
            now=here.now(),
            by=who(),
        )
        note(connection, "channel.add", made.channel.name, detail=f"{made.channel.kind}, {made.channel.address}")
    return {**channel_answer(made.channel, here.now()), "secret": made.secret}


@blueprint.get("/<name:channel>")
@requires("admin")
@blueprint.output(ChannelOut)
@blueprint.doc(responses=[404])
def show_channel(channel: str) -> dict[str, Any]:
    """One channel without its secrets."""
    here = context()
    with refusals_answered(), reading(here.engine) as connection:
        return channel_answer(store.get_channel(connection, channel), here.now())


@blueprint.patch("/<name:channel>")
@requires("admin")
@blueprint.input(ChannelChangeIn)
@blueprint.output(NewChannelOut)
@blueprint.doc(responses=[400, 404, 409, 413])
def change_channel(channel: str, json_data: ChannelChangeIn) -> dict[str, Any]:
    """Change a channel; what waits for it is tried at once."""
    here, setup = context(), channel_setup()
    with refusals_answered(), writing(here.engine) as connection:
        made = channels.change_channel(
            connection,
            setup,
            channel,
            new_name=json_data.name,
            settings=json_data.settings,
            enabled=json_data.enabled,
        )
        # Names only: a value may be secret.
        names = sorted({*json_data.model_fields_set, *(json_data.settings or {})} - {"settings"})
        note(connection, "channel.change", made.channel.name, detail=", ".join(names))
    return {**channel_answer(made.channel, here.now()), "secret": made.secret}


@blueprint.delete("/<name:channel>")
@requires("admin")
@idempotent
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=[404, 409])
def remove_channel(channel: str) -> str:
    """Remove a channel that no route leads to, and what was told through it."""
    with refusals_answered(), writing(context().engine) as connection:
        removed = channels.remove_channel(connection, channel)
        note(connection, "channel.remove", removed.name)
    return ""


@blueprint.post("/<name:channel>/test")
@requires("admin")
@blueprint.input(ChannelTestIn)
@blueprint.output(DeliveryOut)
@blueprint.doc(responses=[400, 404, 413])
def send_test(channel: str, json_data: ChannelTestIn) -> dict[str, Any]:
    """Send a test message through a channel, disabled ones too, and answer with what became of it.

    `status` is `sent` or `failed`, and `detail` says more; `queued` or `sending` when `wait` was over before.
    """
    here = context()
    with refusals_answered(), writing(here.engine) as connection:
        number = channels.queue_test(connection, channel, now=here.now(), by=who())
        note(connection, "channel.test", channel)
    end = time.monotonic() + json_data.wait
    while True:
        with reading(here.engine) as connection:
            found = find_delivery(connection, number)
        if found is None:
            abort(404, f"The channel {channel!r} has been removed.")
        left = end - time.monotonic()
        if found.finished is not None or left <= 0 or stopping.wait(min(_WATCH_SECONDS, left)):
            return delivery_answer(found)


def _sentence(error: Exception) -> str:
    return f"{str(error)[:1].upper()}{str(error)[1:]}"
