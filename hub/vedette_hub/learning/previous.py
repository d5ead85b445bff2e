"""The version before: what a new one is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection

from vedette_hub.learning import registry

if TYPE_CHECKING:
    from vedette_models.detectors.learnt import LearntDetector


class Previous(NamedTuple):
    """A version as it stands in the registry."""

    version: int
    sha256: str
    data: bytes
    """Its artefact."""
    lineage: Mapping[str, Any]

    def detector(self, profile: str, channels: tuple[str, ...]) -> LearntDetector:
        """Ready to run on the data of the new one.

        Raises:
            ArtifactRejected: it is for other channels, or this release cannot run it any more.
        """
        from vedette_models.artifact import load

        return load(self.data, profile=profile, channels=channels).detector


def previous(connection: Connection, profile: str) -> Previous | None:
    """The newest version of a profile; None when there is none."""
    found = registry.newest(connection, profile)
    if found is None:
        return None
    data = registry.artifact(connection, found.sha256)
    return None if data is None else Previous(found.version, found.sha256, data, found.lineage)
