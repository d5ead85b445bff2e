"""Simulated devices: three types whose readings follow the time of day, load and weather, with noise and drift.

A device is advanced one reading after the other. A fault changes the device, not its numbers: a failed compressor
stops, and the temperature follows.
"""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86_400.0
INTERVAL = 300.0
"""Simulated seconds between two readings of a device."""


class Device(Protocol):
    """Something that is read every INTERVAL seconds."""

    name: str

    def read(self, time: float, fault: str | None, progress: float) -> Mapping[str, float]:
        """Its channels at `time` (seconds since 1970), while `fault` has come as far as `progress` (0 to 1)."""
        ...


class Wander:
    """Slow random drift around 0, back towards it (an Ornstein-Uhlenbeck process)."""

    def __init__(self, random: Random, size: float, readings: float) -> None:
        self._random, self._keep = random, math.exp(-1.0 / readings)
        self._step = size * math.sqrt(1.0 - self._keep**2)
        self.value = random.gauss(0.0, size)

    def step(self) -> float:
        """The next value; its standard deviation is `size`, its memory `readings` readings."""
        self.value = self._keep * self.value + self._random.gauss(0.0, self._step)
        return self.value


def rhythm(time: float, peak_hour: float) -> float:
    """The daily rhythm at a time, -1 to 1, highest at `peak_hour` (UTC)."""
    return math.cos(2.0 * math.pi * (time / DAY - peak_hour / 24.0))


class Pump:
    """A circulation pump: load decides vibration, pressure, current and, slowly, the temperature of its bearing."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self._random = name, Random(seed)
        self._load = Wander(self._random, 0.02, 12)
        self._size = self._random.uniform(0.9, 1.1)
        self._temperature = 42.0

    def read(self, time: float, fault: str | None, progress: float) -> Mapping[str, float]:
        """Vibration in mm/s, pressure in bar, temperature in °C, current in A."""
        noise = self._random.gauss
        load = 0.6 + 0.2 * rhythm(time, 14.0) + self._load.step()
        vibration = self._size * (1.1 + 0.8 * load) + noise(0.0, 0.07)
        pressure = 4.6 - 0.7 * load + noise(0.0, 0.03)
        current = self._size * (5.0 + 8.0 * load) + noise(0.0, 0.15)
        heat = 30.0 + 20.0 * load
        if fault == "bearing wear":
            spike = self._random.random() < 0.25
            vibration += 2.5 * progress + (self._random.uniform(1.5, 4.0) if spike else 0.0)
            heat += 15.0 * progress
        elif fault == "pressure loss":
            pressure *= 1.0 - 0.55 * min(1.0, 3.0 * progress)
            current *= 0.8
        self._temperature += 0.1 * (heat - self._temperature)
        broken_wire = fault == "impossible temperature"
        return {
            "vibration": round(max(0.0, vibration), 3),
            "pressure": round(pressure, 3),
            "temperature": 850.0 if broken_wire else round(self._temperature + noise(0.0, 0.3), 2),
            "current": round(current, 2),
        }


class Freezer:
    """A cold store: the compressor works as much as heat through walls and door demands."""

    SET_POINT = -20.0

    def __init__(self, name: str, seed: int) -> None:
        self.name, self._random = name, Random(seed)
        self._visitors = Wander(self._random, 0.05, 12)
        self._temperature = self.SET_POINT
        self._duty = 45.0

    def read(self, time: float, fault: str | None, progress: float) -> Mapping[str, float]:
        """Temperature in °C, compressor duty in %, seconds the door was open since the reading before."""
        noise = self._random.gauss
        visitors = max(0.0, 0.5 + 0.35 * rhythm(time, 13.0) + self._visitors.step())
        door = min(INTERVAL, max(0.0, 20.0 * visitors + noise(0.0, 3.0)))
        ambient = 21.0 + 3.0 * rhythm(time, 15.0)
        if fault == "door left open":
            door = INTERVAL
        heat = 0.012 * (ambient - self._temperature) + 0.012 * door
        wanted = 45.0 + 25.0 * (self._temperature - self.SET_POINT) + 18.0 * (heat - 0.6)
        self._duty += 0.5 * (min(100.0, max(0.0, wanted)) - self._duty)
        if fault == "compressor failure":
            self._duty = 0.0
        self._temperature += heat - 0.0135 * self._duty
        return {
            "temperature": round(self._temperature + noise(0.0, 0.12), 2),
            "duty": round(min(100.0, max(0.0, self._duty + noise(0.0, 1.5))), 1),
            "door": round(door, 1),
        }


class AirHandler:
    """Ventilation of an office floor: people bring carbon dioxide, the fan follows it, the coil holds the supply."""

    OUTSIDE = 420.0

    def __init__(self, name: str, seed: int) -> None:
        self.name, self._random = name, Random(seed)
        self._people = Wander(self._random, 0.03, 12)
        self._weather = Wander(self._random, 0.3, 40)
        self._co2 = 600.0
        self._fan = 50.0

    def read(self, time: float, fault: str | None, progress: float) -> Mapping[str, float]:
        """Supply temperature in °C, humidity in %, fan speed in %, carbon dioxide in ppm."""
        noise = self._random.gauss
        people = max(0.0, 0.5 + 0.35 * rhythm(time, 14.0) + self._people.step())
        weather = self._weather.step()
        outside = 16.0 + 6.0 * rhythm(time, 15.0) + weather
        self._fan += 0.3 * (30.0 + (self._co2 - self.OUTSIDE) / 8.0 - self._fan)
        self._fan = min(100.0, self._fan)
        # a damper that is stuck nearly shut lets little of the fan's air through
        air = self._fan * (0.25 if fault == "stuck damper" else 1.0)
        self._co2 += 60.0 * people - 0.0045 * air * (self._co2 - self.OUTSIDE)
        supply = 18.0 + 0.08 * (outside - 16.0)
        if fault == "stuck damper":
            supply += 3.0 * min(1.0, 4.0 * progress)
        return {
            "supply_temperature": round(supply + noise(0.0, 0.08), 2),
            "humidity": round(45.0 - 4.0 * rhythm(time, 15.0) + 1.5 * weather + noise(0.0, 0.6), 1),
            "fan_speed": round(min(100.0, max(0.0, self._fan + noise(0.0, 1.0))), 1),
            "co2": round(self._co2 + noise(0.0, 10.0), 0),
        }
