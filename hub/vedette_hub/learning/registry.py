"""The registry: versions of models, which never change, with what they were trained on and where they stand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    RowMapping,
    cast,
    func,
    insert,
    select,
    tuple_,
    type_coerce,
    update,
)

from vedette_hub.learning.errors import RegistryError
from vedette_hub.store.plots import add_plots
from vedette_hub.store.schema import models

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vedette_hub.learning.plots import Plot
    from vedette_models.artifact import Artifact

Stage = Literal["candidate", "released", "retired"]
"""`candidate`: trained, ordered nowhere yet; `released`: gateways are told to run it, or to go back to it; `retired`:
they no longer are."""
STAGES: tuple[Stage, ...] = ("candidate", "released", "retired")

_FIGURES = {
    "seconds": ("seconds",),
    "held_out": ("held_out",),
    "above": ("above",),
    "held_out_above": ("held_out_above",),
    "error": ("parity", "max_error"),
}
"""Figures of a report that a list shows, and where they stand in it."""
_FIELDS = [column for column in models.c if column.name != "artefact"]


@dataclass(frozen=True)
class _Version:
    """What there is to say of a version in a word each."""

    profile: str
    version: int
    sha256: str
    detector: str
    bytes: int
    """Size of the artefact."""
    created: float
    stage: Stage


@dataclass(frozen=True)
class Performance:
    """How a training went, in a few numbers."""

    training_time_ms: float
    held_out: int
    """Vectors that were kept for judging."""
    anomaly_rate: float | None
    """Share beyond the boundary, of those trained with."""
    held_out_anomaly_rate: float | None
    max_error: float
    """Largest difference to scikit-learn in the proof of the export."""


@dataclass(frozen=True)
class ListedVersion(_Version):
    """What a list shows of a version: lineage and report, which may be long, stay where they are."""

    algorithm: str
    """How it was trained."""
    origin: str
    """Where the data came from."""
    trained: int | None
    """Windows trained with."""
    drift: str | None
    """How far it is from the version before it, a `drift.Level`; None where there was none to compare with."""
    features: int | None = None
    """Of a vector that it judges; None of versions made before these were counted."""
    contamination: float | None = None
    """Share of the training beyond the boundary, where one was asked for."""
    readings: int | None = None
    performance: Performance | None = None


@dataclass(frozen=True)
class ModelVersion(_Version):
    """A version of a profile's model, without the bytes of its artefact."""

    lineage: dict[str, Any]
    """What it was trained on, with what, and why."""
    report: dict[str, Any]
    """How the training went."""

    @property
    def listed(self) -> ListedVersion:
        """What a list shows of it."""
        compared = self.report.get("drift")
        return ListedVersion(
            *(self.profile, self.version, self.sha256, self.detector, self.bytes, self.created, self.stage),
            algorithm=str(self.lineage.get("algorithm", self.detector)),
            origin=str(self.lineage.get("origin", "")),
            trained=self.report.get("trained"),
            drift=str(compared["level"]) if isinstance(compared, dict) and "level" in compared else None,
            features=self.lineage.get("features"),
            contamination=self.lineage.get("contamination"),
            readings=self.report.get("readings"),
            performance=_performance({name: _inside(self.report, path) for name, path in _FIGURES.items()}),
        )


def add(
    connection: Connection,
    artifact: Artifact,
    data: bytes,
    *,
    lineage: dict[str, Any],
    report: dict[str, Any],
    now: float,
    plots: Iterable[Plot] = (),
) -> ModelVersion:
    """Keep an artefact, whose bytes are `data`, as the next version of its profile: a candidate.

    The number is one higher than any before it; the caller's transaction makes it unique.

    Raises:
        RegistryError: the same bytes are a version already.
    """
    name = hashlib.sha256(data).hexdigest()
    same = select(models.c.version).where(models.c.profile == artifact.profile, models.c.sha256 == name)
    if (known := connection.execute(same).scalar()) is not None:
        raise RegistryError(f"profile {artifact.profile!r}: these bytes are version {known} already")
    highest = select(func.coalesce(func.max(models.c.version), 0)).where(models.c.profile == artifact.profile)
    version = int(connection.execute(highest).scalar_one()) + 1
    made = ModelVersion(
        artifact.profile, version, name, artifact.detector, len(data), now, "candidate", lineage, report
    )
    values = {**made.__dict__, "lineage": _text(lineage), "report": _text(report), "artefact": data}
    connection.execute(insert(models).values(values))
    add_plots(connection, artifact.profile, version, plots)
    return made


