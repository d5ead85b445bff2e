"""Models that score vectors: found by the number of their features; a bounded number of them is kept in memory."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import Engine

from vedette_hub.learning import registry
from vedette_hub.learning.sources.vectors import profile_of
from vedette_hub.scoring.errors import NoModelError
from vedette_hub.store.database import reading
from vedette_models.artifact import load
from vedette_models.detectors.vector_detector import VectorDetector
from vedette_models.rejection import ArtifactRejected

logger = logging.getLogger(__name__)

VECTOR_ALGORITHMS = ("isolation_forest", "lof", "one_class_svm")
"""Those that judge a vector by itself."""


REMEMBERED_SECONDS = 1.0
"""How long it is remembered which version is the newest; asking costs more than scoring a hundred vectors."""


@dataclass(frozen=True)
class ScoringModel:
    """A version, ready to score."""

    profile: str
    version: int
    algorithm: str
    detector: VectorDetector


class Models:
    """Versions by number of features; at most `most` are kept in memory, those used last."""

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine, self._most = engine, most
        self._kept: OrderedDict[str, ScoringModel] = OrderedDict()
        self._lock = threading.Lock()
        self._newest: dict[tuple[int, str | None], tuple[float, tuple[int, str]]] = {}

    def find(self, features: int, algorithm: str | None = None) -> ScoringModel:
        """The newest version for vectors of so many features, by this algorithm where one is named.

        One that another process has made counts within REMEMBERED_SECONDS, or from `forget_newest` on.

        Raises:
            NoModelError: there is none, or this release cannot run it.
        """
        profile = profile_of(features)
        newest = self._newest_of(features, algorithm)
        if newest is None:
            by = f" by {algorithm}" if algorithm else ""
            raise NoModelError(
                f"no model of {features} features{by} is trained; POST /api/v1/train with rows of {features} numbers"
            )
        version, sha256 = newest
        with self._lock:  # also while it is loaded: whoever else wants it waits, and does not load it again
            found = self._kept.get(sha256)
            if found is None:
                found = self._kept[sha256] = self._load(profile, version, sha256)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(sha256)
        return found

    def forget_newest(self) -> None:
        """Look again which version is the newest: there is another one."""
        self._newest.clear()

    def _newest_of(self, features: int, algorithm: str | None) -> tuple[int, str] | None:
        now = time.monotonic()
        known = self._newest.get((features, algorithm))
        if known is not None and now < known[0] + REMEMBERED_SECONDS:
            return known[1]
        with reading(self._engine) as connection:
            found = registry.newest_name(connection, profile_of(features), algorithm)
        if found is not None:
            self._newest[features, algorithm] = (now, found)
        return found

    def _load(self, profile: str, version: int, sha256: str) -> ScoringModel:
        with reading(self._engine) as connection:
            data = registry.artifact(connection, sha256)
        problem = "it has been deleted"
        if data is not None:
            try:
                detector = load(data, expected=sha256, profile=profile).detector
            except ArtifactRejected as error:
                problem = error.detail
            else:
                if isinstance(detector, VectorDetector) and detector.width == 1:
                    return ScoringModel(profile, version, detector.name, detector)
                problem = "it judges windows of readings, not vectors"
        logger.warning("scoring: version %d of profile %r cannot be used: %s", version, profile, problem)
        raise NoModelError(f"version {version} of profile {profile!r} cannot be used: {problem}; train another one")
