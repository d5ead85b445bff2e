"""Configuration: what agent and hub of the demo are told, written as anybody would write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from examples.demo.broker import Broker

GATEWAY = "demo"
TOPIC = "plant/{device_type}/{device}"
"""Where a device publishes."""
SAMPLE_EVERY = 2.0
"""Seconds between two samples of what the agent saw."""
ENROLLED = "enrolled"
"""Folder for what `vedette-hub enroll` writes."""

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

# Whom to take models from: written by `vedette-hub enroll`.
[models]
key_ring = "{key_ring}"

# Ten minutes are a real plant's pace; this one is in a hurry.
[samples]
every = "{sample_every:g}s"
bytes_per_day = "1 GiB"

# The plant's past arrives in fast motion.
[time]
max_age = "none"

# Everything is kept, so that the demo can compare alert by alert.
[outbox]
history_rows = 100_000
preallocate = false  # the folder is removed in the end

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


def write_hub(folder: Path, broker: Broker, web_port: int) -> Path:
    """Write the hub's file into `folder`; returns its path."""
    path = folder / "hub.toml"
    path.write_text(HUB.format(url=broker.url, protocol=broker.protocol, web_port=web_port), encoding="utf-8")
    return path


def write_agent(folder: Path, broker: Broker) -> Path:
    """Write the agent's file into `folder`; returns its path. It can be used once the gateway is enrolled."""
    path = folder / "agent.toml"
    filled = AGENT.format(
        gateway=GATEWAY,
        url=broker.url,
        protocol=broker.protocol,
        key_ring=f"{ENROLLED}/keyring",
        sample_every=SAMPLE_EVERY,
    )
    path.write_text(filled, encoding="utf-8")
    return path
