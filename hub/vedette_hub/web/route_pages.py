"""The console's settings of routes, which alerts go to which channels, and of what was told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint
from flask import abort, redirect, render_template, request, url_for

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.notify_shapes import RouteIn, route_fields
from vedette_hub.errors import HubError
from vedette_hub.notify.routing import Route
from vedette_hub.store import deliveries, routes
from vedette_hub.store.channels import list_channels
from vedette_hub.store.database import reading, writing
from vedette_hub.store.deliveries import DeliveryFilter
from vedette_hub.store.routes import UnknownRouteError
from vedette_hub.web import forms, shell

DELIVERIES_SHOWN = 30
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTE = 60.0

blueprint = APIBlueprint("routes_console", __name__, url_prefix="/settings", enable_openapi=False)


@blueprint.get("/routes")
@requires("admin", page=True)
def page() -> Any:
    """Routes, a form to add one, and the newest deliveries."""
    return _page()


@blueprint.post("/routes")
@requires("admin")
def add_route() -> Any:
    """Add a route."""
    here, form = context(), request.form
    try:
        cooldown = forms.number(form.get("cooldown", ""), "minutes between messages") or 0.0
        device_cooldown = forms.number(form.get("device_cooldown", ""), "minutes for one device") or 0.0
        values: dict[str, Any] = {
            "name": form.get("name", "").strip(),
            "channels": form.getlist("channel"),
            "matchers": forms.patterns(form, form.getlist("severity")),
            "hours": {
                "days": form.getlist("day"),
                "start": form.get("start") or "00:00",
                "end": form.get("end") or "00:00",
                "timezone": form.get("timezone", "").strip() or "UTC",
            },
            "bounds": {"cooldown": _MINUTE * cooldown, "device_cooldown": _MINUTE * device_cooldown},
            "tell_cleared": "tell_cleared" in form,
        }
        asked = forms.read(RouteIn, values)
        with writing(here.engine) as connection:
            made = routes.add_route(connection, Route(**route_fields(asked), created=here.now(), created_by=who()))
            note(connection, "route.add", made.name, detail=f"to {', '.join(made.channels)}")
    except HubError as error:
        return _page(shell.sentence(str(error)), 422)
    return redirect(url_for("routes_console.page"), 303)


@blueprint.post("/routes/<name:route>/switch")
@requires("admin")
def switch(route: str) -> Any:
    """Switch a route on or off."""
    enabled = request.form.get("enabled") == "true"
    try:
        with writing(context().engine) as connection:
            routes.change_route(connection, replace(routes.get_route(connection, route), enabled=enabled))
            note(connection, "route.change", route, detail="enabled" if enabled else "disabled")
    except UnknownRouteError:
        abort(404)
    return redirect(url_for("routes_console.page"), 303)


@blueprint.post("/routes/<name:route>/remove")
@requires("admin")
def remove(route: str) -> Any:
    """Remove a route."""
    try:
        with writing(context().engine) as connection:
            note(connection, "route.remove", routes.remove_route(connection, route).name)
    except UnknownRouteError:
        abort(404)
    return redirect(url_for("routes_console.page"), 303)


@blueprint.post("/deliveries/<int(min=1, max=9007199254740992):number>/retry")
@requires("admin")
def retry(number: int) -> Any:
    """Try a delivery again that was given up."""
    here = context()
    try:
        with writing(here.engine) as connection:
            if deliveries.try_again(connection, number, here.now()) is None:
                abort(404)
            note(connection, "delivery.retry", str(number))
    except HubError as error:
        return _page(shell.sentence(str(error)), 409)
    return redirect(url_for("routes_console.page"), 303)


def _page(problem: str = "", status: int = 200) -> tuple[str, int]:
    with reading(context().engine) as connection:
        text = render_template(
            "settings_routes.html",
            problem=problem,
            routes=routes.list_routes(connection),
            channels=[channel.name for channel in list_channels(connection)],
            deliveries=deliveries.list_deliveries(connection, DeliveryFilter(), limit=DELIVERIES_SHOWN),
            days=DAYS,
            typed=request.form,
        )
    return text, status
