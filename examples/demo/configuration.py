"""Configuration: what agent and hub of the demo are told, written as anybody would write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from examples.demo.broker import Broker

GATEWAY = "demo"
TOPIC = "plant/{device_type}/{device}"
"""Where a device publishes."""

AGENT = """\
# Written by the demo.

[gateway]
id = "{gateway}"
state_dir = "agent"
heartbeat = "1s"

[devices]
url = "{url}"
protocol = "{protocol}"
client_id = "vedette-demo-devices"

[hub]
url = "{url}"
protocol = "{protocol}"
client_id = "vedette-demo-hub"

# The plant's past arrives in fast motion.
[time]
max_age = "none"

# Everything is kept, so that the demo can compare alert by alert.
[outbox]
history_rows = 100_000

[[streams]]
topic = "plant/pump/{{device}}"
profile = "pump"

[[streams]]
topic = "plant/freezer/{{device}}"
profile = "freezer"

[[streams]]
topic = "plant/air-handler/{{device}}"
profile = "air-handler"

[profiles.pump.channels]
vibration = {{ unit = "mm/s", low = 0, high = 50 }}
pressure = {{ unit = "bar", low = 0, high = 16 }}
temperature = {{ unit = "°C", low = -40, high = 200 }}
current = {{ unit = "A", low = 0, high = 100 }}

[profiles.freezer.channels]
temperature = {{ unit = "°C", low = -60, high = 60 }}
duty = {{ unit = "%", low = 0, high = 100 }}
door = {{ unit = "s", low = 0, high = 300 }}

[profiles.air-handler.channels]
supply_temperature = {{ unit = "°C", low = -20, high = 60 }}
humidity = {{ unit = "%", low = 0, high = 100 }}
fan_speed = {{ unit = "%", low = 0, high = 100 }}
co2 = {{ unit = "ppm", low = 0, high = 5000 }}

# Twice the default: fewer alerts while a device has a few days of history only.
[profiles.pump.decisions]
threshold = 0.5

[profiles.freezer.decisions]
threshold = 0.5

[profiles.air-handler.decisions]
threshold = 0.5
"""

HUB = """\
# Written by the demo.

[hub]
state_dir = "hub"

[broker]
url = "{url}"
protocol = "{protocol}"
client_id = "vedette-demo-hub-ingest"

[web]
port = {web_port}
"""


def write(folder: Path, broker: Broker, web_port: int) -> tuple[Path, Path]:
    """Write both files into `folder`; returns the agent's and the hub's."""
    agent, hub = folder / "agent.toml", folder / "hub.toml"
    agent.write_text(AGENT.format(gateway=GATEWAY, url=broker.url, protocol=broker.protocol), encoding="utf-8")
    hub.write_text(HUB.format(url=broker.url, protocol=broker.protocol, web_port=web_port), encoding="utf-8")
    return agent, hub
