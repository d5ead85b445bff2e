"""When alerts were open, and what people said of them: what training needs to know, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, RowMapping, func, select

from vedette_hub.alerts.lifecycle import LabelValue
from vedette_hub.store.schema import alerts


class _End(msgspec.Struct):
    """What of an event says when it ended."""

    cleared: float | None = None
    cleared_by: str = ""


_decoder = msgspec.json.Decoder(_End)


@dataclass(frozen=True)
class AlertPeriod:
    """An alert of a device, from the reading that raised it to the one that ended it."""

    gateway: str
    device: str
    kind: str
    opened: float
    cleared: float | None
    """None while it is active."""
    cleared_by: str
    label: LabelValue | None


def alert_periods(connection: Connection, profile: str, limit: int) -> list[AlertPeriod]:
    """The newest alerts of a profile, at most `limit`."""
    table = alerts.c
    columns = (table.gateway, table.device, table.kind, table.opened, table.state, table.resolved_time, table.label)
    query = select(*columns, table.event).where(table.profile == profile).order_by(table.serial.desc()).limit(limit)
    return [_period(row) for row in connection.execute(query.execution_options(yield_per=1_000)).mappings()]


def labels_since(connection: Connection, profile: str, since: float) -> int:
    """How many alerts of a profile have been labelled after this time."""
    query = select(func.count()).select_from(alerts).where(alerts.c.profile == profile, alerts.c.label_time > since)
    return int(connection.execute(query).scalar_one())


def _period(row: RowMapping) -> AlertPeriod:
    end = _decoder.decode(row["event"])
    # As `AlertRecord.cleared`: the gateway's word, or that of whoever resolved it.
    cleared = end.cleared if end.cleared is not None else row["resolved_time"]
    return AlertPeriod(
        row["gateway"],
        row["device"],
        row["kind"],
        row["opened"],
        cleared if row["state"] == "cleared" else None,
        end.cleared_by,
        row["label"],
    )
