"""What the page about models shows, read from the store in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from vedette_hub.api.rollout_shapes import standing_answer
from vedette_hub.fleet.ingest_state import IngestState
from vedette_hub.fleet.standing import Standing, standings
from vedette_hub.learning import registry
from vedette_hub.learning.jobs import Job, newest_jobs
from vedette_hub.learning.registry import ListedVersion
from vedette_hub.store import fleet
from vedette_hub.store.database import reading
from vedette_hub.store.samples import sample_totals

GATEWAYS_READ = 2_000
STANDINGS_SHOWN = 200
VERSIONS_READ = 1_000
VERSIONS_SHOWN = 8

_WORST_FIRST = (
    "refused",
    "missing",
    "rolled_back",
    "not ordered here",
    "queued",
    "sent",
    "offline",
    "removed",
    "running",
)
_DONE = ("running", "removed")
_WORDS = {
    "running": "runs it",
    "removed": "unloaded",
    "queued": "waits for the broker",
    "sent": "sent, not taken up yet",
    "offline": "gateway is away",
    "refused": "refused",
    "missing": "model has not arrived",
    "rolled_back": "rolled back there",
    "not ordered here": "not ordered here",
}
_PROBATION = "runs it, on probation"
_EXPLAINED = ("refused", "missing", "rolled_back")


@dataclass(frozen=True)
class ProfileModels:
    """One profile: its versions, and how it stands on the gateways."""

    name: str
    versions: list[dict[str, Any]]
    versions_total: int
    job: Job | None
    """Its training that waits, runs, or ended last."""
    readings: int
    """Samples there are to train with."""
    standings: list[dict[str, Any]]
    """Those with trouble first."""
    standings_total: int
    ordered: int
    """Gateways that have an order about it."""
    done: int
    """Those of them that have followed."""


@dataclass(frozen=True)
class ModelsOverview:
    """The page's content."""

    profiles: list[ProfileModels]
    ingest: IngestState
    key_problem: str
    """Why no order can be given; empty when they can."""


def read_models_overview(
    engine: Engine, ingest: IngestState, key_problem: str, now: float, silent_after: float
) -> ModelsOverview:
    """Read what the page shows."""
    with reading(engine) as connection:
        gateways = fleet.list_gateways(connection, limit=GATEWAYS_READ)
        found = standings(connection, gateways, now, silent_after)
        versions = registry.list_versions(connection, limit=VERSIONS_READ)
        totals = {total.profile: total.readings for total in sample_totals(connection)}
        newest = newest_jobs(connection)
    groups = {gateway.gateway: gateway.group for gateway in gateways}
    by_profile: dict[str, list[Standing]] = {model.profile: [] for model in versions}
    by_profile |= {profile: [] for profile in totals if profile not in by_profile}
    for items in found.values():
        for item in items:
            by_profile.setdefault(item.profile, []).append(item)
    profiles = [
        _profile(
            name,
            [model for model in versions if model.profile == name],
            newest.get(name),
            totals.get(name, 0),
            items,
            groups,
        )
        for name, items in sorted(by_profile.items())
    ]
    return ModelsOverview(profiles, ingest, key_problem)


def _profile(
    name: str,
    versions: list[ListedVersion],
    job: Job | None,
    readings: int,
    found: list[Standing],
    groups: dict[str, str],
) -> ProfileModels:
    running = Counter(item.running.sha256 for item in found if item.running is not None)
    ordered = [item for item in found if item.ordered is not None]
    # A version that gateways are told to run is shown however old it is.
    shown = [model for i, model in enumerate(versions) if i < VERSIONS_SHOWN or model.stage == "released"]
    found = sorted(found, key=lambda item: (_WORST_FIRST.index(item.progress), item.gateway))
    return ProfileModels(
        name=name,
        versions=[
            {
                "number": model.version,
                "stage": model.stage,
                "created": model.created,
                "algorithm": model.algorithm,
                "drift": model.drift,
                "bytes": model.bytes,
                "running": running[model.sha256],
            }
            for model in shown
        ],
        versions_total=len(versions),
        job=job,
        readings=readings,
        standings=[shown_standing(item, groups[item.gateway]) for item in found[:STANDINGS_SHOWN]],
        standings_total=len(found),
        ordered=len(ordered),
        done=sum(item.progress in _DONE for item in ordered),
    )


def shown_standing(item: Standing, group: str) -> dict[str, Any]:
    """A standing in words."""
    explanation = ""
    if item.last is not None and item.progress in _EXPLAINED:
        last = item.last.activation
        explanation = ": ".join(part for part in (last.reason.replace("_", " "), last.detail) if part)
    tried = item.running is not None and item.running.on_probation
    return {
        **standing_answer(item),
        "gateway": item.gateway,
        "group": group,
        "words": _PROBATION if tried and item.progress == "running" else _WORDS[item.progress],
        "explanation": explanation,
    }
