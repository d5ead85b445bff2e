"""An old copy of the state folder is put back, as from an image of the card, while the hub knows more."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable

import pytest

from tests.processes import eventually
from tests.system.accounts import Accounts
from tests.system.delivery import RECEIVE_MAXIMUM, check_readings, delivered
from tests.system.devices import Devices
from tests.system.gateway import Gateway
from tests.system.moments import Moments

RATE = 300.0
Observed = Callable[[str, object], None]


@pytest.mark.slow
@pytest.mark.fault(
    fault="an old copy of the state folder is put back on a running system",
    expected="no reading lost, no new alert taken for an old one, none twice; missing is only what was nowhere else",
)
def test_nothing_new_is_taken_for_something_old(
    gateway: Gateway, new_devices: Callable[..., Devices], moments: Moments, record_property: Observed
) -> None:
    state, copy = gateway.folder / "agent", gateway.folder / "copy"
    devices = new_devices(gateway, rate=RATE)
    devices.start()
    eventually(gateway.api.alerts, "the first alert is at the hub", 60.0)
    assert gateway.agent.stop() == 0
    shutil.copytree(state, copy)
    gateway.agent.start()
    gateway.wait_for_agent()
    known = len(gateway.api.alerts())
    eventually(lambda: len(gateway.api.alerts()) > known + 5, "more alerts are at the hub", 60.0)
    moments.let_pass(0.2, 2.0, "running")
    gateway.agent.kill()
    replaced = gateway.outbox()
    shutil.rmtree(state)
    shutil.copytree(copy, state)
    gateway.agent.start()
    gateway.wait_for_agent()
    known = len(gateway.api.alerts())
    eventually(lambda: len(gateway.api.alerts()) > known + 5, "new alerts are at the hub", 60.0)
    devices.stop()

    readings = check_readings(Accounts(gateway.trace), devices.acknowledged, 2 * RECEIVE_MAXIMUM)
    history = delivered(gateway)
    events = Counter(event for alert in gateway.api.alerts() for event in gateway.api.events(alert))
    assert set(events.values()) == {1}, "no event has two effects"
    kept = {(event["id"], event["revision"]) for event in history}
    gone = {(event["id"], event["revision"]) for event in replaced["history"]} - kept
    assert kept <= events.keys(), "what was committed before the copy and after it was put back is at the hub"
    assert events.keys() <= kept | gone
    only_there = len(gone - events.keys())
    assert only_there <= replaced["rows"], "missing is at most what waited in the folder that was replaced"
    opened = Counter((event["device"], event["kind"], event["opened"]) for event in history if event["revision"] == 1)
    assert set(opened.values()) == {1}
    record_property(
        "observed",
        f"{readings} (of {RECEIVE_MAXIMUM} that may be on their way); {len(events)} events at the hub, each once; "
        f"{only_there} were in the replaced folder alone",
    )
