"""Reasons: of a fault in one of several channels, how often does the alert name that channel first?

    python -m benchmarks.reasons --json

Generated plants of five channels that follow two hidden loads, with noise of their own. Each device learns 1,500
readings with everything as shipped, without a hub; then one channel of one device has a fault of six of its own
standard deviations: a spike (one reading), a shift (it stays there), noise (it scatters so far), or stuck (it is held
at such a value, without noise). Counted are the alerts of each fault, and which channel stands first; and, because the
detector that says most explains an alert, for each detector which channel it puts first where it reaches its own
threshold.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_agent.reading.alert_state import ANOMALY
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_agent.reading.checkpoint import Checkpoint
    from vedette_models.messages import Alert

FAULTS = ("spike", "shift", "noise", "stuck")
CHANNELS = (
    Channel("vibration", "mm/s"),
    Channel("temperature", "°C"),
    Channel("pressure", "bar"),
    Channel("flow", "l/s"),
    Channel("current", "A"),
)
LEVEL = np.array([2.0, 61.0, 4.5, 18.0, 7.2])
SPREAD = np.array([0.2, 1.5, 0.15, 0.8, 0.3])
START = 1.7e9
LEARNT, LASTS, EVERY = 1_500, 60, 60.0
"""Readings before the fault and of it, and seconds between two."""
SIGMAS = 6.0
EXAMPLES = 12


class Plants(NamedTuple):
    """D devices with a fault each."""

    values: NDArray[np.float64]
    """(T, D, C)"""
    fault: NDArray[np.intp]
    """(D,) which of FAULTS."""
    channel: NDArray[np.intp]
    """(D,) where."""


def plants(devices: int, seed: int) -> Plants:
    """Readings of so many devices, each with its own loads, and with a fault at the end."""
    draw = np.random.default_rng(seed)
    steps = LEARNT + LASTS
    loads = _autoregressive(draw.normal(size=(steps, devices, 2)), 0.9)
    mixing = draw.normal(size=(devices, 2, len(CHANNELS)))
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)
    own = draw.normal(size=(steps, devices, len(CHANNELS)))
    share = draw.uniform(0.3, 0.95, (devices, len(CHANNELS)))  # of a channel's variance that the loads explain
    unit = np.sqrt(share) * np.einsum("tdl,dlc->tdc", loads, mixing) + np.sqrt(1.0 - share) * own
    fault, channel = np.arange(devices) % len(FAULTS), draw.integers(0, len(CHANNELS), devices)
    sign = draw.choice([-1.0, 1.0], devices)
    for device in range(devices):
        series = unit[LEARNT:, device, channel[device]]
        kind = FAULTS[fault[device]]
        if kind == "spike":
            series[0] += sign[device] * SIGMAS
        elif kind == "shift":
            series += sign[device] * SIGMAS
        elif kind == "noise":
            series += SIGMAS * draw.normal(size=LASTS)
        else:
            series[:] = sign[device] * SIGMAS
    return Plants(LEVEL + SPREAD * unit, fault, channel)


def _autoregressive(noise: NDArray[np.float64], memory: float) -> NDArray[np.float64]:
    """Noise (T, …) into processes of the same variance that remember."""
    for step in range(1, len(noise)):
        noise[step] = memory * noise[step - 1] + np.sqrt(1.0 - memory * memory) * noise[step]
    return noise


def _learnt(made: Plants) -> tuple[Checkpoint, int]:
    """What a gateway knows of all devices before the faults, and how many alerts it has raised by then."""
    devices = len(made.fault)
    watch = _watch(devices)
    rows = np.array([watch.table.row(_name(device)) for device in range(devices)])
    raised = 0
    for step, values in enumerate(made.values[:LEARNT]):
        decided = watch.process(ReadingBatch.of(rows, np.full(devices, START + EVERY * step), values)).decided
        raised += sum(event.revision == 1 for event in decided.events)
    return watch.checkpoint(START), raised


def _raised(known: Checkpoint, made: Plants, device: int) -> tuple[list[Alert], dict[str, int]]:
    """The alerts of one fault, on a fleet that is otherwise well, and which channel each detector puts first."""
    watch = _watch(len(made.fault))
    watch.restore(known)
    row = watch.table.row(_name(device))
    values = made.values[LEARNT:, device]
    time = START + EVERY * np.arange(LEARNT, LEARNT + LASTS, dtype=np.float64)
    batch = ReadingBatch.of(np.full(LASTS, row), time, values)
    verdicts, decided = watch.process(batch)
    first = {}
    for said in verdicts.scored:
        loud = np.flatnonzero(said.strength >= 1.0)
        if len(loud):
            first[said.detector] = int(said.scores.by_channel[loud[0]].argmax())
    return [event for event in decided.events if event.revision == 1], first


def _watch(devices: int) -> ProfileWatch:
    return ProfileWatch(Profile("plant", CHANNELS), "gateway", "benchmark", devices)


def _name(device: int) -> str:
    return f"plant-{device}"


def run(devices: int, seed: int) -> dict[str, Any]:
    """All figures."""
    made = plants(devices, seed)
    known, before = _learnt(made)
    raised, first, noticed, reached, ranks, kinds = (Counter[str]() for _ in range(6))
    examples: list[str] = []
    wrong: list[str] = []
    for device in range(devices):
        kind, channel = FAULTS[made.fault[device]], CHANNELS[made.channel[device]].name
        events, ranked = _raised(known, made, device)
        for detector, named in ranked.items():
            reached[detector] += 1
            ranks[detector] += named == int(made.channel[device])
        noticed[kind] += len(events) > 0
        for event in events:
            kinds[event.kind] += 1
            if event.kind != ANOMALY:
                continue  # a fault of a sensor names its channel, there is nothing to rank
            right = bool(event.channels) and event.channels[0].channel == channel
            raised[kind] += 1
            first[kind] += right
            (examples if right else wrong).append(f"{kind} of {channel}: {event.reason}")
    return {
        "share_first": round(first.total() / max(raised.total(), 1), 4),
        "alerts": raised.total(),
        "first": first.total(),
        "injected": devices,
        "noticed": noticed.total(),
        "alerts_before_faults": before,
        "by_fault": {
            kind: {"injected": int((made.fault == number).sum()), "noticed": noticed[kind], "alerts": raised[kind]}
            | {"first": first[kind]}
            for number, kind in enumerate(FAULTS)
        },
        "by_detector": {name: {"reached": reached[name], "first": ranks[name]} for name in sorted(reached)},
        "kinds": dict(kinds),
        "examples": examples[:: max(1, len(examples) // EXAMPLES)][:EXAMPLES],
        "wrong": wrong[:EXAMPLES],
        "learnt_readings": LEARNT,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=240, help="devices, one fault each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    result = run(arguments.devices, arguments.seed)
    if arguments.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        if isinstance(value, list):
            print(f"{key}:", *value, sep="\n    ")
        else:
            print(f"{key:22} {value}")


if __name__ == "__main__":
    main()
