"""A plant to look at: gateways, readings, alerts and models, kept by a hub as if they had come over the broker.

Everything goes through the hub's own doors (`commit`, `orders`, the training worker), so that the console shows what it
would show of a real plant. Readings are drawn with a fixed seed and end at `now`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine

from tests.hub.gateway import alert, row
from vedette_hub.alerts.actions import act
from vedette_hub.config import LearningSection, LimitsSection
from vedette_hub.fleet import groups, orders
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.fleet.orders import Targets
from vedette_hub.learning import jobs, registry, worker
from vedette_hub.learning.jobs import TrainRequest
from vedette_hub.store.alerts import Action
from vedette_hub.store.database import reading, writing
from vedette_models import topics
from vedette_models.messages import (
    Activation,
    Alert,
    AlertRate,
    ChannelReason,
    Counters,
    Delivery,
    Limits,
    Report,
    Restricted,
    RunningModel,
    SampleBatch,
    Segment,
    Status,
    to_bytes,
)

if TYPE_CHECKING:
    from nacl.signing import SigningKey

DAY = 86_400.0
STEP = 300.0
DAYS = 6
PIECE = 288
"""Readings of a segment."""


@dataclass(frozen=True)
class Kind:
    """A type of device: of each channel its level, the swing of a day, and its noise."""

    profile: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    level: tuple[float, ...]
    swing: tuple[float, ...]
    noise: tuple[float, ...]


PUMP = Kind("pump", ("vibration", "temperature", "current"), ("mm/s", "°C", "A"),
            (1.6, 46.0, 11.0), (0.2, 4.0, 0.8), (0.08, 0.5, 0.2))  # fmt: skip
FREEZER = Kind("freezer", ("temperature", "power"), ("°C", "W"), (-19.0, 420.0), (0.7, 60.0), (0.2, 18.0))
FAN = Kind("air-handler", ("flow", "pressure", "power"), ("m³/h", "Pa", "kW"),
           (5200.0, 240.0, 3.1), (600.0, 18.0, 0.4), (60.0, 3.0, 0.05))  # fmt: skip

PLANT: dict[str, list[tuple[str, Kind]]] = {
    "hall-a": [("pump-1", PUMP), ("pump-2", PUMP), ("pump-3", PUMP), ("fan-1", FAN)],
    "hall-b": [("pump-4", PUMP), ("pump-5", PUMP), ("fan-2", FAN)],
    "cold-store": [("freezer-1", FREEZER), ("freezer-2", FREEZER), ("freezer-3", FREEZER)],
    "roof": [("fan-3", FAN), ("fan-4", FAN)],
    "yard": [],
}
GROUPS = {"hall-a": "production", "hall-b": "production", "cold-store": "storage", "roof": "building", "yard": ""}


def build(engine: Engine, key: SigningKey, now: float) -> None:
    """Put the plant into an empty store."""
    for number, (gateway, devices) in enumerate(PLANT.items()):
        status(engine, gateway, now)
        groups.assign(engine, gateway, GROUPS[gateway])
        for place, (device, kind) in enumerate(devices):
            times, values = readings(kind, 10 * number + place, now, faulty=device == "pump-2")
            _samples(engine, gateway, device, kind, times, values, now)
    for profile, algorithm in (("pump", "lof"), ("pump", "isolation_forest"), ("freezer", "forecast")):
        train(engine, profile, algorithm, now)
    orders.push(engine, key, "pump", 1, Targets(), "ana", now - DAY)
    orders.push(engine, key, "pump", 2, Targets(group="production"), "ana", now - 3 * 3600)
    orders.push(engine, key, "freezer", 1, Targets(("cold-store",)), "ana", now - 5 * 3600)
    _running(engine, now)
    for event, said in _alerts(now):
        raise_alert(engine, event)
        for action in said:
            act(engine, (event.gateway, event.id), action)


def status(engine: Engine, gateway: str, now: float, **fields: object) -> None:
    """A gateway's status arrives."""
    devices = PLANT.get(gateway, [])
    values: dict[str, object] = {
        "gateway": gateway,
        "online": gateway != "roof",
        "reason": "lost" if gateway == "roof" else "",
        "time": now - 20,
        "started": now - 4 * DAY,
        "version": "0.1.0",
        "ingest": "waiting" if gateway == "yard" else "stalled" if gateway == "hall-b" else "receiving",
        "hub": "connected",
        "devices": len(devices),
        "silent": 1 if gateway == "cold-store" else 0,
        "quarantined": 1 if gateway == "hall-b" else 0,
        "restricted": (
            (Restricted("pump-9", "quarantined", now - 900, now + 2700, "not JSON", 212),)
            if gateway == "hall-b"
            else ()
        ),
        "outbox_rows": {"roof": 1840, "hall-b": 3}.get(gateway, 0),
        "outbox_oldest": {"roof": now - 2.6 * 3600, "hall-b": now - 4}.get(gateway),
        "outbox_hours": {"roof": 61.5, "hall-b": 204.0}.get(gateway),
        "counters": Counters(received=311_204, scored=310_877, alerts=31, suppressed=12),
        "alert_rates": {
            kind.profile: AlertRate(0.5, 2 + len(gateway) % 3, 4.2) for _, kind in devices if kind is not FAN
        },
        "limits": {"pump": {"temperature": Limits(-20.0, 120.0)}} if gateway.startswith("hall") else {},
        **fields,
    }
    said = Status(**values)  # type: ignore[arg-type]  # as above
    commit(engine, parse(topics.gateway_up(gateway, "status"), to_bytes(said)), now, LimitsSection())


