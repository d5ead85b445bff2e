"""`/api/v1/devices` and `/api/v1/profiles`: what is watched, as samples, alerts and models tell."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.api.device_shapes import DeviceOut, DevicePage, DevicesOut, ProfileOut, ProfilesOut
from vedette_hub.api.shapes import GatewayPage
from vedette_hub.store.database import reading
from vedette_hub.store.devices import StoredDevice, find_device
from vedette_hub.store.devices import list_devices as stored_devices
from vedette_hub.store.profiles import StoredProfile
from vedette_hub.store.profiles import list_profiles as stored_profiles
from vedette_hub.times import rfc3339

blueprint = APIBlueprint("devices", __name__, url_prefix="/api/v1", tag="Devices")


@blueprint.get("/devices")
@requires("viewer")
@blueprint.input(DevicePage, location="query")
@blueprint.output(DevicesOut)
def list_devices(query_data: DevicePage) -> dict[str, Any]:
    """Devices by gateway and name: those that samples have come of, and those with an active alert."""
    with reading(context().engine) as connection:
        found = stored_devices(
            connection, limit=query_data.limit + 1, after=query_data.after(), gateway=query_data.gateway
        )
    page = found[: query_data.limit]
    more = {"after_gateway": page[-1].gateway, "after_device": page[-1].device} if len(found) > len(page) else None
    return {"devices": [device_answer(device) for device in page], "next": more}


@blueprint.get("/devices/<name:gateway>/<name:device>")
@requires("viewer")
@blueprint.output(DeviceOut)
@blueprint.doc(responses=[404])
def show_device(gateway: str, device: str) -> dict[str, Any]:
    """One device."""
    with reading(context().engine) as connection:
        found = find_device(connection, (gateway, device))
    if found is None:
        abort(404, f"Nothing has come of a device {device!r} of gateway {gateway!r}; GET /api/v1/devices lists others.")
    return device_answer(found)


@blueprint.get("/profiles")
@requires("viewer")
@blueprint.input(GatewayPage, location="query")
@blueprint.output(ProfilesOut)
def list_profiles(query_data: GatewayPage) -> dict[str, Any]:
    """Profiles by name, with what there is to train them with, and their versions."""
    with reading(context().engine) as connection:
        found = stored_profiles(connection)
    behind = [profile for profile in found if profile.profile > query_data.after]
    page = behind[: query_data.limit]
    return {
        "profiles": [profile_answer(profile) for profile in page],
        "total": len(found),
        "next": page[-1].profile if len(behind) > len(page) else None,
    }


@blueprint.get("/profiles/<name:profile>")
@requires("viewer")
@blueprint.output(ProfileOut)
@blueprint.doc(responses=[404])
def show_profile(profile: str) -> dict[str, Any]:
    """One profile."""
    with reading(context().engine) as connection:
        found = [one for one in stored_profiles(connection) if one.profile == profile]
    if not found:
        abort(404, f"Neither samples nor models of a profile {profile!r} are here; GET /api/v1/profiles lists others.")
    return profile_answer(found[0])


def device_answer(device: StoredDevice) -> dict[str, Any]:
    """Fields of `DeviceOut`."""
    return {
        "gateway": device.gateway,
        "device": device.device,
        "profile": device.profile,
        "channels": list(device.channels),
        "last": device.last,
        "last_at": rfc3339(device.last),
        "interval": device.interval,
    }


def profile_answer(profile: StoredProfile) -> dict[str, Any]:
    """Fields of `ProfileOut`."""
    return dict(profile.__dict__)
