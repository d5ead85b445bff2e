"""What a gateway's doctor publishes to find out what it may is nothing to a hub."""

from __future__ import annotations

from pathlib import Path

from vedette_agent.config import load
from vedette_agent.doctor import access
from vedette_hub.fleet.arrivals import parse

TEXT = """
gateway.id = "line 3"
devices.url = "mqtt://broker"
hub.url = "mqtt://hub"
profiles.pump.channels = ["flow"]
[[streams]]
topic = "plant/{device}"
profile = "pump"
"""


def test_it_causes_no_arrival_and_no_receipt(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(TEXT)
    published = access.writes(load(tmp_path / "agent.toml", {}), "hub")

    assert [write.topic.rpartition("/")[2] for write in published] == ["status", "alerts", "reports", "samples", "live"]
    assert [parse(write.topic, write.payload) for write in published] == [[], [], [], [], []]
