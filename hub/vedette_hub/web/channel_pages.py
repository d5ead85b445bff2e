"""The console's settings of channels: where people are told of alerts, with a test that shows what came of it."""

from __future__ import annotations

import time
from typing import Any

from apiflask import APIBlueprint
from flask import abort, redirect, render_template, request, url_for

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.channels import channel_setup
from vedette_hub.api.context import context
from vedette_hub.api.notify_shapes import channel_answer
from vedette_hub.errors import HubError
from vedette_hub.notify import channels
from vedette_hub.notify.errors import SettingsError
from vedette_hub.notify.kinds import KINDS
from vedette_hub.store import channels as store
from vedette_hub.store.channels import UnknownChannelError
from vedette_hub.store.database import reading, writing
from vedette_hub.store.deliveries import Delivery, find_delivery
from vedette_hub.web import forms, shell
from vedette_hub.web.stopping import stopping

TEST_SECONDS = 8.0
"""As long is waited for what comes of a test; later it stands among the deliveries."""
_WATCH_SECONDS = 0.1
FIELDS = {
    "webhook": (("url", "Address", "https://…"), ("secret", "Signing secret", "made when left out")),
    "email": (("host", "Mail server", "mail.example.org"), ("port", "Port", "587"), ("username", "User", ""),
              ("password", "Password", ""), ("sender", "From", "vedette@example.org"),
              ("to", "To", "ops@example.org, …")),
    "mqtt": (("topic", "Topic", "vedette/v1/alerts"),),
    "log": (),
    "apprise": (("url", "Apprise address", "slack://…"),),
}  # fmt: skip
"""By kind: (setting, words, example)."""
SECRET = {"password", "secret"}

blueprint = APIBlueprint("channels_console", __name__, url_prefix="/settings/channels", enable_openapi=False)


@blueprint.get("")
@requires("admin", page=True)
def page() -> Any:
    """Channels, and a form to add one."""
    return _page()


@blueprint.post("")
@requires("admin")
def add_channel() -> Any:
    """Add a channel."""
    here, form = context(), request.form
    name, kind = form.get("name", "").strip(), form.get("kind", "")
    try:
        settings = _settings(kind)
        with writing(here.engine) as connection:
            made = channels.add_channel(connection, channel_setup(), name, kind, settings, now=here.now(), by=who())
            note(connection, "channel.add", made.channel.name, detail=f"{made.channel.kind}, {made.channel.address}")
    except HubError as error:
        return _page(_problem(error), 422)
    return _page(secret=(name, made.secret)) if made.secret else redirect(url_for("channels_console.page"), 303)


@blueprint.post("/<name:channel>/test")
@requires("admin")
def send_test(channel: str) -> Any:
    """Send a test message, and show what came of it."""
    here = context()
    try:
        with writing(here.engine) as connection:
            number = channels.queue_test(connection, channel, now=here.now(), by=who())
            note(connection, "channel.test", channel)
    except UnknownChannelError:
        abort(404)
    except HubError as error:
        return _page(_problem(error), 409)
    end = time.monotonic() + TEST_SECONDS
    while True:
        with reading(here.engine) as connection:
            found = find_delivery(connection, number)
        if found is None or found.finished is not None or time.monotonic() >= end or stopping.wait(_WATCH_SECONDS):
            return _page(tested=found)


@blueprint.post("/<name:channel>/switch")
@requires("admin")
def switch(channel: str) -> Any:
    """Switch a channel on or off."""
    enabled = request.form.get("enabled") == "true"
    try:
        with writing(context().engine) as connection:
            channels.change_channel(connection, channel_setup(), channel, enabled=enabled)
            note(connection, "channel.change", channel, detail="enabled" if enabled else "disabled")
    except UnknownChannelError:
        abort(404)
    except HubError as error:
        return _page(_problem(error), 409)
    return redirect(url_for("channels_console.page"), 303)


@blueprint.post("/<name:channel>/remove")
@requires("admin")
def remove(channel: str) -> Any:
    """Remove a channel that no route leads to."""
    try:
        with writing(context().engine) as connection:
            note(connection, "channel.remove", channels.remove_channel(connection, channel).name)
    except UnknownChannelError:
        abort(404)
    except HubError as error:
        return _page(_problem(error), 409)
    return redirect(url_for("channels_console.page"), 303)


def _settings(kind: str) -> dict[str, Any]:
    form = request.form
    given: dict[str, Any] = {
        name: form.get(f"{kind}-{name}", "").strip()
        for name, _, _ in FIELDS.get(kind, ())
        if form.get(f"{kind}-{name}", "").strip()
    }
    if "port" in given:
        port = forms.number(given["port"], "port")
        given["port"] = int(port) if port is not None and port.is_integer() else port
    if "to" in given:
        given["to"] = [part.strip() for part in given["to"].split(",") if part.strip()]
    if kind == "email":
        given["security"] = form.get("email-security", "starttls")
    return given


def _problem(error: HubError) -> str:
    if isinstance(error, SettingsError):
        return shell.sentence("; ".join(f"{name}: {', '.join(found)}" for name, found in error.fields.items()))
    return shell.sentence(str(error))


def _page(
    problem: str = "", status: int = 200, *, secret: tuple[str, str] | None = None, tested: Delivery | None = None
) -> tuple[str, int]:
    here = context()
    with reading(here.engine) as connection:
        found = [channel_answer(one, here.now()) for one in store.list_channels(connection)]
    text = render_template(
        "settings_channels.html",
        problem=problem,
        secret=secret,
        tested=tested,
        channels=found,
        kinds=KINDS,
        fields=FIELDS,
        hidden=SECRET,
        typed=request.form,
    )
    return text, status
