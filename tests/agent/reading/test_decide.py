from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.agent.verdicts import NAN, Watched, verdicts
from vedette_agent.reading.alert_state import ANOMALY, LATE, AlertState, StateChange
from vedette_agent.reading.health.faults import IMPOSSIBLE
from vedette_agent.reading.restraint import DAY
from vedette_models.messages import Alert
from vedette_models.profile import Decisions

T0 = 1.7e9


def summary(events: list[Alert]) -> list[tuple[int, str, str]]:
    return [(event.revision, event.state, event.severity) for event in events]


@pytest.mark.parametrize(
    ("strength", "severity"),
    [(1.0, "low"), (1.99, "low"), (2.0, "medium"), (3.99, "medium"), (4.0, "high"), (7.99, "high"), (8.0, "critical")],
)
def test_severity_follows_score_over_threshold(strength: float, severity: str) -> None:
    assert summary(Watched().see(T0, strength)) == [(1, "active", severity)]


def test_below_the_threshold_nothing_opens() -> None:
    assert Watched().see(T0, 0.999) == []


def test_an_alert_says_who_when_and_why() -> None:
    watched = Watched()
    (alert,) = watched.see(T0, 1.2, 3.0, values=(0.5, 7.0))
    assert (alert.gateway, alert.device, alert.profile, alert.kind) == ("gw", "d1", "pump", "anomaly")
    assert (alert.opened, alert.time, alert.score, alert.detector) == (T0, T0, 3.0, "given")
    assert [reason.channel for reason in alert.channels] == ["b", "a"]
    assert sum(reason.share for reason in alert.channels) == pytest.approx(1.0, abs=1e-3)
    assert alert.reason == "b 7, usually 0–1; 71 % of the score, with a"


def test_only_a_higher_severity_is_a_new_revision() -> None:
    watched = Watched()
    events = [e for strength in (1.1, 1.3, 2.0, 1.2, 2.2, 5.0, 9.0) for e in watched.see(T0, strength)]
    assert summary(events) == [
        (1, "active", "low"),
        (2, "active", "medium"),
        (3, "active", "high"),
        (4, "active", "critical"),
    ]
    assert len({event.id for event in events}) == 1
    assert {event.opened for event in events} == {T0}


def test_the_end_tells_the_largest_score_though_it_was_no_event() -> None:
    watched = Watched()
    watched.see(T0, 1.1)
    watched.see(T0 + 1, 1.4)
    (cleared,) = watched.quiet(T0 + 2, 10)
    assert cleared.score == 1.4


def test_hysteresis_keeps_an_alert_open() -> None:
    watched = Watched(Decisions(threshold=1.0, hysteresis=0.5, clear_after=3))
    watched.see(T0, 1.0)
    events = [e for i in range(50) for e in watched.see(T0 + i, 0.5)]
    assert events == []
    assert len(watched.decider.open_alerts) == 1


def test_only_quiet_readings_in_a_row_end_an_alert() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=3))
    watched.see(T0, 1.0)
    assert watched.quiet(T0 + 1, 2) == []
    watched.see(T0 + 3, 0.6)
    assert watched.quiet(T0 + 4, 2) == []
    (cleared,) = watched.quiet(T0 + 6, 1)
    assert (cleared.revision, cleared.state, cleared.cleared, cleared.cleared_by) == (2, "cleared", T0 + 6, "quiet")
    assert watched.decider.open_alerts == []


def test_a_reading_without_the_alerts_channel_is_not_quiet() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=2))
    watched.see(T0, 2.0, 0.0)
    for i in range(20):
        assert watched.see(T0 + i, 0.0, 0.0, values=(NAN, 0.5)) == []
    assert watched.see(T0 + 30, 0.0) == []
    assert summary(watched.see(T0 + 31, 0.0)) == [(2, "cleared", "medium")]


def test_an_impossible_value_is_not_quiet_for_the_anomaly_of_its_channel() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=2))
    watched.see(T0, 2.0)
    for i in range(1, 20):
        watched.see(T0 + i, 0.0, values=(950.0, 0.5), impossible=(True, False))
    assert sorted(alert.kind for alert in watched.decider.open_alerts) == [ANOMALY, IMPOSSIBLE]


