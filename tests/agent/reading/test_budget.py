"""The alert budget in decisions: what a device has alerted lately makes its next alert dearer."""

from __future__ import annotations

import msgspec
import pytest

from tests.agent.verdicts import Watched, verdicts
from vedette_agent.reading.alert_state import AlertState
from vedette_agent.reading.restraint import DEARER, DEAREST, DRAIN
from vedette_models.profile import Decisions

T0 = 1.7e9
HOUR, DAY = 3_600.0, 86_400.0
WEEK = 7 * DAY
HALF_A_WEEK = Decisions(alerts_per_week=0.5)


def raises_again(strength: float, *, exponent: float = 1.0) -> bool:
    """Whether a reading raises an alert two hours after its device raised two others."""
    of = Watched(HALF_A_WEEK)
    assert of.alert_and_clear(T0, 1.0)
    assert of.alert_and_clear(T0 + 2 * HOUR, 2.0)
    row = of.table.row("d1")
    assert row is not None
    said = verdicts([row], [T0 + 4 * HOUR], [[strength, 0.0]])
    scored = (said.scored[0]._replace(exponent=exponent),)
    return bool(of.decider.decide(said._replace(scored=scored)).events)


def test_the_second_alert_must_be_clearly_worse_than_the_threshold() -> None:
    watched = Watched(HALF_A_WEEK)
    assert watched.alert_and_clear(T0, 1.1)
    assert not watched.alert_and_clear(T0 + 2 * HOUR, 1.3)
    assert watched.alert_and_clear(T0 + 4 * HOUR, 1.8)
    assert not watched.alert_and_clear(T0 + 6 * HOUR, 1.8), "and the third worse again"
    (alert, _) = watched.alert_and_clear(T0 + 8 * HOUR, 2.9)
    assert alert.suppressed == 1


def test_however_much_a_device_alerts_what_is_bad_enough_passes() -> None:
    watched = Watched(Decisions(alerts_per_week=0.5, burst=100))
    enough = 1.01 * DEARER**DEAREST
    assert all(watched.alert_and_clear(T0 + 2 * HOUR * i, enough) for i in range(20))


def test_the_budget_recovers_with_time() -> None:
    watched = Watched(HALF_A_WEEK)
    watched.alert_and_clear(T0, 1.1)
    assert not watched.alert_and_clear(T0 + 3.0 * DAY, 1.0)
    assert watched.alert_and_clear(T0 + 3.2 * DAY, 1.0)


def test_a_larger_budget_recovers_sooner() -> None:
    watched = Watched(Decisions(alerts_per_week=7.0))
    watched.alert_and_clear(T0, 1.1)
    assert watched.alert_and_clear(T0 + 0.3 * DAY, 1.1)


def test_a_device_alerts_no_more_in_the_long_run_than_its_budget_recovers() -> None:
    watched = Watched(Decisions(alerts_per_week=0.5, cooldown=0.0, burst=100, per_day=100.0))
    raised = sum(bool(watched.alert_and_clear(T0 + HOUR * i, 1.5)) for i in range(24 * 7 * 8))
    assert raised / 8 == pytest.approx(DRAIN * 0.5, abs=0.3), "the rest is what thresholds are for"


def test_a_condition_that_was_held_back_is_raised_when_it_gets_worse_or_the_budget_has_recovered() -> None:
    watched = Watched(HALF_A_WEEK)
    watched.alert_and_clear(T0, 1.1)
    assert watched.see(T0 + 2 * HOUR, 1.2) == []
    (worse,) = watched.see(T0 + 2 * HOUR + 60, 1.7)
    assert worse.suppressed == 1
    lasting = Watched(HALF_A_WEEK)
    lasting.alert_and_clear(T0, 1.1)
    raised = [t for t in range(2, 24 * 7) if lasting.see(T0 + HOUR * t, 1.2)]
    assert 1.5 * 24 < raised[0] < 2.5 * 24


def test_a_fixed_threshold_has_no_budget() -> None:
    watched = Watched(Decisions(threshold=1.0))
    assert all(watched.alert_and_clear(T0 + 2 * HOUR * i, 1.1) for i in range(5))


def test_a_device_owes_nothing_before_its_first_alert() -> None:
    assert Watched(HALF_A_WEEK).alert_and_clear(T0, 1.0)


def test_what_counts_is_how_rare_a_strength_is_for_its_detector() -> None:
    assert not raises_again(2.5)
    assert raises_again(3.0)
    assert not raises_again(1.2, exponent=4.0)
    assert raises_again(1.4, exponent=4.0), "as rare as 3.8 where strengths are common"
    assert raises_again(1e200, exponent=4.0)


def test_impossible_values_are_not_charged() -> None:
    watched = Watched(HALF_A_WEEK)
    watched.see(T0, values=(-1e9, 0.5), impossible=(True, False))
    assert watched.alert_and_clear(T0 + 2 * HOUR, 1.0)


def test_what_a_device_owes_survives_a_restart() -> None:
    before, after = Watched(HALF_A_WEEK), Watched(HALF_A_WEEK, epoch="e2")
    before.alert_and_clear(T0, 1.1)
    body = msgspec.json.encode(before.decided.changes[-1].state)
    state = msgspec.json.decode(body, type=AlertState)
    after.decider.restore([before.decided.changes[-1]._replace(state=state)])
    assert not after.alert_and_clear(T0 + 2 * HOUR, 1.3)


def test_the_state_of_an_agent_from_before_budgets_owes_nothing() -> None:
    assert msgspec.json.decode(b'{"raised":3}', type=AlertState).load is None
