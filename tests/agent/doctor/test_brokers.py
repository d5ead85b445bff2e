"""The doctor with real brokers as they are shipped: what it finds, and that it leaves everything as it was."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.agent.agent_process import AgentProcess, agent, command
from tests.brokers import MOSQUITTO, Mosquitto, free_port
from tests.conftest import NO_MOSQUITTO
from tests.processes import eventually
from tests.system.shipped_brokers import password_of, shipped_broker

ID = "gateway-1"
SECONDS = 15.0
CONFIG = """
[gateway]
id = "{id}"
state_dir = "state"
heartbeat = "300ms"
[devices]
url = "{devices}"
username = "{id}"
password = "{password}"
{more}
[hub]
url = "{hub}"
username = "{id}"
password = "{password}"
{more}
[[streams]]
topic = "plant/{{device}}/telemetry"
profile = "pump"
[profiles.pump.channels]
vibration = {{ unit = "mm/s" }}
"""


class Site:
    """A gateway's brokers as shipped, and its configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devices = shipped_broker(folder / "devices", "devices", [ID, "pump-7"])
        self.hub = shipped_broker(folder / "hub", "hub", [ID, "hub"])
        for broker in (self.devices, self.hub):
            broker.start()
        self.config = folder / "agent.toml"
        self.configure()

    def configure(self, password: str = password_of(ID), more: str = "", **urls: str) -> None:
        where = {"devices": self.devices.url, "hub": self.hub.url, **urls}
        self.config.write_text(CONFIG.format(id=ID, password=password, more=more, **where))

    def examined(self, *options: str, code: int = 0) -> dict[str, dict[str, str]]:
        """Findings by name; options and exit code of the command."""
        said = command(self.config, "doctor", "--json", "--unit", "no such unit", *options)
        assert said.returncode == code, said.stdout + said.stderr
        assert "password of" not in said.stdout + said.stderr
        answer = json.loads(said.stdout)
        assert answer["ok"] == (code == 0)
        return {f"{f['subject']} {f['check']}".strip(): f for f in answer["findings"]}

    def end(self) -> None:
        for broker in (self.devices, self.hub):
            broker.kill()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    made = Site(tmp_path / "site")
    yield made
    made.end()


class Client:
    """A device, or somebody who takes up a session."""

    def __init__(self, port: int, user: str, *, clean: bool = True) -> None:
        self.connected: list[bool] = []
        self.messages: list[bytes] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, user, protocol=paho.MQTTv5, manual_ack=True)
        self.client.username_pw_set(user, password_of(user))
        self.client.on_connect = lambda _c, _d, flags, _r, _p: self.connected.append(flags.session_present)
        self.client.on_message = lambda _c, _d, message: self.messages.append(bytes(message.payload))
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        session.SessionExpiryInterval = 0 if clean else 3600
        self.client.connect("127.0.0.1", port, clean_start=clean, properties=session)
        self.client.loop_start()
        eventually(lambda: self.connected, "connected")

    def publish(self, payload: str, qos: int = 1) -> None:
        self.client.publish("plant/pump-7/telemetry", payload, qos).wait_for_publish(SECONDS)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def outcomes(found: dict[str, dict[str, str]], *names: str) -> list[str]:
    return [found[name]["outcome"] for name in names]


EVERYTHING = (
    "devices dns", "devices tcp", "devices login", "devices acl write", "devices acl read",
    "hub dns", "hub tcp", "hub login", "hub acl write",
)  # fmt: skip


def connects(broker: Mosquitto, client: str) -> int:
    return broker.log.read_text().count(f" as {client} ")


def score(running: AgentProcess, device: Client) -> None:
    """Publish until the agent has scored something."""

    def scored() -> Any:
        device.publish('{"vibration": 1.5}')
        return running.status().get("counters", {}).get("scored")

    running.until(scored, "a score")


def test_a_running_agent_looks_for_itself_and_keeps_its_connections(site: Site) -> None:
    device = Client(site.devices.port, "pump-7")
    device.client.publish("plant/pump-7/telemetry", '{"vibration": 2.5}', 1, retain=True).wait_for_publish(SECONDS)
    with agent(site.config) as running:
        running.receiving()
        running.until(lambda: running.status().get("hub") == "connected", "the hub")
        score(running, device)
        sender = _Sender(device)
        found = site.examined()
        sender.stop()
        assert outcomes(found, *EVERYTHING, "plant/+/telemetry sample", "database") == ["ok"] * (len(EVERYTHING) + 2)
        assert "device pump-7, profile pump: vibration 1.5 mm/s" in found["plant/+/telemetry sample"]["seen"]
        assert "the running agent is connected" in found["hub login"]["seen"]
        assert found["hub acl read"]["outcome"] == "not tested", "there is no hub that could have sent a receipt"
        assert (connects(site.devices, ID), connects(site.hub, ID)) == (1, 1), "nobody has taken the agent's place"
        assert running.process.poll() is None
        assert not [p for p in running.status().get("problems", []) if "broker" in p]
    device.close()