def test_the_cooldown_holds_back_the_same_and_lower_severities() -> None:
    watched = Watched(Decisions(threshold=1.0, cooldown=3600.0))
    watched.alert_and_clear(T0, 2.0)
    assert watched.alert_and_clear(T0 + 10, 2.0) == []
    assert watched.alert_and_clear(T0 + 20, 1.1) == []
    assert summary(watched.alert_and_clear(T0 + 3700, 1.1)) == [(1, "active", "low"), (2, "cleared", "low")]


def test_a_worse_severity_passes_the_cooldown() -> None:
    watched = Watched()
    watched.alert_and_clear(T0, 2.0)
    (alert, _) = watched.alert_and_clear(T0 + 10, 5.0)
    assert (alert.revision, alert.severity) == (1, "high")


def test_what_was_held_back_is_counted_once_per_condition_and_told_by_the_next_alert() -> None:
    watched = Watched()
    watched.alert_and_clear(T0, 1.2)
    held = 0
    for start in (10.0, 20.0, 30.0):  # three conditions of five readings each
        for i in range(5):
            watched.see(T0 + start + i, 1.3)
            held += watched.decided.suppressed
        watched.quiet(T0 + start + 5, 10, step=0.01)
    assert held == 3
    (alert, cleared) = watched.alert_and_clear(T0 + 7200, 1.2)
    assert alert.suppressed == cleared.suppressed == 3
    (alert, _) = watched.alert_and_clear(T0 + 2 * 7200, 1.2)
    assert alert.suppressed == 0


def test_a_condition_held_back_goes_on_until_it_was_quiet_in_a_row() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=3, cooldown=1000.0))
    watched.alert_and_clear(T0, 1.2)
    counted = 0
    for i, strength in enumerate((1.2, 0.0, 0.0, 0.7, 0.0, 0.0, 1.2)):  # never three quiet in a row
        watched.see(T0 + 10 + i, strength)
        counted += watched.decided.suppressed
    assert counted == 1


def test_readings_without_its_channel_do_not_end_a_condition_held_back() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=3, cooldown=1000.0))
    watched.alert_and_clear(T0, 1.2)  # the alert was about a
    watched.see(T0 + 10, 0.0, 1.2)  # what is held back is about b
    for i in range(10):
        watched.see(T0 + 11 + i, 0.0, values=(0.5, NAN))
    watched.see(T0 + 30, 0.0, 1.2)
    assert watched.decided.suppressed == 0


def test_a_condition_that_outlasts_the_cooldown_is_alerted() -> None:
    watched = Watched(Decisions(threshold=1.0, cooldown=100.0))
    watched.alert_and_clear(T0, 1.2)
    events = [e for i in range(200) for e in watched.see(T0 + 1 + i, 1.2)]
    (alert,) = events
    assert (alert.opened, alert.suppressed) == (T0 + 101.0, 1)


def test_the_bucket_lets_a_burst_through_and_refills_by_the_day() -> None:
    watched = Watched(Decisions(threshold=1.0, cooldown=0.0, burst=3, per_day=2.0))
    raised = [bool(watched.alert_and_clear(T0 + 10 * i, 1.2)) for i in range(6)]
    assert raised == [True, True, True, False, False, False]
    assert not watched.alert_and_clear(T0 + 0.49 * DAY, 1.2)
    (alert, _) = watched.alert_and_clear(T0 + 0.51 * DAY, 1.2)
    assert alert.suppressed == 4


def test_the_bucket_holds_no_more_than_a_burst_after_years() -> None:
    watched = Watched(Decisions(threshold=1.0, cooldown=0.0, burst=2, per_day=5.0))
    watched.alert_and_clear(T0, 1.2)
    later = T0 + 1000 * DAY
    assert [bool(watched.alert_and_clear(later + i, 1.2)) for i in range(4)] == [True, True, False, False]


def test_a_clock_that_jumps_back_ends_the_cooldown_but_not_the_rate_limit() -> None:
    watched = Watched(Decisions(threshold=1.0, burst=2, per_day=1.0, cooldown=3600.0))
    watched.alert_and_clear(T0, 1.2)
    assert watched.alert_and_clear(T0 - 10 * DAY, 1.2) != []
    assert watched.alert_and_clear(T0 - 20 * DAY, 1.2) == []


