"""Plots are kept as they were drawn, as long as their version."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from tests.hub.updating import add_model
from vedette_hub.config import LimitsSection
from vedette_hub.learning.plots import Plot
from vedette_hub.store.database import reading, writing
from vedette_hub.store.plots import add_plots, list_plots, read_plot
from vedette_hub.store.retention import prune
from vedette_hub.store.schema import plots

DRAWN = [Plot("scores", "Scores", "none", b"<svg>1</svg>"), Plot("a", "Alerts", "two", b"<svg>2</svg>")]


def test_plots_come_back_in_their_order_as_they_were(engine: Engine) -> None:
    add_model(engine)
    with writing(engine) as connection:
        add_plots(connection, "pump", 1, DRAWN)
        add_plots(connection, "pump", 1, [])
    with reading(engine) as connection:
        found = list_plots(connection, "pump", 1)
        assert [(plot.name, plot.title, plot.description) for plot in found] == [
            ("scores", "Scores", "none"),
            ("a", "Alerts", "two"),
        ]
        assert read_plot(connection, "pump", 1, "a") == b"<svg>2</svg>"
        assert read_plot(connection, "pump", 1, "b") is None
        assert list_plots(connection, "pump", 2) == []


def test_they_go_with_their_version(engine: Engine) -> None:
    for version in range(1, 5):
        add_model(engine)
        with writing(engine) as connection:
            add_plots(connection, "pump", version, DRAWN)
    assert prune(engine, LimitsSection(model_versions=2)) == {"models_pruned": 2}
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(plots)).scalar_one() == 4
