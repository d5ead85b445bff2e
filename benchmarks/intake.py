"""Intake: what the rate limit, the watermark and the quarantine cost per reading, in processor time.

    python -m benchmarks.intake [--batch 512] [--devices 512] [--rounds 400] --json

The same batches go through decoding with and without them, in turn; the difference of the medians is what is counted.
No reading is refused, as with honest devices.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from vedette_agent.config.models import Limits, Stream, TimePolicy
from vedette_agent.mqtt.message import Message
from vedette_agent.reading.decoding.decoder import Decoder
from vedette_agent.reading.devices import DeviceTable
from vedette_agent.reading.intake import Intake
from vedette_agent.reading.quarantine import Quarantine
from vedette_models.profile import Channel, Profile

NOW = 1_790_000_000.0
SUSPECTS = 8
"""Devices with a few bad messages, so that the quarantine has somebody to count."""


def payload(second: float) -> bytes:
    """A reading of two channels with its time."""
    return json.dumps({"ts": second, "vibration": 1.25, "temperature": 41.5}).encode()


def measure(batch: int, devices: int, rounds: int) -> dict[str, float]:
    """Microseconds of processor time per reading."""
    profile = Profile("pump", (Channel("vibration"), Channel("temperature")))
    table = DeviceTable(10_000)
    limits, policy = Limits(), TimePolicy()
    decoder = Decoder(
        [Stream(topic="plant/{device}/t", profile="pump")], {"pump": profile}, policy, limits, {"pump": table}
    )
    intake = Intake(policy, limits)
    quarantine = Quarantine(limits.quarantine_after, limits.quarantine_first, limits.quarantine_longest)
    for i in range(SUSPECTS):
        for _ in range(10):
            quarantine.bad(f"suspect-{i}", "not_json", NOW, 0.0)
    without: list[float] = []
    admitting: list[float] = []
    listening: list[float] = []
    for turn in range(rounds):
        second = NOW + turn
        messages = [
            Message(f"plant/d{(turn * batch + i) % devices}/t", payload(second + 1e-3 * i), i) for i in range(batch)
        ]
        parts = {}
        for listen in (False, True) if turn % 2 else (True, False):
            began = time.process_time_ns()
            if listen:
                quarantine.pass_time(second, float(turn))
                decoded = decoder.decode(messages, second, 0, quarantine.names)
            else:
                decoded = decoder.decode(messages, second)
            (listening if listen else without).append((time.process_time_ns() - began) / batch / 1e3)
            parts[listen] = decoded.profiles["pump"]
        began = time.process_time_ns()
        quarantine.heard(parts[True].batch.device, table, float(turn))
        admitted, dead = intake.admit(parts[True], table, second, float(turn))
        admitting.append((time.process_time_ns() - began) / batch / 1e3)
        if dead or len(admitted.batch) != batch:
            raise SystemExit(f"an honest device was refused: {dead[:3]}")
    decode = statistics.median(without)
    return {
        "decode_us": round(decode, 3),
        "intake_us": round(statistics.median(admitting), 3),
        "names_us": round(statistics.median(listening) - decode, 3),
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--devices", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.batch, arguments.devices, arguments.rounds)
    found["total_us"] = round(found["intake_us"] + max(0.0, found["names_us"]), 3)
    if arguments.json:
        print(json.dumps({**vars(arguments), **found}))
    else:
        for name, value in found.items():
            print(f"{name:24} {value:8.3f}")


if __name__ == "__main__":
    main()