class _Sender:
    """Publishes until told to stop."""

    def __init__(self, device: Client) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(device,), daemon=True)
        self._thread.start()

    def _run(self, device: Client) -> None:
        while not self._stopped.wait(0.1):
            device.publish('{"vibration": 1.5}')

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(SECONDS)


def test_a_running_agent_says_what_it_may_not(site: Site) -> None:
    access = site.hub.directory / "hub.acl"
    access.write_text(access.read_text().replace("%u/up/alerts", "%u/nothing"))
    site.hub.stop()
    site.hub.start()
    with agent(site.config) as running:
        running.receiving()
        running.until(lambda: running.status().get("hub") == "connected", "the hub")
        found = site.examined("--listen", "0", code=1)
    assert found["hub acl write"]["outcome"] == "failed"
    assert f"vedette/v1/gw/{ID}/up/alerts" in found["hub acl write"]["seen"]
    assert f"topic write vedette/v1/gw/{ID}/up/#" in found["hub acl write"]["fix"]


def test_before_the_first_start_it_logs_in_and_leaves_nothing_behind(site: Site) -> None:
    site.configure(more='protocol = "3.1.1"')
    old = site.examined("--listen", "0")
    assert outcomes(old, "devices login", "devices acl write", "hub login", "hub acl write") == [
        "ok", "ok", "ok", "not tested",
    ]  # fmt: skip
    site.configure()
    found = site.examined("--listen", "0")
    assert outcomes(found, *EVERYTHING[:4], *EVERYTHING[5:]) == ["ok"] * 8
    assert outcomes(found, "plant/+/telemetry sample", "agent", "hub listener") == ["warning"] * 3
    assert not list(site.folder.glob("state/*")), "no database, no lock"
    for broker in (site.devices, site.hub):
        after = Client(broker.port, ID, clean=False)
        assert after.connected == [False], "no session is left"
        after.close()


@pytest.mark.parametrize(("option", "outcome"), [("--listen=0", "not tested"), ("--log-in", "ok")])
def test_what_waits_for_a_stopped_agent_still_waits_afterwards(site: Site, option: str, outcome: str) -> None:
    device = Client(site.devices.port, "pump-7")
    with agent(site.config) as running:
        running.receiving()
        score(running, device)
        assert running.stop() == 0
    for number in range(100):
        device.publish(f'{{"vibration": {number}, "seq": {number}}}')
    found = site.examined("--listen=0", option)
    assert outcomes(found, "devices login", "hub login") == [outcome, "ok"]
    trace = site.folder / "trace.jsonl"
    with agent(site.config, "--trace", str(trace)) as running:
        running.until(lambda: running.status().get("counters", {}).get("received", 0) >= 100, "all that was queued")
        assert running.stop() == 0
    scored = [json.loads(line)["sequence"] for line in trace.read_text().splitlines()]
    assert [n for n in scored if n is not None] == list(range(100)), "each of them, once and in order"
    device.close()


def test_a_wrong_password_and_an_unknown_broker_are_told_apart(site: Site) -> None:
    site.configure(password="not the password of it", hub=f"mqtt://127.0.0.1:{free_port()}", more='protocol = "5"')
    said = command(site.config, "doctor", "--json", "--listen", "0")
    assert said.returncode == 1
    assert "not the password of it" not in said.stdout + said.stderr
    found = {f"{f['subject']} {f['check']}": f for f in json.loads(said.stdout)["findings"]}
    assert (found["devices login"]["outcome"], "0x87" in found["devices login"]["seen"]) == ("failed", True)
    assert "mosquitto_passwd" in found["devices login"]["fix"]
    assert (found["hub tcp"]["outcome"], "listener" in found["hub tcp"]["fix"]) == ("failed", True)
    assert found["hub login, acl"]["outcome"] == "not tested"
    site.configure(devices="mqtt://there-is-no-such-host.invalid")
    found = site.examined("--listen", "0", code=1)
    assert (found["devices dns"]["outcome"], "getent" in found["devices dns"]["fix"]) == ("failed", True)


def test_a_server_that_never_answers_is_given_up(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site.configure(hub=f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        found = site.examined("--listen", "0", code=1)
    assert found["hub login"]["outcome"] == "failed"
    assert "did not answer our CONNECT" in found["hub login"]["seen"]


def test_a_configuration_that_cannot_be_used_is_a_finding_too(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("[gateway]\n")
    said = command(tmp_path / "agent.toml", "doctor", "--json")
    answer = json.loads(said.stdout)
    assert (said.returncode, answer["ok"]) == (2, False)
    assert {f["check"] for f in answer["findings"]} == {"configuration"}
