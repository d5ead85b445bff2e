"""The hub as a process: killed, stopped, started again, and told nonsense."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers import Mosquitto
from tests.hub.conftest import HubProcess
from tests.hub.gateway import SimulatedGateway, alert, wait_for


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.fault(
    fault="kill -9 of the hub at random moments, rows sent twice",
    expected="every alert is there once, with both revisions",
)
def test_kill_9_at_random_points_loses_and_doubles_no_alert(
    hub_process: HubProcess, mosquitto: Mosquitto, record_property: Callable[[str, object], None]
) -> None:
    random_ = random.Random(7)
    hub_process.start()
    with SimulatedGateway(mosquitto.port, resend=0.5, per_message=5) as gateway:
        number = 0
        for _ in range(3):
            deadline = time.monotonic() + random_.uniform(0.0, 0.7)
            while time.monotonic() < deadline:
                number += 1
                gateway.put(2 * number - 1, alert(number))
                gateway.put(2 * number, alert(number, revision=2, severity="high"))
                time.sleep(0.002)
            hub_process.kill()
            wait_for(lambda: is_free(hub_process.port), "the web server ends with its parent", seconds=2)
            hub_process.start(wait=random_.random() < 0.5)
        wait_for(lambda: gateway.pending() == 0, "every row is receipted", seconds=30)
        assert number > 20
    wait_for(lambda: hub_process.health() == "ok", "the hub answers")
    found, before = [], ""
    while True:
        page = hub_process.get(f"alerts?limit=500{before}")
        found += page["alerts"]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert sorted(item["id"] for item in found) == sorted(f"a-{n}" for n in range(1, number + 1))
    assert {item["revision"] for item in found} == {2}
    history = hub_process.get("alerts/gw-1/a-1")["history"]
    assert [item["revision"] for item in history] == [1, 2]
    record_property("observed", f"3 kills, {number} alerts with 2 revisions each, none lost, none twice")


def test_sigterm_stops_cleanly_and_a_second_hub_is_refused(hub_process: HubProcess) -> None:
    hub_process.start()
    command = [sys.executable, "-m", "vedette_hub.cli", "serve", "--config", str(hub_process.config)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert "another vedette-hub serves it" in second.stderr
    assert "Traceback" not in second.stderr
    assert hub_process.stop() == 0
    assert "Traceback" not in hub_process.log.read_text()


@pytest.mark.fault(fault="kill -9 of the hub's web server", expected="it is started again")
def test_a_web_server_that_dies_is_started_again(hub_process: HubProcess) -> None:
    hub_process.start()
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(hub_process.pid)], capture_output=True, text=True, check=True
    )
    for pid in children.stdout.split():
        subprocess.run(["kill", "-9", pid], check=True)
    wait_for(lambda: "it is started again" in hub_process.log.read_text(), "the death is noticed")
    wait_for(lambda: hub_process.health() == "ok", "the hub answers again")


def test_systemd_is_told_when_it_is_ready_and_that_it_lives(
    hub_process: HubProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        hub_process.start()
        heard = [manager.recv(100) for _ in range(4)]
        assert heard[0] == b"READY=1"
        assert set(heard[1:]) == {b"WATCHDOG=1"}
        assert hub_process.stop() == 0
        manager.settimeout(0.2)
        while (last := manager.recv(100)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"
