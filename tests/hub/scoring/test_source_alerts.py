"""Alerts of sources: one at a time, over when it is quiet, with a pause behind it, and known after a restart."""

from __future__ import annotations

from typing import Any, cast

import pytest
from sqlalchemy import Engine

from vedette_hub.scoring import source_alerts
from vedette_hub.scoring.models import ScoringModel
from vedette_hub.scoring.source_alerts import GATEWAY, Judgement, SourceAlerts
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.database import reading
from vedette_models.messages import Alert
from vedette_models.profile import Decisions

MODEL = ScoringModel("vectors-2", 4, "lof", cast(Any, None))
RULES = Decisions(clear_after=3, cooldown=100.0)


@pytest.fixture
def sources(engine: Engine) -> SourceAlerts:
    return SourceAlerts(engine, 50, RULES)


def judge(sources: SourceAlerts, time: float, *strengths: float, source: str = "s-1") -> list[Alert | None]:
    return [sources.judge(Judgement(source, time + i, strength, MODEL)) for i, strength in enumerate(strengths)]


def stored(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        return [one.record for one in list_alerts(connection, AlertFilter(), limit=100)]


def test_a_source_has_one_alert_that_rises_and_ends(sources: SourceAlerts, engine: Engine) -> None:
    raised = judge(sources, 1000.0, 0.2, 1.2, 1.1, 4.5, 0.1, 0.1, 0.1)
    assert [alert is not None for alert in raised] == [False, True, False, False, False, False, False]
    (record,) = stored(engine)
    event = record.event
    assert (event.gateway, event.device, event.profile, event.detector) == (GATEWAY, "s-1", "vectors-2", "lof")
    assert (event.revision, event.severity, event.score, event.opened) == (3, "high", 4.5, 1001.0)
    assert (record.state, event.cleared_by, event.cleared) == ("cleared", "quiet", 1006.0)


def test_a_vector_near_the_boundary_keeps_it_open(sources: SourceAlerts, engine: Engine) -> None:
    judge(sources, 1000.0, 1.2, 0.1, 0.1, 0.6, 0.1, 0.1)
    assert stored(engine)[0].state == "active"


def test_after_an_alert_there_is_a_pause_unless_it_gets_worse(sources: SourceAlerts, engine: Engine) -> None:
    judge(sources, 1000.0, 1.2, 0.1, 0.1, 0.1)
    assert judge(sources, 1050.0, 1.3) == [None]
    assert judge(sources, 1051.0, 2.5) != [None]
    assert judge(sources, 1052.0, 0.1, 0.1, 0.1) == [None, None, None]
    assert judge(sources, 1200.0, 1.3) != [None]
    assert len(stored(engine)) == 3


def test_sources_do_not_disturb_each_other(sources: SourceAlerts, engine: Engine) -> None:
    assert judge(sources, 1000.0, 1.2) != [None]
    assert judge(sources, 1000.0, 0.1, 0.1, 0.1, source="s-2") == [None, None, None]
    assert judge(sources, 1000.0, 1.2, source="s-2") != [None]
    assert {record.state for record in stored(engine)} == {"active"}


def test_an_open_alert_is_known_after_a_restart(sources: SourceAlerts, engine: Engine) -> None:
    judge(sources, 1000.0, 1.2)
    again = SourceAlerts(engine, 50, RULES)
    assert judge(again, 1010.0, 1.2, 0.1, 0.1, 0.1) == [None] * 4
    (record,) = stored(engine)
    assert (record.state, record.event.revision) == ("cleared", 2)


def test_sources_that_are_remembered_are_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_alerts, "MOST_SOURCES", 2)
    sources = SourceAlerts(engine, 50, RULES)
    for number in range(3):
        assert judge(sources, 1000.0, 1.2, source=f"s-{number}") != [None]
    assert judge(sources, 1001.0, 0.1, 0.1, 0.1, source="s-2") == [None] * 3
    assert judge(sources, 1001.0, 0.1, 0.1, 0.1, source="s-0") == [None] * 3
    assert [record.state for record in stored(engine)] == ["cleared", "active", "active"]
