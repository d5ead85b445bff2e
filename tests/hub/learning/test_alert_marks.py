"""Alerts in the store, and their labels, reach the readings that are trained with."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.learning.alerts import OPENED, raise_alert
from tests.hub.learning.readings import deliver, samples
from vedette_hub.alerts.actions import act
from vedette_hub.learning.hygiene import Mark
from vedette_hub.learning.sources import alerts, store
from vedette_hub.store.alert_periods import labels_since
from vedette_hub.store.alerts import Action
from vedette_hub.store.database import reading

CLEARED = {"state": "cleared", "cleared": OPENED + 100.0, "cleared_by": "quiet"}


@pytest.mark.parametrize(
    ("fields", "label", "mark"),
    [
        ({}, None, Mark.SUSPECT),
        ({}, "true", Mark.ANOMALOUS),
        ({}, "false", Mark.FALSE_ALARM),
        ({}, "normal", Mark.FALSE_ALARM),
        ({"kind": "stuck"}, None, Mark.FAULT),
        ({"kind": "clock"}, "true", Mark.FAULT),
        ({"kind": "jump"}, "false", Mark.FALSE_ALARM),
        ({"cleared_by": "sensor fault"}, None, Mark.FAULT),
        ({"cleared_by": "sensor fault"}, "true", Mark.ANOMALOUS),
    ],
)
def test_kind_and_label_say_what_a_period_means(engine: Engine, fields: Any, label: Any, mark: Mark) -> None:
    raise_alert(engine, label=label, **{**CLEARED, **fields})
    with reading(engine) as connection:
        (found,) = alerts.of_gateways(connection, "pump")
    assert (found.device, found.first, found.last, found.mark) == ("gw-1/pump-1", OPENED, OPENED + 100.0, mark)


def test_what_is_active_goes_on_and_what_somebody_resolved_ended_then(engine: Engine) -> None:
    raise_alert(engine, 1)
    raise_alert(engine, 2)
    act(engine, ("gw-1", "a-2"), Action("resolve", OPENED + 70.0, "ann"))
    with reading(engine) as connection:
        ends = {found.device: found.last for found in alerts.of_gateways(connection, "pump")}
    assert ends == {"gw-1/pump-1": math.inf, "gw-1/pump-2": OPENED + 70.0}


def test_tests_and_other_profiles_tell_nothing(engine: Engine) -> None:
    raise_alert(engine, 1, kind="test")
    raise_alert(engine, 2, profile="fan")
    with reading(engine) as connection:
        assert alerts.of_gateways(connection, "pump") == ()
        assert [found.device for found in alerts.of_any_gateway(connection, "fan")] == ["pump-2"]


def test_samples_come_with_what_alerts_tell_about_them(engine: Engine) -> None:
    deliver(engine, samples(1))
    raise_alert(engine, label="true", **CLEARED)
    with reading(engine) as connection:
        found = store.read(connection, "pump")
    assert [period.mark for period in found.periods] == [Mark.ANOMALOUS]
    assert found.periods[0].device == found.series[0].device


def test_labels_are_counted_from_when_they_were_given(engine: Engine) -> None:
    raise_alert(engine, 1, label="true")
    raise_alert(engine, 2)
    with reading(engine) as connection:
        assert labels_since(connection, "pump", OPENED + 49.0) == 1
        assert labels_since(connection, "pump", OPENED + 51.0) == 0
