"""Plots are the same for the same report, stay small, say what they show, and draw whatever a channel is called."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.hub.learning.readings import START
from vedette_hub.config import LearningSection
from vedette_hub.learning import plots, trainer
from vedette_hub.learning.previous import Previous
from vedette_hub.learning.sources import synthetic

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</svg><script>alert(1)</script> $\\frac{1}{0}$ \x07 & --> <b>"


@pytest.fixture(scope="module")
def trained() -> trainer.TrainedModel:
    settings = LearningSection(trees=10)
    first = trainer.train(synthetic.generate("pump", 2000, 2, 1), settings, START)
    before = Previous(1, "0" * 64, first.data, first.lineage)
    return trainer.train(synthetic.generate("pump", 2000, 2, 2), settings, START, previous=before)


def draw(trained: trainer.TrainedModel) -> dict[str, plots.Plot]:
    return {plot.name: plot for plot in plots.draw(trained.report, trained.lineage["channels"])}


def test_every_plot_says_what_it_shows_and_follows_light_and_dark(trained: trainer.TrainedModel) -> None:
    found = draw(trained)
    assert list(found) == ["scores", "backtest", "drift", "channels"]
    for plot in found.values():
        root = ET.fromstring(plot.svg)
        assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title words")
        assert root.findtext(f"{SVG}title") == plot.title
        assert root.findtext(f"{SVG}desc") == plot.description
        text = plot.svg.decode()
        assert "prefers-color-scheme:dark" in text
        assert "#0101" not in text
        assert len(plot.svg) < 64_000
    assert "channel 1" in found["drift"].description


def test_the_same_report_gives_the_same_bytes(trained: trainer.TrainedModel) -> None:
    assert draw(trained) == draw(trained)


def test_a_channel_may_be_called_anything(trained: trainer.TrainedModel) -> None:
    channels: dict[str, Any] = {HOSTILE: trained.lineage["channels"]["channel 1"]}
    drift = {**trained.report["drift"], "channels": [{**trained.report["drift"]["channels"][0], "channel": HOSTILE}]}
    report = {**trained.report, "channels": [HOSTILE], "drift": drift}
    found = {plot.name: plot for plot in plots.draw(report, channels)}
    for name in ("drift", "channels"):
        root = ET.fromstring(found[name].svg)
        assert not list(root.iter(f"{SVG}script"))
        assert "$\\frac{1}{0}$" in found[name].description


def test_what_has_nothing_to_show_is_not_drawn(trained: trainer.TrainedModel) -> None:
    empty = {"end": 3.0, "normal": [0] * 60, "labelled_false": [0] * 60, "anomalous": [0] * 60}
    backtest = {"this": trained.report["backtest"]["this"]}
    report = {**trained.report, "histogram": empty, "backtest": backtest, "drift": None}
    assert [plot.name for plot in plots.draw(report, {})] == []
