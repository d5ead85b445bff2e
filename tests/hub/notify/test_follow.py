"""Every alert is queued for those who are to be told, once, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, select

from tests.hub.notify.told import arrive, causes, channel, clear, followed, queued, route
from vedette_hub.alerts.actions import act
from vedette_hub.alerts.matching import Matchers
from vedette_hub.config import LimitsSection
from vedette_hub.notify import follow
from vedette_hub.notify.routing import Bounds, Hours
from vedette_hub.store import deliveries, routes, silences, told
from vedette_hub.store.alerts import Action
from vedette_hub.store.channels import get_channel, update_channel
from vedette_hub.store.database import reading, writing
from vedette_hub.store.notify_schema import told as told_table
from vedette_hub.store.retention import prune


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """A store that has been followed, with the channel ops."""
    followed(engine)
    channel(engine, "ops")
    return engine


def test_what_was_there_before_the_first_start_is_no_news(engine: Engine) -> None:
    arrive(engine, 1)
    channel(engine, "ops")
    route(engine, "all", "ops")
    assert followed(engine) == 0
    arrive(engine, 2)
    assert followed(engine) == 1
    assert causes(engine) == [("ops", "a-2", "opened")]


def test_an_alert_is_told_once_to_each_channel_by_however_many_routes(ready: Engine) -> None:
    channel(ready, "pager")
    route(ready, "all", "ops", "pager")
    route(ready, "pumps", "ops", matchers=Matchers(profile=("pump",)))
    arrive(ready, 1)
    assert followed(ready) == 2
    assert followed(ready) == 0
    act(ready, ("gw-1", "a-1"), Action("label", 2.0, "ana", label="true"))
    arrive(ready, 1, revision=2)
    assert followed(ready) == 0
    assert sorted(causes(ready)) == [("ops", "a-1", "opened"), ("pager", "a-1", "opened")]


def test_it_gets_worse_is_over_and_comes_again(ready: Engine) -> None:
    route(ready, "all", "ops")
    arrive(ready, 1)
    followed(ready)
    arrive(ready, 1, revision=2, severity="critical")
    followed(ready)
    clear(ready, 1, revision=3, severity="critical")
    followed(ready)
    assert [cause for _, _, cause in causes(ready)] == ["opened", "worse", "cleared"]
    types = [one.message["type"] for one in queued(ready)]
    assert types == ["alert.opened", "alert.worse", "alert.cleared"]
    assert len({one.id for one in queued(ready)}) == 3


def test_what_came_and_went_unseen_is_told_once_and_old_ends_are_not(ready: Engine) -> None:
    arrive(ready, 1)
    followed(ready)
    route(ready, "all", "ops")
    clear(ready, 1)
    arrive(ready, 2)
    clear(ready, 2)
    assert followed(ready) == 1
    assert causes(ready) == [("ops", "a-2", "over")]


def test_routes_choose_by_severity_profile_and_gateway(ready: Engine) -> None:
    channel(ready, "pager")
    route(ready, "night", "pager", matchers=Matchers(severity=("critical",), gateway=("gw-*",)))
    route(ready, "fans", "ops", matchers=Matchers(profile=("fan",)))
    arrive(ready, 1, severity="critical", profile="fan")
    arrive(ready, 2, severity="critical", gateway="plant-9")
    arrive(ready, 3, severity="high")
    followed(ready)
    assert sorted(causes(ready)) == [("ops", "a-1", "opened"), ("pager", "a-1", "opened")]


def test_what_somebody_has_seen_or_called_false_is_not_told(ready: Engine) -> None:
    route(ready, "all", "ops")
    for number, action in ((1, "acknowledge"), (2, "resolve")):
        arrive(ready, number)
        act(ready, ("gw-1", f"a-{number}"), Action(action, 2.0, "ana"))  # type: ignore[arg-type]  # names of actions
    arrive(ready, 3)
    act(ready, ("gw-1", "a-3"), Action("label", 2.0, "ana", label="normal"))
    assert followed(ready) == 0


def test_a_cooldown_of_a_device_holds_back_until_it_is_over_and_only_what_lasts(ready: Engine) -> None:
    route(ready, "all", "ops", bounds=Bounds(device_cooldown=100.0))
    arrive(ready, 1, device="pump")
    followed(ready, 1000.0)
    arrive(ready, 2, device="pump")
    arrive(ready, 3, device="pump")
    arrive(ready, 4, device="fan")
    followed(ready, 1010.0)
    assert causes(ready) == [("ops", "a-1", "opened"), ("ops", "a-4", "opened")]
    clear(ready, 2, device="pump")
    followed(ready, 1050.0)
    followed(ready, 1099.0)
    assert len(queued(ready)) == 2
    followed(ready, 1101.0)
    assert causes(ready)[2:] == [("ops", "a-3", "opened")]


def test_a_bound_per_hour_lets_the_most_severe_through_and_says_how_many_wait(ready: Engine) -> None:
    route(ready, "all", "ops", bounds=Bounds(per_hour=2))
    for number in range(1, 6):
        arrive(ready, number, severity="critical" if number == 4 else "low")
    followed(ready, 1000.0)
    assert causes(ready) == [("ops", "a-4", "opened"), ("ops", "a-1", "opened")]
    followed(ready, 1000.0 + 3600.0)
    assert len(queued(ready)) == 4
    assert queued(ready)[2].message["data"]["held_back"] == 3
    followed(ready, 1000.0 + 7201.0)
    assert len(queued(ready)) == 5


def test_outside_of_its_hours_a_route_tells_in_the_morning_what_still_holds(ready: Engine) -> None:
    route(ready, "day", "ops", hours=Hours(start="08:00", end="20:00"))
    night, morning = 23 * 3600.0, 86_400.0 + 8 * 3600.0
    arrive(ready, 1)
    arrive(ready, 2)
    followed(ready, night)
    clear(ready, 2)
    followed(ready, night + 60)
    assert queued(ready) == []
    followed(ready, morning)
    assert causes(ready) == [("ops", "a-1", "opened")]


def test_what_is_silenced_is_not_told_before_the_silence_has_ended(ready: Engine) -> None:
    route(ready, "all", "ops")
    with writing(ready) as connection:
        silences.add_silence(connection, Matchers(device=("pump-1",)), 0.0, 100.0, by="ana", now=5.0)
    arrive(ready, 1)
    arrive(ready, 2)
    followed(ready, 50.0)
    assert causes(ready) == [("ops", "a-2", "opened")]
    arrive(ready, 1, revision=2)  # any change, as the end of the silence makes one
    followed(ready, 150.0)
    assert causes(ready)[1:] == [("ops", "a-1", "opened")]


def test_a_full_queue_holds_back_instead_of_growing(ready: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "MOST_QUEUED", 2)
    route(ready, "all", "ops", bounds=Bounds(per_hour=0))
    for number in (1, 2):
        arrive(ready, number)
    followed(ready, 1000.0)
    arrive(ready, 3)
    followed(ready, 1000.0)
    assert len(queued(ready)) == 2
    with writing(ready) as connection:
        for one in queued(ready):
            deliveries.finish(connection, one.number, "sent", "", 1001.0)
    followed(ready, 1000.0 + follow.FULL_SECONDS)
    assert causes(ready)[2:] == [("ops", "a-3", "opened")]


def test_a_failure_in_the_middle_queues_nothing_and_the_next_step_everything(
    ready: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    route(ready, "all", "ops")
    arrive(ready, 1)
    arrive(ready, 2)
    usual, calls = deliveries.queue, []

    def fail_once(connection: object, new: object) -> int:
        calls.append(new)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return usual(connection, new)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(deliveries, "queue", fail_once)
    with pytest.raises(RuntimeError):
        follow.step(ready, 10.0)
    assert queued(ready) == []
    assert followed(ready) == 2
    assert followed(ready) == 0


def test_a_disabled_channel_or_a_removed_route_leaves_nothing_to_be_looked_at_again(ready: Engine) -> None:
    made = route(ready, "all", "ops", bounds=Bounds(cooldown=100.0))
    for number in (1, 2):
        arrive(ready, number)
    followed(ready, 1000.0)
    with writing(ready) as connection:
        ops = get_channel(connection, "ops")
        update_channel(connection, ops, name="ops", settings=ops.settings, address="", sealed=ops.sealed, enabled=False)
        assert told.held_due(connection, 2000.0, limit=10) == []
        ops = get_channel(connection, "ops")
        update_channel(connection, ops, name="ops", settings=ops.settings, address="", sealed=ops.sealed, enabled=True)
        assert told.held_due(connection, 2000.0, limit=10) == [("gw-1", "a-2")]
        routes.change_route(connection, replace(made, enabled=False))
    assert followed(ready, 2000.0) == 0
    with reading(ready) as connection:
        assert told.held_due(connection, 3000.0, limit=10) == []


def test_what_was_told_goes_with_the_alert_and_old_messages_go_with_time(ready: Engine) -> None:
    route(ready, "all", "ops")
    for number in range(1, 6):
        arrive(ready, number)
    followed(ready)
    with writing(ready) as connection:
        for one in queued(ready)[:4]:
            deliveries.finish(connection, one.number, "sent", "", 11.0)
    prune(ready, LimitsSection(alerts=2, deliveries=2))
    with reading(ready) as connection:
        assert connection.execute(select(func.count()).select_from(told_table)).scalar() == 2
    assert [(one.alert, one.status) for one in queued(ready)] == [("a-4", "sent"), ("a-5", "queued")]
