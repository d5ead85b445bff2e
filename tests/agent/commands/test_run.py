"""`vedette-agent run` as a process: started, fed, stopped, killed, started again."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.agent.agent_process import Notifications, agent, command, configure
from tests.agent.mqtt_ends import Device, device
from tests.brokers import Mosquitto
from vedette_models import messages
from vedette_models.messages import Status


def reading(sequence: int, vibration: float = 1.0, **more: Any) -> str:
    return json.dumps({"ts": time.time(), "seq": sequence, "vibration": vibration, **more})


def traced(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def config(broker: Mosquitto, tmp_path: Path) -> Path:
    return configure(tmp_path, broker.url)


def last_status(display: Device) -> Status:
    return messages.from_bytes(Status, [p for t, p, _ in display.messages if t == "vedette/gw/status"][-1])


def test_a_service_manager_hears_ready_watchdog_and_stopping(config: Path, broker: Mosquitto, tmp_path: Path) -> None:
    manager = Notifications(tmp_path)
    with (
        device(broker.port) as display,
        agent(config, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="200000") as running,
    ):
        display.subscribe("vedette/gw/status")
        running.until(lambda: "READY=1" in manager.listen(), "READY=1")
        running.until(lambda: manager.listen().count("WATCHDOG=1") >= 3, "WATCHDOG=1")
        running.receiving()
        assert any(line.startswith("STATUS=waiting, hub none, 0 devices, 0 open alerts") for line in manager.listen())
        assert last_status(display).online
        assert running.stop() == 0
        assert "STOPPING=1" in manager.listen()
        deadline = time.monotonic() + 10
        while last_status(display).online and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (last_status(display).online, last_status(display).reason) == (False, "stopped")
    assert "Traceback" not in running.log
    manager.close()


def test_an_alert_goes_its_way_and_survives_kill_9(config: Path, broker: Mosquitto, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    with device(broker.port) as source:
        source.subscribe("vedette/gw/+/alert/+")
        with agent(config, "--trace", str(trace)) as running:
            running.receiving()
            source.publish("plant/p1/telemetry", reading(1, 900.0))
            running.until(lambda: any(p for _, p, _ in source.messages), "the alert on its local topic")
            running.until(
                lambda: running.status()["counters"].get("alerts") and not running.status().get("outbox_rows"),
                "delivered",
            )
        for i in range(2, 6):  # queued while nobody is there
            source.publish("plant/p1/telemetry", reading(i, 1.0 if i < 4 else 900.0))
        with agent(config, "--trace", str(trace)) as running:
            running.until(lambda: [p for _, p, _ in source.messages][-1:] == [b""], "the end of the alert")
            running.until(lambda: running.status().get("counters", {}).get("suppressed") == 1, "held back")
            assert running.stop() == 0
    assert [(line["sequence"], line["fate"]) for line in traced(trace)] == [(i, "scored") for i in range(1, 6)]


def test_every_reading_has_its_fate_in_the_trace(config: Path, broker: Mosquitto, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    with device(broker.port) as source, agent(config, "--trace", str(trace)) as running:
        source.publish("plant/old/telemetry", reading(0), retain=True)
        running.receiving()
        source.publish("plant/p1/telemetry", reading(1))
        source.publish("plant/p1/telemetry", "no json")
        source.publish("plant/p1/telemetry", reading(10**30))
        source.publish("plant/p1/telemetry", reading(3, device="\ud800"))
        source.publish("plant/p1/telemetry", "[" * 1000)
        source.publish("plant/p1/telemetry", b"\xff\xfe")
        source.publish("plant/p1/telemetry", reading(4))
        running.until(lambda: running.status().get("counters", {}).get("received", 0) >= 7, "all received")
        running.until(lambda: any(line["sequence"] == 4 for line in traced(trace)), "the last one")
        source.publish("plant/old/telemetry", "", retain=True)
        assert running.stop() == 0
    fates = {line["sequence"]: line["fate"] for line in traced(trace) if line["device"] in ("p1", "old")}
    assert (fates[1], fates[4], fates[0]) == ("scored", "scored", "retained")
    dead = [line["reason"] for line in traced(trace) if line["fate"] == "dead_letter"]
    assert len(dead) >= 3
    assert {"not_json", "too_deep"} <= set(dead)


def test_what_was_learnt_is_resumed_and_its_age_told(config: Path, broker: Mosquitto) -> None:
    with device(broker.port) as source:
        with agent(config) as running:
            running.receiving()
            source.publish("plant/p1/telemetry", reading(1))
            running.until(lambda: running.status().get("devices") == 1, "known")
            assert running.stop(signal.SIGINT) == 0
        with agent(config) as running:
            running.until(lambda: running.status().get("online") and running.status()["devices"] == 1, "resumed")
            assert 0 <= running.status()["state_age"] < 60
            assert running.stop() == 0


@pytest.mark.fault(fault="a damaged checkpoint at the start", expected="said, put aside, and the agent learns anew")
def test_a_damaged_checkpoint_is_said_and_does_not_stop_the_agent(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "pump.npz").write_bytes(b"PK\x03\x04 damaged")
    with agent(config) as running:
        running.receiving()
        assert "pump.npz: damaged" in running.log
        assert (folder / "pump.unusable").exists()
        assert running.stop() == 0


@pytest.mark.fault(fault="a database file that is none at the start", expected="set aside and said; the agent runs")
def test_a_database_that_is_none_is_set_aside_and_said(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "agent.db").write_bytes(b"no database at all" * 1000)
    with agent(config) as running:
        said = running.until(lambda: [p for p in running.status().get("problems", []) if "damaged" in p], "said")
        (aside,) = (tmp_path / "state").glob("agent.db.damaged-*")
        assert aside.name in said[0]
        assert aside.read_bytes() == b"no database at all" * 1000
        assert "Traceback" not in running.log
        assert aside.name in command(config, "outbox").stdout
        assert running.stop() == 0


def test_a_database_that_a_folder_stands_in_for_is_exit_code_1_with_a_hint(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state" / "agent.db").mkdir(parents=True)
    with agent(config) as running:
        assert running.process.wait(20) == 1
        assert "must be able to write its state_dir" in running.log
        assert "Traceback" not in running.log


def test_a_status_file_that_cannot_be_written_is_said_once(config: Path, broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "state" / "status.json").mkdir(parents=True)
    with device(broker.port) as display:
        display.subscribe("vedette/gw/status")
        with agent(config) as running:
            running.until(lambda: len(display.messages) >= 5, "five heartbeats")
            assert "is a directory" in str(last_status(display).problems).lower()
            assert running.log.count("status.json") == 1
            assert running.stop() == 0


def test_a_broker_that_is_not_there_is_a_problem_in_the_status_and_no_reason_to_end(tmp_path: Path) -> None:
    config = configure(tmp_path, "mqtt://127.0.0.1:1")
    with agent(config) as running:
        problems = running.until(lambda: [p for p in running.status().get("problems", []) if "refused" in p], "said")
        assert "is the broker running and listening there?" in problems[0]
        assert running.status()["ingest"] == "disconnected"
        assert running.stop() == 0
    assert running.status()["reason"] == "stopped"