def find(connection: Connection, profile: str, version: int) -> ModelVersion | None:
    """One version; None when there is none."""
    query = select(*_FIELDS).where(models.c.profile == profile, models.c.version == version)
    row = connection.execute(query).mappings().first()
    return None if row is None else _version(row)


def newest(connection: Connection, profile: str) -> ModelVersion | None:
    """The version of a profile that was trained last; None when there is none."""
    query = select(*_FIELDS).where(models.c.profile == profile).order_by(models.c.version.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else _version(row)


def newest_name(connection: Connection, profile: str, detector: str | None = None) -> tuple[int, str] | None:
    """Version and SHA-256 of what was trained last for a profile, of this detector where one is named."""
    query = select(models.c.version, models.c.sha256).where(models.c.profile == profile)
    if detector is not None:
        query = query.where(models.c.detector == detector)
    row = connection.execute(query.order_by(models.c.version.desc()).limit(1)).first()
    return None if row is None else (row.version, row.sha256)


def artifact(connection: Connection, sha256: str) -> bytes | None:
    """The artefact of this name; None when there is none."""
    query = select(models.c.artefact).where(models.c.sha256 == sha256).limit(1)
    return connection.execute(query).scalar()


def list_versions(
    connection: Connection,
    profile: str | None = None,
    stage: Stage | None = None,
    *,
    limit: int,
    after: tuple[str, int] | None = None,
) -> list[ListedVersion]:
    """Versions by profile, of each the newest first; `after` continues behind that (profile, version)."""
    query = select(*_listed(connection)).order_by(models.c.profile, models.c.version.desc()).limit(limit)
    if profile is not None:
        query = query.where(models.c.profile == profile)
    if stage is not None:
        query = query.where(models.c.stage == stage)
    if after is not None:
        same = tuple_(models.c.profile, -models.c.version) > (after[0], -after[1])
        query = query.where(same)
    return [_as_listed(dict(row)) for row in connection.execute(query).mappings()]


def count_versions(connection: Connection, profile: str | None = None, stage: Stage | None = None) -> int:
    """How many versions there are."""
    query = select(func.count()).select_from(models)
    if profile is not None:
        query = query.where(models.c.profile == profile)
    if stage is not None:
        query = query.where(models.c.stage == stage)
    return int(connection.execute(query).scalar_one())


def set_stage(connection: Connection, profile: str, version: int, stage: Stage) -> None:
    """Say where a version stands.

    Raises:
        RegistryError: there is no such version.
    """
    same = (models.c.profile == profile) & (models.c.version == version)
    if not connection.execute(update(models).where(same).values(stage=stage)).rowcount:
        raise RegistryError(f"profile {profile!r}: there is no version {version}; `vedette-hub models` lists them")


def _listed(connection: Connection) -> list[ColumnElement[Any]]:
    """The columns of a list. JSON is kept as text, which PostgreSQL has to be told, and SQLite must not be."""

    def parsed(column: ColumnElement[Any]) -> Any:
        return cast(column, JSON) if connection.dialect.name == "postgresql" else type_coerce(column, JSON)

    lineage, report = parsed(models.c.lineage), parsed(models.c.report)
    return [
        *(column for column in _FIELDS if column.name not in ("lineage", "report")),
        lineage["algorithm"].as_string().label("algorithm"),
        lineage["origin"].as_string().label("origin"),
        report["trained"].as_integer().label("trained"),
        report["drift", "level"].as_string().label("drift"),
        lineage["features"].as_integer().label("features"),
        lineage["contamination"].as_float().label("contamination"),
        report["readings"].as_integer().label("readings"),
        *(report[path].as_float().label(name) for name, path in _FIGURES.items()),
    ]


def _as_listed(row: dict[str, Any]) -> ListedVersion:
    figures = {name: row.pop(name) for name in _FIGURES}
    algorithm = row["algorithm"] or row["detector"]
    return ListedVersion(
        **{**row, "algorithm": algorithm, "origin": row["origin"] or "", "performance": _performance(figures)}
    )


def _performance(figures: dict[str, Any]) -> Performance | None:
    """The figures of a report, by the names in _FIGURES; None where it has not got them."""
    if figures["seconds"] is None or figures["error"] is None or figures["held_out"] is None:
        return None
    return Performance(
        1e3 * figures["seconds"],
        int(figures["held_out"]),
        figures["above"],
        figures["held_out_above"],
        figures["error"],
    )


def _inside(report: dict[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = report
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _version(row: RowMapping) -> ModelVersion:
    return ModelVersion(**{**row, "lineage": json.loads(row["lineage"]), "report": json.loads(row["report"])})


def _text(value: dict[str, Any]) -> str:
    # A report with NaN in it would be no JSON for anybody else.
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
