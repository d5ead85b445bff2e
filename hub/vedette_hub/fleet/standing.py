"""How orders stand: for each gateway and profile what was ordered, what runs, and what the gateway last said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from vedette_hub.fleet.presence import presence
from vedette_hub.fleet.rollout import Progress, progress
from vedette_hub.store import rollout as store
from vedette_hub.store.fleet import StoredGateway
from vedette_hub.store.rollout import StoredActivation, StoredDesired
from vedette_models.messages import RunningModel


@dataclass(frozen=True)
class Standing:
    """One profile on one gateway."""

    gateway: str
    profile: str
    progress: Progress
    ordered: StoredDesired | None
    running: RunningModel | None
    """As the gateway's newest status says."""
    counter: int
    """Of the newest manifest for this gateway; 0: there is none."""
    last: StoredActivation | None


def standings(
    connection: Connection, gateways: Sequence[StoredGateway], now: float, silent_after: float
) -> dict[str, list[Standing]]:
    """How profiles stand on each of these gateways, by gateway; one that is neither ordered nor runs is left out."""
    names = [gateway.gateway for gateway in gateways]
    desired = store.load_desired(connection, names)
    manifests = store.load_manifests(connection, names)
    activations = store.last_activations(connection, names)
    found: dict[str, list[Standing]] = {}
    for gateway in gateways:
        name = gateway.gateway
        running = gateway.status.models if gateway.status is not None else {}
        manifest = manifests.get(name)
        here: list[Standing] = []
        for profile in sorted({*desired[name], *running}):
            ordered = desired[name].get(profile)
            last = activations[name].get(profile)
            state = progress(
                ordered.desired if ordered else None,
                manifest,
                gateway.status,
                profile,
                last.activation if last else None,
                online=presence(gateway, now, silent_after) == "online",
            )
            if state is not None:
                counter = manifest.counter if manifest else 0
                here.append(Standing(name, profile, state, ordered, running.get(profile), counter, last))
        found[name] = here
    return found
