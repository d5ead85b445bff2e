"""What is kept, how much of it at most, and who has said so: the configuration, or people while the hub runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Table, delete, func, insert, select

from vedette_hub.config import LimitsSection
from vedette_hub.errors import HubError
from vedette_hub.store.notify_schema import deliveries
from vedette_hub.store.samples import sample_totals
from vedette_hub.store.schema import alerts, audit, jobs, models, reports, retention_limits, unparsed

LARGEST = 10**12


class RetentionError(HubError):
    """A limit that there is not, or a value that it cannot have; nothing was changed."""


@dataclass(frozen=True)
class _Kept:
    what: str
    unit: str
    there: Callable[[Connection], int] | None = None


@dataclass(frozen=True)
class Retained:
    """A limit, and what it holds."""

    name: str
    """As in [limits] of the configuration."""
    what: str
    unit: str
    limit: int
    """In force; 0 of a number of days: no limit."""
    configured: int
    """What the configuration says."""
    set_by: str
    """Who has set another one; empty: nobody."""
    set_time: float | None
    """Seconds since 1970 UTC."""
    there: int | None
    """What there is of it now; None where that is not counted."""

    def as_json(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)


def _rows(table: Table) -> Callable[[Connection], int]:
    query = select(func.count()).select_from(table)
    return lambda connection: int(connection.execute(query).scalar_one())


def _sampled_megabytes(connection: Connection) -> int:
    return sum(total.bytes for total in sample_totals(connection)) // 1_000_000


KEPT: Mapping[str, _Kept] = {
    "alerts": _Kept("Beyond it the oldest cleared alerts are deleted, then the oldest.", "alerts", _rows(alerts)),
    "alerts_days": _Kept("Cleared alerts that began longer ago are deleted.", "days"),
    "samples_mb": _Kept(
        "Beyond it the oldest samples of the profile that has the most are deleted.", "MB", _sampled_megabytes
    ),
    "samples_days": _Kept("Samples that came longer ago are deleted.", "days"),
    "model_versions": _Kept(
        "Of each profile; beyond it the oldest are deleted, but no released one and not the newest.",
        "versions of a model",
        _rows(models),
    ),
    "reports": _Kept("Of gateways; beyond it the oldest are deleted.", "reports", _rows(reports)),
    "unparsed": _Kept("Beyond it the oldest are deleted.", "messages that could not be read", _rows(unparsed)),
    "jobs": _Kept("Beyond it the oldest that have ended are deleted.", "jobs", _rows(jobs)),
    "deliveries": _Kept(
        "Beyond it the oldest that are done with are deleted.", "messages about alerts", _rows(deliveries)
    ),
    "audit": _Kept(
        "Beyond it the oldest are deleted: first those of what was refused, while these are more than half.",
        "entries of the audit log",
        _rows(audit),
    ),
    "audit_days": _Kept("Entries of the audit log that are older are deleted.", "days"),
}
"""What can be set while the hub runs, in the order in which it is shown."""


def effective(connection: Connection, limits: LimitsSection) -> LimitsSection:
    """The limits in force: what people have set, and for everything else the configuration."""
    query = select(retention_limits.c.name, retention_limits.c.value)
    chosen = {row.name: int(row.value) for row in connection.execute(query) if row.name in KEPT}
    return limits.model_copy(update=chosen)


def list_retention(connection: Connection, limits: LimitsSection) -> list[Retained]:
    """Every limit that can be set, with what there is."""
    chosen = {row.name: row for row in connection.execute(select(retention_limits))}
    found = []
    for name, kept in KEPT.items():
        configured = int(getattr(limits, name))
        row = chosen.get(name)
        limit = configured if row is None else int(row.value)
        by, time = ("", None) if row is None else (row.by, row.time)
        there = None if kept.there is None else kept.there(connection)
        found.append(Retained(name, kept.what, kept.unit, limit, configured, by, time, there))
    return found


def set_limits(
    connection: Connection, wanted: Mapping[str, int | None], limits: LimitsSection, by: str, now: float
) -> str:
    """Set limits, or with None leave them to the configuration again; what has changed, in words.

    Raises:
        RetentionError: there is no such limit, or it cannot have that value; nothing is changed.
    """
    before = effective(connection, limits)
    for name, value in wanted.items():
        if name not in KEPT:
            raise RetentionError(f"there is no limit {name!r} that can be set; there are {', '.join(KEPT)}")
        if value is not None:
            _check(name, value, limits)
    for name, value in wanted.items():
        connection.execute(delete(retention_limits).where(retention_limits.c.name == name))
        if value is not None:
            connection.execute(insert(retention_limits).values(name=name, value=value, by=by, time=now))
    after = effective(connection, limits)
    return ", ".join(f"{name} from {getattr(before, name)} to {getattr(after, name)}" for name in wanted)


def _check(name: str, value: int, limits: LimitsSection) -> None:
    if value > LARGEST:
        raise RetentionError(f"{name}: {value} is too much; at most {LARGEST}")
    try:
        LimitsSection.model_validate({**limits.model_dump(), name: value})
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise RetentionError(f"{name}: {said[:1].lower()}{said[1:]}, not {value}") from error
