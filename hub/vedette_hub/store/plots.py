"""Plots of versions in the store: drawn once, kept as long as the version, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select

from vedette_hub.store.schema import plots

if TYPE_CHECKING:
    from vedette_hub.learning.plots import Plot


@dataclass(frozen=True)
class StoredPlot:
    """What is known of a plot without its drawing."""

    name: str
    title: str
    description: str
    """In words what it shows."""


def add_plots(connection: Connection, profile: str, version: int, drawn: Iterable[Plot]) -> None:
    """Keep the plots of a version, in this order."""
    rows = [
        {
            "profile": profile,
            "version": version,
            "name": plot.name,
            "place": place,
            "title": plot.title,
            "description": plot.description,
            "body": zlib.compress(plot.svg, 9),
        }
        for place, plot in enumerate(drawn)
    ]
    if rows:
        connection.execute(insert(plots), rows)


def list_plots(connection: Connection, profile: str, version: int) -> list[StoredPlot]:
    """The plots of a version in their order; none for a version without any."""
    table = plots.c
    query = select(table.name, table.title, table.description).where(table.profile == profile, table.version == version)
    return [StoredPlot(row.name, row.title, row.description) for row in connection.execute(query.order_by(table.place))]


def read_plot(connection: Connection, profile: str, version: int, name: str) -> bytes | None:
    """The SVG of one plot; None when there is none."""
    table = plots.c
    query = select(table.body).where(table.profile == profile, table.version == version, table.name == name)
    body = connection.execute(query).scalar()
    return None if body is None else zlib.decompress(body)
