"""Versions are numbered, never change, and stay as long as somebody needs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from tests.hub.learning.readings import START, series, source
from vedette_hub.config import LearningSection, LimitsSection
from vedette_hub.learning import registry, trainer
from vedette_hub.learning.errors import RegistryError
from vedette_hub.learning.registry import ModelVersion
from vedette_hub.store.database import reading, writing
from vedette_hub.store.retention import prune
from vedette_hub.store.schema import models
from vedette_models.artifact import load

SETTINGS = LearningSection(trees=5, samples_per_tree=32)
Keep = Callable[..., ModelVersion]


@pytest.fixture
def keep(engine: Engine) -> Keep:
    """Train on a series of its own, and keep the version."""

    def keep(number: int = 1) -> ModelVersion:
        trained = trainer.train(source(series(number)), SETTINGS, START)
        with writing(engine) as connection:
            return registry.add(
                connection, trained.artifact, trained.data, lineage=trained.lineage, report=trained.report, now=START
            )

    return keep


def test_a_version_is_found_with_its_bytes_lineage_and_report(engine: Engine, keep: Keep) -> None:
    made = keep()
    with reading(engine) as connection:
        assert registry.find(connection, "pump", 1) == made
        assert registry.newest(connection, "pump") == made
        assert registry.find(connection, "pump", 2) is None
        assert registry.newest(connection, "fan") is None
        assert registry.artifact(connection, "0" * 64) is None
        data = registry.artifact(connection, made.sha256)
    assert data is not None
    assert load(data, expected=made.sha256, profile="pump").artifact.detector == made.detector
    assert (made.version, made.stage, made.bytes) == (1, "candidate", len(data))
    assert made.report["channels"] == ["pressure", "flow"]


def test_versions_count_up_and_the_same_bytes_are_refused(engine: Engine, keep: Keep) -> None:
    assert [keep(number).version for number in (1, 2, 3)] == [1, 2, 3]
    with pytest.raises(RegistryError, match="these bytes are version 2 already"):
        keep(2)
    with reading(engine) as connection:
        assert registry.count_versions(connection, "pump") == 3


def test_versions_are_listed_in_pages_the_newest_first(engine: Engine, keep: Keep) -> None:
    for number in range(1, 6):
        keep(number)
    with reading(engine) as connection:
        first = registry.list_versions(connection, limit=2)
        second = registry.list_versions(connection, limit=9, after=("pump", first[-1].version))
        assert [found.version for found in first + second] == [5, 4, 3, 2, 1]
        assert registry.list_versions(connection, "fan", limit=9) == []
        assert registry.list_versions(connection, stage="released", limit=9) == []


def test_a_list_shows_what_it_needs_and_reads_neither_lineage_nor_report(
    engine: Engine, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keep()
    compared = {**made.report, "drift": {"level": "some"}}
    with writing(engine) as connection:
        connection.execute(update(models).values(report=json.dumps(compared)))
    monkeypatch.setattr(registry, "json", None)
    with reading(engine) as connection:
        (found,) = registry.list_versions(connection, limit=9)
    assert found == replace(made.listed, drift="some")
    assert (found.algorithm, found.origin, found.trained) == ("isolation_forest", "csv", made.report["trained"])


def test_what_a_report_does_not_say_is_missing_in_a_list_too(engine: Engine, keep: Keep) -> None:
    keep()
    with writing(engine) as connection:
        connection.execute(update(models).values(report="{}", lineage="{}"))
    with reading(engine) as connection:
        (found,) = registry.list_versions(connection, limit=9)
        whole = registry.find(connection, "pump", 1)
    assert whole is not None
    assert found == whole.listed
    assert (found.algorithm, found.origin, found.trained, found.drift) == ("isolation_forest", "", None, None)


def test_a_stage_changes_and_nothing_else(engine: Engine, keep: Keep) -> None:
    made = keep()
    with writing(engine) as connection:
        registry.set_stage(connection, "pump", 1, "released")
        found = registry.find(connection, "pump", 1)
        with pytest.raises(RegistryError, match="there is no version 7"):
            registry.set_stage(connection, "pump", 7, "retired")
    assert found is not None
    assert {**found.__dict__, "stage": "candidate"} == made.__dict__


def test_the_oldest_versions_go_but_never_a_released_one_nor_the_newest(engine: Engine, keep: Keep) -> None:
    for number in range(1, 6):
        keep(number)
    with writing(engine) as connection:
        registry.set_stage(connection, "pump", 1, "released")
        registry.set_stage(connection, "pump", 2, "retired")
    assert prune(engine, LimitsSection(model_versions=2)) == {"models_pruned": 3}
    with reading(engine) as connection:
        assert [found.version for found in registry.list_versions(connection, limit=9)] == [5, 1]
    assert keep(6).version == 6