def test_a_clock_once_far_ahead_does_not_silence_the_device_for_ever() -> None:
    watched = Watched(Decisions(threshold=1.0, burst=1, per_day=1.0))
    watched.alert_and_clear(T0 + 36_500 * DAY, 1.2)
    assert watched.alert_and_clear(T0, 1.2) == []  # the bucket is empty ...
    assert watched.alert_and_clear(T0 + 1.1 * DAY, 1.2) != []  # ... and refills by the clock as it is now


def test_an_impossible_value_is_an_alert_of_its_own_kind() -> None:
    watched = Watched()
    events = watched.see(T0, 1.0, values=(950.0, 0.5), impossible=(True, False))
    assert [(e.kind, e.severity, e.detector) for e in events] == [
        (ANOMALY, "low", "given"),
        (IMPOSSIBLE, "medium", "sensor_health"),
    ]
    assert len({e.id for e in events}) == 2
    (reason,) = events[1].channels
    assert (reason.channel, reason.value, reason.low, reason.high, reason.share) == ("a", 950.0, -100.0, 100.0, 1.0)
    assert events[1].reason == "a 950 is impossible, the sensor reports -100 to 100; check sensor and wiring"


def test_an_impossible_condition_ends_when_its_channel_is_possible_again() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=2))
    watched.see(T0, values=(0.5, -101.0), impossible=(False, True))
    assert watched.see(T0 + 1, values=(0.5, NAN)) == []
    assert watched.see(T0 + 2) == []
    assert summary(watched.see(T0 + 3)) == [(2, "cleared", "medium")]


def test_devices_do_not_disturb_each_other() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=2))
    watched.see(T0, 2.0, device="x")
    watched.see(T0, 2.0, device="y")
    assert watched.quiet(T0 + 1, 2, device="y")[0].device == "y"
    assert [alert.device for alert in watched.decider.open_alerts] == ["x"]


def test_many_devices_in_one_batch_each_have_their_alert() -> None:
    watched = Watched()
    rows = [watched.table.row(f"d{i}") for i in range(900)]
    strengths = np.zeros((900, 2))
    strengths[::3, 1] = 2.0
    decided = watched.decider.decide(verdicts([r for r in rows if r is not None], [T0] * 900, strengths.tolist()))
    assert [event.device for event in decided.events] == [f"d{i}" for i in range(0, 900, 3)]
    assert decided.rows == list(range(0, 900, 3))
    assert len({event.id for event in decided.events}) == 300


def test_an_empty_batch_decides_nothing() -> None:
    watched = Watched()
    decided = watched.decider.decide(verdicts([], [], np.zeros((0, 2))))
    assert (decided.events, decided.changes, decided.suppressed) == ([], [], 0)


def test_forgetting_clears_what_is_open_and_frees_the_id_for_nobody() -> None:
    watched = Watched()
    (first,) = watched.see(T0, 2.0)
    row = watched.table.forget("d1")
    assert row is not None
    decided = watched.decider.forget("d1", row, T0 + 5)
    assert [(e.id, e.revision, e.cleared_by) for e in decided.events] == [(first.id, 2, "forgotten")]
    assert decided.changes == [StateChange("d1", ANOMALY, None)]
    assert watched.decider.open_alerts == []
    (again,) = watched.see(T0, 2.0)
    assert again.revision == 1
    assert again.id != first.id, "the hub would take it for the alert that ended"


def test_a_row_given_to_another_device_carries_no_alert_over() -> None:
    watched = Watched()
    watched.see(T0, 2.0)
    row = watched.table.forget("d1")
    assert row is not None
    watched.decider.forget("d1", row, T0)
    (alert,) = watched.see(T0 + 1, 1.2, device="other")
    assert (alert.device, alert.severity, alert.suppressed) == ("other", "low", 0)


def resumed(before: Watched, committed: dict[tuple[str, str], bytes]) -> Watched:
    """The same profile after kill -9: only what was committed is known."""
    after = Watched(before.profile.decisions, epoch="e2")
    after.decider.restore(
        [StateChange(*key, msgspec.json.decode(body, type=AlertState)) for key, body in committed.items()]
    )
    return after


