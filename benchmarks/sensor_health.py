"""Sensor health: a matrix of faults put into simulated devices, run through the gateway's own stages.

    python -m benchmarks.sensor_health --json

All devices are watched by one `ProfileWatch` with its own detectors, readings in order of arrival in batches of 512,
silence looked for after each. Detected: an alert of the fault's own kind between its beginning and twelve readings
after its end. Misclassified: an alert of another kind of fault in that time. False: an alert about a fault at any other
time, or of a sound device. Anomalies are no alerts about faults.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.sensor_faults import PROFILE, RHYTHMS, RUNS, Fault, Recording, faults, faulty, sound
from vedette_agent.reading.alert_state import ANOMALY
from vedette_agent.reading.health.listening import Listening
from vedette_agent.reading.health.sensor_health import SensorHealth
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.readings import Quality, ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vedette_models.messages import Alert

BATCH = 512
MAX_AHEAD = 300.0
HABITS = ("prompt", "slow", "buffered")


class Said(NamedTuple):
    """An alert event and when it was caused, by the gateway's clock."""

    arrival: float
    alert: Alert


class Account(NamedTuple):
    """What became of a set of recordings."""

    injected: int
    detected: int
    misclassified: int
    false: int
    matrix: dict[str, dict[str, str]]
    """Detected of injected, by fault and run."""
    missed: list[str]
    wrong: list[str]
    anomalies_left: int
    """Anomalies of jumps that were not cleared as a sensor fault."""
    device_weeks: float


def recordings(seed: int, wanted: Sequence[Fault], *, with_sound: bool = True) -> list[Recording]:
    """Every fault on every run and rhythm where it makes sense, and sound devices of every habit."""
    random = np.random.default_rng(seed)
    made = [faulty(run, rhythm, f, random) for f in wanted for run in RUNS for rhythm in RHYTHMS if f.fits(run)]
    if with_sound:
        made += [sound(run, rhythm, habit, random) for run in RUNS for rhythm in RHYTHMS for habit in HABITS]
    return made


def batches(devices: Sequence[Recording]) -> Iterator[ReadingBatch]:
    """All readings in order of arrival, as the decoder would hand them on."""
    row = np.concatenate([np.full(len(d.time), i) for i, d in enumerate(devices)])
    arrival = np.concatenate([d.arrival for d in devices])
    sent = np.concatenate([d.time for d in devices])
    values = np.concatenate([d.values for d in devices])
    order = np.argsort(arrival, kind="stable")
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        ahead = sent[some] - arrival[some]
        far = ahead > MAX_AHEAD
        quality = np.where(far, int(Quality.CLOCK_AHEAD), 0).astype(np.uint8)
        when = np.where(far, arrival[some], sent[some])
        yield ReadingBatch(row[some], when, values[some], quality, np.arange(len(some)), arrival[some], ahead)


def watch(devices: Sequence[Recording]) -> dict[str, list[Said]]:
    """Everything that is said of each device."""
    watched = ProfileWatch(PROFILE, "gateway", "benchmark", len(devices))
    for i, _ in enumerate(devices):
        watched.table.row(str(i))
    listening = Listening()
    said: dict[str, list[Said]] = defaultdict(list)
    for batch in batches(devices):
        arrival = batch.arrival
        if arrival is None:
            raise ValueError("the benchmark needs arrivals")
        heard = np.array([listening.heard(float(at)) for at in arrival])
        decided = watched.process(batch, heard).decided
        for row, event in zip(decided.rows, decided.events, strict=True):
            said[event.device].append(Said(float(arrival[row]), event))
        now = float(arrival[-1])
        for event in watched.tick(listening.clock, now).events:
            said[event.device].append(Said(now, event))
    return said


def account(devices: Sequence[Recording], said: dict[str, list[Said]]) -> Account:
    """Count."""
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    misclassified = false = left = 0
    missed, wrong = [], []
    for i, device in enumerate(devices):
        kinds: Counter[str] = Counter()
        anomalies: dict[str, str] = {}
        for at, alert in said.get(str(i), []):
            if at > device.arrival[-1]:
                break  # its recording is over: from now on it is silent indeed
            due = device.began <= at <= device.ended
            if alert.kind == ANOMALY:
                if due and device.fault is not None and device.fault.kind == "jump":
                    anomalies[alert.id] = alert.cleared_by
            elif alert.revision == 1:
                if due:
                    kinds[alert.kind] += 1
                if not due or (device.fault is not None and alert.kind != device.fault.kind):
                    wrong.append(f"{device.name}: {alert.kind}: {alert.reason}")
                    false += not due
        left += sum(by != "sensor fault" for by in anomalies.values())
        if device.fault is not None:
            found = device.fault.kind in kinds
            hits[device.fault.name, device.run].append(found)
            misclassified += any(kind != device.fault.kind for kind in kinds)
            if not found:
                missed.append(device.name)
    matrix: dict[str, dict[str, str]] = defaultdict(dict)
    for (fault, run), found_ones in hits.items():
        matrix[fault][run] = f"{sum(found_ones)}/{len(found_ones)}"
    every = [one for found_ones in hits.values() for one in found_ones]
    weeks = sum(float(d.arrival[-1] - d.arrival[0]) for d in devices) / 604_800.0
    return Account(len(every), sum(every), misclassified, false, dict(matrix), missed, wrong, left, weeks)


