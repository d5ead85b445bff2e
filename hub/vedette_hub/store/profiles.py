"""Profiles as the store knows them: from samples that have come for them, and from their models."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from vedette_hub.store.samples import sample_totals
from vedette_hub.store.schema import models


@dataclass(frozen=True)
class StoredProfile:
    """What is known of a profile."""

    profile: str
    segments: int = 0
    """Pieces of samples to train with, and the readings in them."""
    readings: int = 0
    versions: int = 0
    newest: int | None = None
    """The version that was trained last."""
    released: int | None = None
    """The newest version that gateways are told to run."""


def list_profiles(connection: Connection) -> list[StoredProfile]:
    """All profiles by name; there are few."""
    released = func.max(case((models.c.stage == "released", models.c.version)))
    query = select(models.c.profile, func.count(), func.max(models.c.version), released).group_by(models.c.profile)
    trained = {profile: (versions, newest, out) for profile, versions, newest, out in connection.execute(query)}
    sampled = {total.profile: total for total in sample_totals(connection)}
    found = []
    for name in sorted(trained.keys() | sampled.keys()):
        total = sampled.get(name)
        pieces = (total.segments, total.readings) if total is not None else (0, 0)
        found.append(StoredProfile(name, *pieces, *trained.get(name, (0, None, None))))
    return found
