"""The next version: trained after the one before it, drawn, and kept in one transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine

from vedette_hub.config import LearningSection
from vedette_hub.learning import plots, registry, trainer
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.previous import previous
from vedette_hub.learning.registry import ModelVersion
from vedette_hub.learning.training.trained import Tell
from vedette_hub.store.database import reading, writing


def train_next(
    engine: Engine,
    source: Source,
    settings: LearningSection,
    clock: Callable[[], float],
    *,
    algorithm: str | None,
    contamination: float | None,
    by: str,
    tell: Tell,
    then: Callable[[Connection, ModelVersion], None] = lambda connection, version: None,
) -> ModelVersion:
    """Train the next version of the source's profile, by the algorithm of `settings` where none is given.

    `then` is called in the transaction that keeps it.

    Raises:
        TrainingRefusedError: nothing sound can be learnt from this.
        RegistryError: the same bytes are a version already.
    """
    with reading(engine) as connection:
        before = previous(connection, source.profile)
    trained = trainer.train(
        source,
        settings,
        clock(),
        algorithm=algorithm or settings.algorithm,
        contamination=contamination,
        previous=before,
        by=by,
        tell=tell,
    )
    tell(0.97, "drawing plots")
    drawn = plots.draw(trained.report, trained.lineage["channels"])
    with writing(engine) as connection:
        version = registry.add(
            connection,
            trained.artifact,
            trained.data,
            lineage=trained.lineage,
            report=trained.report,
            now=clock(),
            plots=drawn,
        )
        then(connection, version)
    return version
