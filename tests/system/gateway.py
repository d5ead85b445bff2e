"""A running gateway: the devices' broker and the hub's, agent and hub, all as they are shipped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.brokers import free_port
from tests.processes import eventually, run
from tests.system.hub_api import HubApi
from tests.system.program import Program
from tests.system.shipped_brokers import password_of, shipped_broker

ID = "gateway-1"
STREAMS = """
[[streams]]
topic = "plant/{device}/telemetry"
profile = "pump"
"""
PROFILES = """
[profiles.pump.channels]
vibration = { unit = "mm/s", low = 0, high = 50 }
temperature = { unit = "°C", low = -40, high = 150 }
pressure = { unit = "hPa" }

[profiles.pump.decisions]
cooldown = "20s"
burst = 10_000

# The devices' minutes pass in seconds, which is what a wrong clock looks like.
[profiles.pump.health]
clock = false
cooldown = "20s"
"""
AGENT = """
[gateway]
id = "{id}"
state_dir = "agent"
heartbeat = "1s"
checkpoint_every = "2s"

[devices]
url = "{devices}"
username = "{id}"
password_file = "gateway.password"

[hub]
url = "{hub}"
username = "{id}"
password_file = "gateway.password"

[time]
max_age = "none"

[outbox]
history_rows = 100_000

# A second of these devices lasts a fortieth of one: what a restarted broker lets overtake, or repeats, is no flood.
[limits]
device_rate = 1_000
{more}"""
HUB = """
[hub]
state_dir = "hub"

[broker]
url = "{hub}"
username = "hub"
password_file = "hub.password"

[web]
port = {port}
"""


class Gateway:
    """Everything between the devices and the hub's API, in one folder."""

    def __init__(
        self, folder: Path, devices: Sequence[str], *, streams: str = STREAMS, profiles: str = PROFILES
    ) -> None:
        self.folder = folder
        self.devices_broker = shipped_broker(folder / "devices-broker", "devices", [ID, "display", *devices])
        self.hub_broker = shipped_broker(folder / "hub-broker", "hub", [ID, "hub"])
        web_port = free_port()
        for user, file in ((ID, "gateway.password"), ("hub", "hub.password")):
            (folder / file).write_text(password_of(user))
            (folder / file).chmod(0o600)
        self.profiles = profiles
        self.configuration = folder / "agent.toml"
        self.configure(streams)
        hub_configuration = folder / "hub.toml"
        hub_configuration.write_text(HUB.format(hub=self.hub_broker.url, port=web_port))
        self.trace = folder / "trace.jsonl"
        self.agent = Program(
            "vedette-agent", "run", "--config", self.configuration, "--trace", self.trace, log=folder / "agent.log"
        )
        self.hub = Program("vedette-hub", "serve", "--config", hub_configuration, log=folder / "hub.log")
        self.api = HubApi(web_port, folder / "hub")

    def configure(self, streams: str) -> None:
        """Write the agent's configuration; it counts from the agent's next start."""
        text = AGENT.format(id=ID, devices=self.devices_broker.url, hub=self.hub_broker.url, more=streams)
        self.configuration.write_text(text + self.profiles)

    def start(self) -> None:
        """Start everything, and return when readings can come and alerts can be seen."""
        self.devices_broker.start()
        self.hub_broker.start()
        self.hub.start()
        self.agent.start()
        self.wait_for_agent()
        eventually(self.api.is_well, "the hub is up")

    def wait_for_agent(self) -> None:
        """Return when the agent hears its devices and has its hub's broker."""
        eventually(self._agent_is_there, f"the agent is connected; its log:\n{self.agent.said()[-2000:]}")

    def _agent_is_there(self) -> bool:
        path = self.folder / "agent" / "status.json"
        if not path.exists():
            return False
        status = json.loads(path.read_text())
        ours = status["online"] and self.agent.running and status.get("started", 0.0) > self.agent.started
        return bool(ours and status["ingest"] in ("waiting", "receiving") and status["hub"] == "connected")

    def outbox(self, limit: int = 100_000) -> Any:
        """What `vedette-agent outbox --json` says."""
        asked = run("vedette-agent", "outbox", "--config", self.configuration, "--json", "--limit", limit)
        assert asked.returncode == 0, asked.stderr
        return json.loads(asked.stdout)

    def end(self) -> None:
        """Stop everything."""
        for program in (self.agent, self.hub):
            program.end()
        for broker in (self.devices_broker, self.hub_broker):
            broker.kill()
