"""Orders through the whole hub: command line, API, the serving process, `kill -9`."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from click.testing import CliRunner, Result
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine

from tests.brokers import Mosquitto
from tests.hub.conftest import HubProcess
from tests.hub.gateway import alert, wait_for
from tests.hub.holding_proxy import HoldingProxy
from tests.hub.updating import UpdatingGateway, add_model
from vedette_hub import state
from vedette_hub.cli import main
from vedette_hub.fleet.enrolment import prepare_signing_key
from vedette_hub.store.database import open_store
from vedette_models import topics


def run(hub: HubProcess, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", str(hub.config)])


def post(hub: HubProcess, path: str, body: dict[str, Any]) -> Any:
    token = (hub.state_dir / "api-token").read_text().strip()
    request = urllib.request.Request(f"http://127.0.0.1:{hub.port}/api/v1/{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def retained(mosquitto: Mosquitto, *wanted: str) -> list[str]:
    """Which of these topics the broker has a message for."""
    heard: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _d, message: heard.append(message.topic)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    client.subscribe([(topic, 1) for topic in (*wanted, "end")])
    client.publish("end", b"x", qos=1)
    wait_for(lambda: "end" in heard, "what is retained has come")
    client.disconnect()
    client.loop_stop()
    return [topic for topic in heard if topic != "end"]


@pytest.fixture
def store(hub_process: HubProcess) -> Iterator[Engine]:
    """The store of a hub that serves."""
    hub_process.start()
    engine = open_store(f"sqlite:///{hub_process.state_dir / 'hub.db'}")
    yield engine
    engine.dispose()


def test_orders_from_the_command_line_and_the_api_reach_a_gateway(
    hub_process: HubProcess, store: Engine, mosquitto: Mosquitto
) -> None:
    add_model(store)
    add_model(store)
    key = state.signing_key(hub_process.state_dir)
    assert (hub_process.state_dir / "signing-key").stat().st_mode & 0o777 == 0o600
    assert "Keep a copy in a safe place" in hub_process.log.read_text()
    with UpdatingGateway(mosquitto.port, key=key) as gateway:
        wait_for(lambda: hub_process.get("gateways")["total"] == 1, "the gateway is known")
        assert post(hub_process, "models/pump/1/push", {"all": True})["gateways"] == [
            {"gateway": "gw-1", "version": 1, "counter": 1}
        ]
        wait_for(lambda: gateway.running() == 1, "the first version runs")
        done = run(hub_process, "push", "pump", "2", "--gateway", "gw-1", "--json")
        assert (done.exit_code, json.loads(done.stdout)["gateways"][0]["counter"]) == (0, 2)
        wait_for(lambda: gateway.running() == 2, "the second version runs")
        done = run(hub_process, "rollback", "pump", "--all")
        assert (done.exit_code, done.stdout) == (0, "gw-1\tpump: version 1\tmanifest 3\n")
        wait_for(lambda: gateway.running() == 1, "the first version runs again")
        wait_for(lambda: _model(hub_process)["progress"] == "running", "the hub knows")
        model = _model(hub_process)
        assert (model["ordered"], model["running"], model["previous"]) == (1, 1, 2)
        assert model["ordered_by"].endswith("(command line)")
        wait_for(lambda: _model(hub_process)["last_activation"]["counter"] == 3, "the activation has come")
        gateway.put(1, alert(1))
        wait_for(lambda: gateway.pending() == 0, "alerts are taken in as ever")


def _model(hub: HubProcess) -> Any:
    return hub.get("gateways/gw-1")["models"][0]


def test_kill_9_between_artefact_and_manifest_is_made_good_after_a_restart(
    hub_process: HubProcess, mosquitto: Mosquitto
) -> None:
    proxy = HoldingProxy(mosquitto.port)
    text = hub_process.config.read_text().replace(str(mosquitto.port), str(proxy.port))
    hub_process.config.write_text(text)
    hub_process.start()
    engine = open_store(f"sqlite:///{hub_process.state_dir / 'hub.db'}")
    _, name = add_model(engine)
    engine.dispose()
    key = state.signing_key(hub_process.state_dir)
    assert run(hub_process, "enroll", "gw-1").exit_code == 0
    proxy.hold = b"/down/desired"
    assert run(hub_process, "push", "pump", "1", "--all").exit_code == 0
    assert proxy.held.wait(15)
    hub_process.kill()
    proxy.hold = None
    assert retained(mosquitto, topics.artifact(name), topics.gateway_down("gw-1", "desired")) == [topics.artifact(name)]
    with UpdatingGateway(mosquitto.port, key=key) as gateway:
        hub_process.start(wait=False)
        wait_for(lambda: gateway.running() == 1, "the update completes", seconds=30)
    proxy.close()


def test_what_cannot_be_ordered_is_said_with_an_exit_code(hub_process: HubProcess) -> None:
    no_key = run(hub_process, "push", "pump", "1", "--all")
    assert (no_key.exit_code, "`vedette-hub serve` makes it" in no_key.stderr) == (1, True)
    assert run(hub_process, "enroll", "gw-1").exit_code == 0
    for arguments, code, words in (
        (("push", "pump", "1", "--all"), 1, "no model of profile 'pump'"),
        (("rollback", "pump", "--all"), 1, "no model of profile 'pump'"),
        (("unload", "pump", "--group", "hall"), 1, "no model of profile 'pump'"),
        (("push", "pump", "1"), 2, "say for whom"),
        (("push", "pump", "1", "--all", "--group", "hall"), 2, "say for whom"),
        (("push", "pump", "zero", "--all"), 2, "not a valid integer"),
        (("group", "moon", "hall"), 1, "no such gateway: 'moon'"),
        (("enroll", "a\x07b"), 1, "none of them a control character"),
        (("key", "new"), 1, "--replace replaces it"),
    ):
        done = run(hub_process, *arguments)
        assert (done.exit_code, words in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr


def test_a_lost_signing_key_is_missed_not_made_anew(hub_process: HubProcess, caplog: pytest.LogCaptureFixture) -> None:
    assert run(hub_process, "enroll", "gw-1").exit_code == 0
    engine = open_store(f"sqlite:///{hub_process.state_dir / 'hub.db'}")
    add_model(engine)
    assert run(hub_process, "push", "pump", "1", "--all").exit_code == 0
    (hub_process.state_dir / "signing-key").unlink()
    assert prepare_signing_key(hub_process.state_dir, engine) is None
    engine.dispose()
    assert "is missing, and gateways follow key" in caplog.text
    assert run(hub_process, "enroll", "gw-2").exit_code == 1
    refused = run(hub_process, "push", "pump", "1", "--all")
    assert (refused.exit_code, "restore it from a backup" in refused.stderr) == (1, True)
    made = run(hub_process, "key", "new")
    assert (made.exit_code, made.stdout) == (0, run(hub_process, "key", "ring").stdout)
    assert run(hub_process, "push", "pump", "1", "--all").exit_code == 0


def test_a_group_is_set_and_left(hub_process: HubProcess) -> None:
    assert run(hub_process, "enroll", "gw-1").exit_code == 0
    assert "in group 'hall 3'" in run(hub_process, "group", "gw-1", "hall 3").stderr
    assert "in no group" in run(hub_process, "group", "gw-1").stderr


def test_enrolling_writes_files_for_their_owner_only(hub_process: HubProcess, tmp_path: Path) -> None:
    done = run(hub_process, "enroll", "line 3/a", "--out", str(tmp_path / "out"), "--json")
    made = json.loads(done.stdout)
    assert (done.exit_code, made["username"], made["new"]) == (0, "line%203%2Fa", True)
    files = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert files["hub.password"].strip() == made["password"]
    assert files["keyring"] == made["key_ring"]
    assert files["broker.passwd"].startswith("line%203%2Fa:$7$")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}
    again = run(hub_process, "enroll", "line 3/a")
    assert "known already" in again.stdout
    assert made["password"] not in again.stdout