def together(parts: Sequence[Account]) -> dict[str, Any]:
    """The accounts of several seeds."""
    matrix: dict[str, dict[str, str]] = {}
    for fault in parts[0].matrix:
        matrix[fault] = {}
        for run in parts[0].matrix[fault]:
            cells = [part.matrix[fault][run].split("/") for part in parts]
            matrix[fault][run] = f"{sum(int(c[0]) for c in cells)}/{sum(int(c[1]) for c in cells)}"
    return {
        "injected": sum(part.injected for part in parts),
        "detected": sum(part.detected for part in parts),
        "misclassified": sum(part.misclassified for part in parts),
        "false": sum(part.false for part in parts),
        "matrix": matrix,
        "missed": [name for part in parts for name in part.missed],
        "wrong": [name for part in parts for name in part.wrong],
        "anomalies_of_jumps_left": sum(part.anomalies_left for part in parts),
        "device_weeks": round(sum(part.device_weeks for part in parts), 1),
    }


def cost(devices: int = 512, channels: int = 5, count: int = 40) -> dict[str, float]:
    """CPU of the checks alone per reading, and the memory of what they know, at batches of 512 devices."""
    random = np.random.default_rng(0)
    profile = PROFILE.__class__("cost", tuple(PROFILE.channels[0].__class__(f"c{i}") for i in range(channels)))
    from vedette_agent.reading.devices import DeviceTable

    table, health = DeviceTable(devices), SensorHealth(profile)
    for i in range(devices):
        table.row(str(i))
    spent = []
    for i in range(count):
        when = np.full(devices, 1.7e9 + 60.0 * i)
        values = random.normal(20.0, 1.0, (devices, channels))
        ahead = np.full(devices, -0.1)
        quality = np.zeros(devices, np.uint8)
        batch = ReadingBatch(np.arange(devices), when, values, quality, np.arange(devices), when + 0.1, ahead)
        began = time.process_time()
        health.examine(batch, table, np.full(devices, 60.0 * i))
        spent.append((time.process_time() - began) / devices)
    held = sum(array.nbytes for array in health.state(devices).values())
    return {
        "us_per_reading": round(1e6 * float(np.median(spent)), 2),
        "bytes_per_device": round(held / devices, 1),
    }


def run(seeds: Sequence[int]) -> dict[str, Any]:
    """All figures."""
    began = time.process_time()
    full = [_one(seed, faults(), with_sound=True) for seed in seeds]
    result = together(full)
    half = together([_one(seed + 1_000, faults(0.5), with_sound=False) for seed in seeds])
    short: dict[str, dict[str, str]] = {}
    for length in (1, 4, 8):
        jumps = [fault for fault in faults(jump=length) if fault.kind == "jump"]
        part = together([_one(seeds[0] + 2_000 + length, jumps, with_sound=False)])
        short[f"{length} readings"] = {name: _sum(cells) for name, cells in part["matrix"].items()}
    return {
        **result,
        "half_severity": half,
        "shorter_jumps": short,
        "cost": cost(),
        "conditions": {
            "seeds": list(seeds),
            "jump_readings": 10,
            "rhythms": {name: values[0] for name, values in RHYTHMS.items()},
            "sound_devices": len(RUNS) * len(RHYTHMS) * len(HABITS) * len(seeds),
            "cpu_seconds": round(time.process_time() - began, 1),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "processors": os.cpu_count(),
        },
    }


def _one(seed: int, wanted: Sequence[Fault], *, with_sound: bool) -> Account:
    devices = recordings(seed, wanted, with_sound=with_sound)
    return account(devices, watch(devices))


def _sum(cells: dict[str, str]) -> str:
    pairs = [cell.split("/") for cell in cells.values()]
    return f"{sum(int(pair[0]) for pair in pairs)}/{sum(int(pair[1]) for pair in pairs)}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, action="append", help="of the simulation; may be given several times")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    result = run(arguments.seed or [0, 1])
    if arguments.json:
        print(json.dumps(result))
        return
    for name, part in (("full severity", result), ("half the severity", result["half_severity"])):
        print(f"{name}: {part['detected']} of {part['injected']} detected, {part['misclassified']} misclassified, ")
        print(f"  {part['false']} false in {part['device_weeks']} device-weeks")
        for fault, cells in part["matrix"].items():
            print(f"  {fault:24} " + "  ".join(f"{run} {cell}" for run, cell in cells.items()))
        for line in (*part["missed"], *part["wrong"]):
            print(f"    {line}")
    for length, cells in result["shorter_jumps"].items():
        print(f"jumps of {length}: " + ", ".join(f"{name} {cell}" for name, cell in cells.items()))
    print(result["cost"], result["conditions"])


if __name__ == "__main__":
    main()
