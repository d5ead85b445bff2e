"""What the agent knows of its devices, over restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import numpy as np

from tests.agent.alerts import alert
from vedette_agent.learnt import Learnt
from vedette_agent.reading.alert_state import AlertState
from vedette_agent.reading.effects import AlertStateRow
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.messages import Alert
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch

PUMP = Profile("pump", (Channel("flow"),))


def row(profile: str, device: str, open_alert: Alert | None) -> AlertStateRow:
    return AlertStateRow(profile, device, "anomaly", msgspec.json.encode(AlertState(alert=open_alert, raised=1)))


def learnt(folder: Path, *, max_devices: int = 10) -> Learnt:
    return Learnt(folder, {"pump": ProfileWatch(PUMP, "gateway-1", "epoch", max_devices)})


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.rglob("*.npz"))


def test_an_open_alert_goes_on(tmp_path: Path) -> None:
    known = learnt(tmp_path)
    opened = alert(device="pump-1", profile="pump", state="active")
    effects = known.resume([row("pump", "pump-1", opened)], now=0.0)
    assert not effects.alerts
    assert not effects.states
    assert [a.id for a in known.open_alerts()] == [opened.id]


def test_an_alert_of_a_profile_that_is_gone_is_cleared_not_left_open_for_ever(tmp_path: Path) -> None:
    opened = alert(device="fan-1", profile="fan", state="active", revision=3)
    effects = learnt(tmp_path).resume([row("fan", "fan-1", opened), row("fan", "fan-2", None)], now=0.0)
    (event,) = effects.alerts
    assert (event.id, event.revision, event.state, event.cleared_by) == (opened.id, 4, "cleared", "no longer watched")
    assert [(s.profile, s.device, s.body) for s in effects.states] == [("fan", "fan-1", b""), ("fan", "fan-2", b"")]


def test_an_alert_of_a_device_there_is_no_room_for_is_cleared(tmp_path: Path) -> None:
    opened = alert(device="pump-2", profile="pump", state="active")
    states = [row("pump", "pump-1", None), row("pump", "pump-2", opened)]
    effects = learnt(tmp_path, max_devices=1).resume(states, now=0.0)
    assert [event.device for event in effects.alerts] == ["pump-2"]


def test_a_channel_that_no_device_has_reported_is_said(tmp_path: Path) -> None:
    profile = Profile("pump", (Channel("flow"), Channel("pressure")))
    watch = ProfileWatch(profile, "gateway-1", "epoch", 3)
    known = Learnt(tmp_path, {"pump": watch})
    assert known.never_reported() == []
    for device in ("a", "b"):
        rows = np.full(25, watch.table.row(device), np.intp)
        values = np.array([[1.0, np.nan]] * 25)
        watch.process(ReadingBatch.of(rows, 1.7e9 + 60.0 * np.arange(25), values), 60.0 * np.arange(25))
    (said,) = known.never_reported()
    assert said.startswith("profile pump: pressure was never reported: 2 devices never report it, a for one; ")


async def test_a_commit_under_way_is_waited_for_so_that_a_checkpoint_may_follow(tmp_path: Path) -> None:
    known = learnt(tmp_path)
    committed, told = asyncio.Event(), asyncio.Event()

    async def commit() -> None:
        async with known.changing():
            told.set()
            await committed.wait()

    task = asyncio.create_task(commit())
    await told.wait()
    asyncio.get_running_loop().call_later(0.05, committed.set)
    async with known.still(10.0):
        assert committed.is_set()
        assert task.done() or not known._ahead
    await task
    await known.save()
    assert checkpoints(tmp_path)


async def test_a_commit_that_never_ends_holds_up_no_stop_and_takes_no_checkpoint(tmp_path: Path) -> None:
    known = learnt(tmp_path)
    told = asyncio.Event()

    async def commit() -> None:
        async with known.changing():
            told.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(commit())
    await told.wait()
    async with known.still(0.01):
        task.cancel()
        await asyncio.wait((task,))
    await known.save()
    assert not checkpoints(tmp_path), "a checkpoint that knows more than was committed would lose an alert"


async def test_a_new_database_is_told_of_every_alert_that_is_open(tmp_path: Path) -> None:
    known = learnt(tmp_path)
    opened = alert(device="pump-1", profile="pump", state="active")
    states = [row("pump", "pump-1", opened), row("pump", "pump-2", None)]
    known.resume(states, now=0.0)
    everything = known.everything()
    assert list(everything.alerts) == [opened]
    again = learnt(tmp_path)
    again.resume(everything.states, now=0.0)
    assert again.open_alerts() == [opened]
    assert {state.device for state in everything.states} == {"pump-1", "pump-2"}
