"""A machine's history through a real broker: alerts at the hub are those of the faults, and those of `replay`."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.processes import eventually, run
from tests.system.devices import Devices
from tests.system.gateway import STREAMS, Gateway

PROFILE = "[profiles.pump.channels.temperature]\n"
START = datetime(2024, 3, 1, tzinfo=UTC).timestamp()
STEP = 900.0
DAYS = 30
READINGS = int(DAYS * 86_400 / STEP)
FAULTS = (range(1_400, 1_500), range(2_300, 2_400))
"""Readings in which the machine overheats slowly, and in which its cooling has stopped its rhythm."""
OUTSIDE = 6
"""Alerts that may be false: about one and a half a week."""


def temperature(number: int, noise: random.Random) -> float:
    """A daily rhythm that drifts upwards."""
    daily = 6.0 * math.sin(2 * math.pi * number * STEP / 86_400)
    normal = 70.0 + 0.002 * number + daily + noise.gauss(0, 0.5)
    if number in FAULTS[0]:
        return normal + 0.4 * (number - FAULTS[0].start)
    return 45.0 + noise.gauss(0, 0.5) if number in FAULTS[1] else normal


def write_history(path: Path) -> list[dict[str, str]]:
    """`time,temperature` as text, as it stands in the file."""
    noise = random.Random(5)
    rows = [
        {
            "time": datetime.fromtimestamp(START + number * STEP, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "temperature": f"{temperature(number, noise):.3f}",
        }
        for number in range(READINGS)
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("time", "temperature"))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_the_faults_of_a_history_are_found_live_and_in_replay_alike(
    new_gateway: Callable[..., Gateway], new_devices: Callable[..., Devices], tmp_path: Path
) -> None:
    gateway = new_gateway(streams=STREAMS, profiles=PROFILE)
    gateway.start()
    device = new_devices(gateway, ["pump-1"]).each[0]
    history = tmp_path / "history.csv"
    for row in write_history(history):
        payload = {"time": row["time"], "temperature": float(row["temperature"])}
        sent = device.client.publish(device.topic, json.dumps(payload), qos=1)
    sent.wait_for_publish(30)
    eventually(lambda: gateway.trace.read_bytes().count(b'"scored"') == READINGS, "every reading is scored")
    eventually(lambda: gateway.outbox()["rows"] == 0, "the hub has every alert")

    alerts = gateway.api.alerts()
    spans = [(START + fault.start * STEP, START + fault.stop * STEP) for fault in FAULTS]
    found = [[a for a in alerts if a["opened"] <= end and (a["cleared"] or end) >= start] for start, end in spans]
    assert all(found)
    assert len([a for a in alerts if not any(a in each for each in found)]) <= OUTSIDE

    scores = tmp_path / "scores.csv"
    replay = run(
        "vedette-agent", "replay", "--config", gateway.configuration, "--device", "pump-1", "--out", scores, history
    )
    assert replay.returncode == 0, replay.stderr
    with scores.open(newline="") as file:
        replayed = [row for row in csv.DictReader(file) if row["alert"] == "1"]
    raised = sorted(((e["opened"], e) for e in gateway.outbox()["history"] if e["revision"] == 1), key=lambda p: p[0])
    assert [row["time"] for row in replayed] == [
        f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%S}" for t, _ in raised
    ]
    assert [row["score"] for row in replayed] == [f"{event['score']:.6g}" for _, event in raised]
    for _, event in raised:
        assert f"{event['severity']:8}  pump-1: {event['reason']}" in replay.stderr
    assert json.loads(replay.stdout.splitlines()[-1])["alerts"] == len(alerts)
