"""`status`, `outbox`, `forget` and `test-alert` beside a running agent, and without one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.agent_process import AgentProcess, agent, command, configure
from tests.agent.hub_simulator import HubSimulator
from tests.agent.mqtt_ends import device
from tests.brokers import Mosquitto
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.outbox import Outbox
from vedette_models import messages
from vedette_models.messages import Status


@pytest.fixture(scope="module")
def running(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent that all tests of this module share, with a hub that receipts."""
    hub = HubSimulator(broker.port)
    with agent(configure(tmp_path_factory.mktemp("agent"), broker.url, broker.url)) as made:
        made.receiving()
        made.until(lambda: made.status().get("hub") == "connected" and hub.ready, "the hub")
        yield made
    hub.close()


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    """The configuration of an agent that never ran."""
    return configure(tmp_path, "mqtt://127.0.0.1:1")


def test_status_of_a_healthy_agent_is_exit_code_0(running: AgentProcess) -> None:
    said = command(running.config, "status")
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.startswith("gateway gw: running for ")
    assert "hub connected" in said.stdout
    assert "\nbudget   " in said.stdout
    as_json = command(running.config, "status", "--json")
    answer = json.loads(as_json.stdout)
    assert (as_json.returncode, answer["running"], answer["gateway"], answer.get("problems", [])) == (0, True, "gw", [])
    assert all(rate.keys() == {"target", "alerts", "device_weeks"} for rate in answer["alert_rates"].values())


def test_test_alert_goes_the_whole_way(running: AgentProcess, broker: Mosquitto) -> None:
    said = command(running.config, "test-alert")
    assert said.returncode == 0, said.stdout + said.stderr
    lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["committed", "published", "receipted"]
    as_json = command(running.config, "test-alert", "--json")
    steps = json.loads(as_json.stdout)
    assert 0 < steps["committed"] <= steps["published"] <= steps["receipted"]


def test_outbox_shows_what_was_alerted_and_what_could_not_be_read(running: AgentProcess, broker: Mosquitto) -> None:
    with device(broker.port) as source:
        source.publish("plant/p7/telemetry", '{"vibration": 900}')
        source.publish("plant/p7/telemetry", "garbage \x1b[31m")
    running.until(lambda: running.status().get("counters", {}).get("dead_letters", 0) >= 1, "a dead letter")
    answer = json.loads(command(running.config, "outbox", "--json").stdout)
    assert any(a["device"] == "p7" and a["kind"] == "impossible" for a in answer["history"])
    assert any(d["topic"] == "plant/p7/telemetry" and d["sample"].startswith("garbage") for d in answer["dead"])
    said = command(running.config, "outbox", "--limit", "50").stdout
    assert "p7: vibration 900 mm/s is impossible" in said
    assert "\x1b" not in said


def test_forget_clears_a_device(running: AgentProcess, broker: Mosquitto) -> None:
    with device(broker.port) as source:
        source.subscribe("vedette/gw/p8/alert/+")
        source.publish("plant/p8/telemetry", '{"vibration": 900}')
        running.until(lambda: any(p for _, p, _ in source.messages), "its alert")
        said = command(running.config, "forget", "p8")
        assert (said.returncode, said.stdout) == (0, "forgot device 'p8' (profile pump), 1 open alerts cleared\n")
        running.until(lambda: [p for _, p, _ in source.messages][-1:] == [b""], "its end")
        source.publish("plant/p8/telemetry", '{"vibration": 901}')
        running.until(lambda: b"901" in [p for _, p, _ in source.messages][-1], "a new alert of the same device")
    assert command(running.config, "forget", "p9").stdout == "device 'p9' is not known\n"


def test_without_an_agent_status_is_exit_code_3_and_says_so(nobody: Path) -> None:
    said = command(nobody, "status")
    assert (said.returncode, "not running: no agent has used" in said.stdout) == (3, True)
    as_json = command(nobody, "status", "--json")
    assert (as_json.returncode, json.loads(as_json.stdout)) == (3, {"running": False})


@pytest.mark.parametrize("words", [("outbox",), ("forget", "x"), ("test-alert",)])
def test_without_a_database_the_others_say_what_is_missing(nobody: Path, words: tuple[str, ...]) -> None:
    said = command(nobody, *words)
    assert said.returncode == 1
    assert "no agent has used" in said.stderr
    assert "Traceback" not in said.stderr
    assert not (nobody.parent / "state").exists(), "looking leaves nothing behind"


def test_a_stopped_agent_is_told_from_a_running_one(broker: Mosquitto, tmp_path: Path) -> None:
    config = configure(tmp_path, broker.url, gateway="other")
    with agent(config) as made:
        made.receiving()
        assert made.stop() == 0
    said = command(config, "status")
    assert said.returncode == 3
    assert "NOT RUNNING" in said.stdout
    assert "(stopped)" in said.stdout
    said = command(config, "forget", "--timeout", "0.2", "pump 1")
    assert said.returncode == 3
    assert "it will forget 'pump 1' when it starts" in said.stdout
    said = command(config, "test-alert", "--timeout", "0.2")
    assert said.returncode == 1
    assert "NOT published" in said.stdout
    assert "see: vedette-agent status" in said.stdout
    with agent(config) as made:
        made.until(lambda: made.status().get("online") and not made.status().get("outbox_rows"), "made up for")
        assert made.stop() == 0
    assert json.loads(command(config, "outbox", "--json").stdout)["history"][0]["kind"] == "test"


def test_problems_are_exit_code_1(tmp_path: Path) -> None:
    config = configure(tmp_path, "mqtt://127.0.0.1:1")
    with agent(config) as made:
        made.until(lambda: any("refused" in p for p in made.status().get("problems", [])), "the problem")
        said = command(config, "status")
    assert said.returncode == 1
    assert "problem  devices broker mqtt://127.0.0.1:1: connection to 127.0.0.1:1 refused" in said.stdout


def test_how_long_the_outbox_lasts_and_what_became_of_storms_is_said(nobody: Path) -> None:
    state = nobody.parent / "state"
    state.mkdir()
    now = time.time()
    said = Status("gw", True, now, now, outbox_rows=7, outbox_hours=5.5, coalesced_rows=40)
    (state / "status.json").write_bytes(messages.to_bytes(said))
    lines = command(nobody, "status").stdout.splitlines()
    assert "offline  the outbox lasts for 5.5 h without the hub, as it is being filled now" in lines
    assert "storms   40 rows put together with others before they were sent" in lines
    assert json.loads(command(nobody, "status", "--json").stdout)["outbox_hours"] == 5.5


def test_damaged_databases_are_listed_beside_the_outbox(nobody: Path) -> None:
    state = nobody.parent / "state"
    Outbox(state / "agent.db", "gw", OutboxLimits(), to_hub=True).close()
    (state / "agent.db.damaged-20260101T000000Z").write_bytes(b"")
    assert "agent.db.damaged-20260101T000000Z: a damaged database, set aside" in command(nobody, "outbox").stdout
    answer = json.loads(command(nobody, "outbox", "--json").stdout)
    assert (answer["set_aside"], answer["hours_left"]) == (["agent.db.damaged-20260101T000000Z"], None)