def commit(watched: Watched, into: dict[tuple[str, str], bytes]) -> None:
    for device, kind, state in watched.decided.changes:
        into[device, kind] = msgspec.json.encode(state)


def test_an_agent_killed_after_a_commit_neither_repeats_nor_forgets_an_alert() -> None:
    committed: dict[tuple[str, str], bytes] = {}
    before = Watched(Decisions(threshold=1.0, clear_after=2))
    (raised,) = before.see(T0, 1.2)
    commit(before, committed)
    after = resumed(before, committed)
    assert after.decider.open_alerts == [raised]
    assert after.see(T0 + 1, 1.2) == []
    (worse,) = after.see(T0 + 2, 3.0)
    assert (worse.id, worse.revision, worse.opened) == (raised.id, 2, T0)
    (cleared,) = after.quiet(T0 + 3, 2)
    assert (cleared.id, cleared.revision) == (raised.id, 3)


def test_cooldown_and_bucket_survive_a_restart() -> None:
    committed: dict[tuple[str, str], bytes] = {}
    before = Watched(Decisions(threshold=1.0, clear_after=1, burst=1, per_day=1.0))
    before.see(T0, 1.2)
    commit(before, committed)
    before.see(T0 + 1, 0.0)
    commit(before, committed)
    after = resumed(before, committed)
    assert after.see(T0 + 2, 1.2) == [], "cooldown"
    after = resumed(before, committed)
    assert after.see(T0 + 2, 9.0) == [], "bucket"
    after = resumed(before, committed)
    (alert,) = after.see(T0 + 2 * DAY, 1.2)
    assert alert.id.startswith("e2-"), "a new alert of a new epoch"


def test_restored_states_that_fit_nothing_are_left_out() -> None:
    watched = Watched()
    watched.table.limit = 1
    open_state = AlertState(alert=Watched().see(T0, 2.0)[0])
    watched.decider.restore(
        [
            StateChange("d1", "nonsense", open_state),
            StateChange("d1", ANOMALY, None),
            StateChange("d1", ANOMALY, open_state),
            StateChange("d2", ANOMALY, open_state),  # no room
        ]
    )
    assert len(watched.decider.open_alerts) == 1


def test_a_restored_alert_follows_its_channel_by_name() -> None:
    before = Watched(channels="abc")
    before.see(T0, 0.0, 0.0, 2.0)
    committed: dict[tuple[str, str], bytes] = {}
    commit(before, committed)
    body = committed["d1", ANOMALY]
    after = Watched(Decisions(threshold=1.0, clear_after=1), channels="ca")
    after.decider.restore([StateChange("d1", ANOMALY, msgspec.json.decode(body, type=AlertState))])
    assert after.see(T0 + 1, values=(NAN, 0.5)) == []
    assert summary(after.see(T0 + 2, values=(0.5, 0.5))) == [(2, "cleared", "medium")]
    gone = Watched(Decisions(threshold=1.0, clear_after=1), channels="a")
    gone.decider.restore([StateChange("d1", ANOMALY, msgspec.json.decode(body, type=AlertState))])
    assert summary(gone.see(T0 + 1)) == [(2, "cleared", "medium")]


def test_a_reading_that_comes_again_after_its_alert_has_ended_opens_no_other() -> None:
    watched = Watched(Decisions(threshold=1.0, cooldown=10.0, clear_after=2))
    watched.see(T0, 2.0)
    watched.quiet(T0 + 100, 2)
    assert watched.see(T0 + 1, 2.0) == []
    assert summary(watched.see(T0 + 2, 5.0)) == [(1, "active", "high")]  # worse than anything that was said


def test_a_late_quiet_reading_does_not_end_an_alert() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=2))
    watched.see(T0, 2.0)
    assert [e for i in range(20) for e in watched.see(T0 - 20 + i, 0.0)] == []
    assert summary(watched.quiet(T0 + 1, 2)) == [(2, "cleared", "medium")]


def test_after_a_clock_was_set_back_its_readings_count() -> None:
    watched = Watched(Decisions(threshold=1.0, clear_after=2))
    watched.see(T0, 2.0)
    assert summary(watched.quiet(T0 - LATE - 10, 2)) == [(2, "cleared", "medium")]
    assert summary(watched.see(T0 - 3 * LATE, 2.0)) == [(1, "active", "medium")]
