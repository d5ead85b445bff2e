"""Whether a gateway is there. Pure."""

from __future__ import annotations

from typing import Literal

from vedette_hub.store.fleet import StoredGateway

Presence = Literal["online", "silent", "offline", "unknown"]


def presence(gateway: StoredGateway, now: float, silent_after: float) -> Presence:
    """`online`, `offline` as it said itself or its broker did; `silent` when it should have spoken; else `unknown`.

    A gateway whose connection breaks together with its broker leaves no last will: only its silence shows.
    """
    if gateway.status is None:
        return "unknown"
    if not gateway.online:
        return "offline"
    return "online" if now - gateway.last_seen <= silent_after else "silent"


def problems(gateway: StoredGateway, state: Presence, now: float) -> list[str]:
    """What a person should know about a gateway, one sentence each; empty when all is well."""
    found = list(gateway.status.problems) if gateway.status is not None and state == "online" else []
    if not gateway.last_seen:
        found.append("It is enrolled, and has never been heard.")
    if state == "silent":
        minutes = (now - gateway.last_seen) / 60
        found.append(f"It says it is online, but nothing has come for {minutes:.0f} min: is its link to the broker up?")
    if state == "offline" and gateway.status is not None and gateway.status.reason != "stopped":
        found.append("Its connection to the broker was lost.")
    if gateway.held_back:
        found.append(f"{gateway.held_back} rows were held back: it skips sequence numbers without declaring a loss.")
    if gateway.lost_rows:
        found.append(f"It declared {gateway.lost_rows} rows lost.")
    if gateway.unparsed:
        found.append(f"{gateway.unparsed} of its messages could not be parsed; is it newer than this hub?")
    return found
