"""A simulated beehive for the profile beside this file, whose colony swarms: `python hive.py [BROKER [PORT]]`.

It publishes six days, one reading every ten minutes, as fast as the broker takes them. On the last day half of the bees
leave: the hive is lighter within minutes, and sounds different for an hour.
"""

from __future__ import annotations

import json
import math
import sys
import time
from datetime import UTC, datetime
from random import Random

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

HIVE = "hive-3"
DAYS = 6
INTERVAL = 600.0
READINGS = int(DAYS * 86_400 / INTERVAL)
SWARM = int(READINGS * 0.85)


def reading(number: int, when: float, random: Random) -> dict[str, object]:
    """What the hive says at a time, seconds since 1970."""
    sun = math.cos(2.0 * math.pi * (when / 86_400.0 - 14.0 / 24.0))
    swarmed = number >= SWARM
    # the foragers are out in the day, and what they bring stays
    weight = 42.0 - 0.6 * max(0.0, sun) + 0.3 * number / READINGS - (2.4 if swarmed else 0.0)
    return {
        "at": datetime.fromtimestamp(when, UTC).isoformat(),
        "n": number,
        "weight": round(weight + random.gauss(0.0, 0.03), 2),
        "brood": {"temperature": round(34.8 + 0.2 * sun + random.gauss(0.0, 0.08), 2)},
        "sound": round(215.0 + 15.0 * sun + random.gauss(0.0, 4.0) + (90.0 if SWARM <= number < SWARM + 6 else 0.0)),
    }


def main(host: str = "localhost", port: str = "1883") -> None:
    """Publish everything, and wait for the last acknowledgement."""
    random = Random(3)
    device = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=HIVE)
    device.connect(host, int(port))
    device.loop_start()
    start = time.time() - READINGS * INTERVAL
    sent = [
        device.publish(f"apiary/{HIVE}/scale", json.dumps(reading(number, start + number * INTERVAL, random)), qos=1)
        for number in range(READINGS)
    ]
    for message in sent:
        message.wait_for_publish(timeout=60.0)
    device.disconnect()
    device.loop_stop()
    print(f"{HIVE} has published {READINGS} readings; it swarmed at reading {SWARM}")


if __name__ == "__main__":
    main(*sys.argv[1:])