def readings(kind: Kind, seed: int, now: float, *, faulty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(R,) times and (R, C) values that end at `now`; a faulty device wanders off in the last two hours."""
    draw = np.random.default_rng(seed)
    count = int(DAYS * DAY / STEP)
    times = np.floor(now / STEP) * STEP - STEP * np.arange(count)[::-1]
    angle = 2 * np.pi * (times / DAY)[:, None] + np.arange(len(kind.level))
    values = np.array(kind.level) + np.array(kind.swing) * np.sin(angle)
    values += draw.normal(0.0, 1.0, values.shape) * np.array(kind.noise)
    if faulty:
        values[-24:, 0] += np.linspace(0.2, 2.6, 24)
        values[-18:, 1] += np.linspace(0.5, 9.0, 18)
    return times, values


def train(engine: Engine, profile: str, algorithm: str, now: float) -> None:
    """Train a version as the hub's worker does."""
    with writing(engine) as connection:
        jobs.enqueue(connection, TrainRequest(profile, algorithm), "ana", now, 10)
        job = jobs.claim(connection, now)
    assert job is not None
    worker.work(engine, LearningSection(trees=20, max_vectors=3_000), job.number)
    with reading(engine) as connection:
        done = jobs.find(connection, job.number)
    assert done is not None
    assert done.state == "succeeded", done.message


def raise_alert(engine: Engine, event: Alert) -> None:
    """An event of an alert arrives."""
    rows = Delivery((row(1, event, epoch=f"e-{event.gateway}-{event.id}-{event.revision}"),))
    commit(engine, parse(topics.gateway_up(event.gateway, "alerts"), to_bytes(rows)), event.time + 1, LimitsSection())


def _samples(
    engine: Engine, gateway: str, device: str, kind: Kind, times: np.ndarray, values: np.ndarray, now: float
) -> None:
    for number, start in enumerate(range(0, len(times), PIECE)):
        part = slice(start, start + PIECE)
        segment = Segment(device, tuple(times[part].tolist()), tuple(map(tuple, values[part].tolist())))
        suspect = device == "pump-2" and start + PIECE >= len(times)
        batch = SampleBatch(kind.profile, kind.channels, (segment,), float(times[part][-1]), suspect=suspect)
        body = to_bytes(Delivery((row(number + 1, to_bytes(batch), epoch=f"s-{device}"),)))
        commit(engine, parse(topics.gateway_up(gateway, "samples"), body), now, LimitsSection())


def _running(engine: Engine, now: float) -> None:
    """What was ordered runs, but on the roof, which is away, and in hall-b, where it was refused."""
    with reading(engine) as connection:
        versions = {(model.profile, model.version): model for model in registry.list_versions(connection, limit=10)}
    old, new, cold = versions["pump", 1], versions["pump", 2], versions["freezer", 1]
    runs = {
        "hall-a": {"pump": RunningModel(2, new.sha256, new.detector, now - 3 * 3600)},
        "hall-b": {"pump": RunningModel(1, old.sha256, old.detector, now - DAY)},
        "cold-store": {"freezer": RunningModel(1, cold.sha256, cold.detector, now - 5 * 3600, on_probation=True)},
    }
    for gateway, models in runs.items():
        status(engine, gateway, now, models=models, manifest=2)
    refused = Activation("pump", new.sha256, 2, "refused", "golden_mismatch", "score 0.41, expected 0.62", 2)
    body = to_bytes(Delivery((row(1, Report(now - 2 * 3600, activations=(refused,)), epoch="r"),)))
    commit(engine, parse(topics.gateway_up("hall-b", "reports"), body), now, LimitsSection())


def _alerts(now: float) -> Iterator[tuple[Alert, list[Action]]]:
    def made(number: int, device: str, of: Kind, gateway: str, ago: float, **fields: object) -> Alert:
        return alert(
            number,
            **{
                "id": f"{number:04x}",
                "gateway": gateway,
                "device": device,
                "profile": of.profile,
                "opened": now - ago,
                "time": now - ago,
                "revision": 1,
                **fields,
            },
        )

    hot = (
        ChannelReason("vibration", 4.1, 1.3, 2.0, 0.71, unit="mm/s"),
        ChannelReason("temperature", 57.2, 41.0, 51.0, 0.29, unit="°C"),
    )
    yield made(1, "pump-2", PUMP, "hall-a", 2400, severity="critical", score=9.4, channels=hot, detector="ensemble",
               reason="vibration 4.1 mm/s, usually 1.3–2.0; 71 % of the score"), []  # fmt: skip
    cold = (ChannelReason("temperature", -11.2, -20.4, -17.3, 1.0, unit="°C"),)
    yield made(2, "freezer-2", FREEZER, "cold-store", 5400, severity="high", score=4.6, channels=cold,
               detector="forecast", reason="temperature −11.2 °C, usually −20.4 to −17.3"), []  # fmt: skip
    yield made(3, "freezer-3", FREEZER, "cold-store", 9800, kind="silent", severity="medium", score=2.2, channels=(),
               reason="nothing for 2.7 h, usually a reading every 5 min"), []  # fmt: skip
    power = (ChannelReason("power", 4.4, 2.7, 3.6, 0.8, aspect="average over the last 2 h", unit="kW"),)
    yield made(4, "fan-1", FAN, "hall-a", 700, severity="low", score=1.3, channels=power,
               reason="power 4.4 kW on average over the last 2 h, usually 2.7–3.6"), []  # fmt: skip
    yield made(5, "pump-4", PUMP, "hall-b", 26_000, severity="medium", score=2.9, channels=hot,
               reason="vibration 3.4 mm/s, usually 1.3–2.1; 64 % of the score"), [
        Action("acknowledge", now - 25_000, "ana", "Bearing ordered, technician on Thursday"),
    ]  # fmt: skip
    for number in range(6, 30):
        gateway = ("hall-a", "hall-b", "roof")[number % 3]
        device, kind = PLANT[gateway][number % len(PLANT[gateway])]
        ago = 30_000.0 + 9_000.0 * number
        severity = ("low", "medium", "low", "high")[number % 4]
        said = [Action("acknowledge", now - ago + 600, "ben")] if number % 3 else []
        said += (
            [Action("label", now - ago + 700, "ben", "", ("true", "false", "normal")[number % 3])] if number % 2 else []
        )
        channel, unit = kind.channels[number % 2], kind.units[number % 2]
        level, noise = kind.level[number % 2], kind.noise[number % 2]
        why = ChannelReason(channel, level + 9 * noise, level - 3 * noise, level + 3 * noise, 0.9, unit=unit)
        yield made(number, device, kind, gateway, ago, severity=severity, score=1.1 + number % 5, channels=(why,),
                   state="cleared", cleared=now - ago + 1500, cleared_by="quiet",
                   reason=f"{channel} {level + 9 * noise:.4g} {unit}, usually {level - 3 * noise:.4g}–"
                          f"{level + 3 * noise:.4g}; 90 % of the score"), said  # fmt: skip
