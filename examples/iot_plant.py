"""Simulated readings of a plant, and what goes wrong in them: for `iot_monitoring`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from examples.injected import DAY, HOUR, WEEK, Injected
from examples.watching import Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEGIN = datetime(2024, 3, 4, tzinfo=UTC).timestamp()
"""A Monday."""
WEEKS = 4
PUMPS, ROOMS = ("pump-1", "pump-2", "pump-3"), ("cold-1", "cold-2", "cold-3")
PUMP_CHANNELS, ROOM_CHANNELS = ("temperature", "vibration", "pressure"), ("temperature", "humidity")
TEMPERATURE, VIBRATION, PRESSURE, HUMIDITY = 0, 1, 2, 1
PUMP_EVERY, ROOM_EVERY = 300.0, 600.0


class Fleet(NamedTuple):
    """Devices of one profile."""

    profile: str
    channels: tuple[str, ...]
    recordings: tuple[Recording, ...]


class Plant:
    """Three pumps and three cold rooms, and everything that was put into their readings."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.injected: list[Injected] = []
        self._pump_time = np.arange(BEGIN, BEGIN + WEEKS * WEEK, PUMP_EVERY)
        self._room_time = np.arange(BEGIN, BEGIN + WEEKS * WEEK, ROOM_EVERY)
        self._values = {pump: self._pump() for pump in PUMPS} | {room: self._cold_room() for room in ROOMS}
        self._machines_fail()
        self._sensors_break()

    @property
    def fleets(self) -> tuple[Fleet, Fleet]:
        """What all devices report; a reading of which nothing is left was never sent."""
        pumps = tuple(self._recording(pump, self._pump_time) for pump in PUMPS)
        rooms = tuple(self._recording(room, self._room_time) for room in ROOMS)
        return Fleet("pump", PUMP_CHANNELS, pumps), Fleet("cold_room", ROOM_CHANNELS, rooms)

    def _recording(self, device: str, time: NDArray[np.float64]) -> Recording:
        values = self._values[device]
        sent = ~np.isnan(values).all(axis=1)
        return Recording(device, time[sent], values[sent].round(3))

    # ---------------------------------------------------------------- as it should be

    def _pump(self) -> NDArray[np.float64]:
        """(N, 3) temperature, vibration and pressure: busy by day, less at weekends."""
        time, random = self._pump_time, self._random
        hour, saturday = time / HOUR % 24.0, _weekday(time) >= 5
        load = 0.35 + 0.5 * np.clip(1.3 * np.sin((hour - 6.0) * np.pi / 16.0), 0.0, 1.0) * np.where(saturday, 0.5, 1.0)
        load += _remembering(random.normal(0.0, 0.01, len(time)), 0.95)
        before = np.full(200, load[0])
        warmth = _remembering(0.04 * np.concatenate([before, load]), 0.96)[len(before) :]  # follows the load
        outside = 2.0 * np.sin((hour - 9.0) * np.pi / 12.0) + _remembering(random.normal(0.0, 0.02, len(time)), 0.995)
        temperature = 30.0 + 22.0 * warmth + outside + random.normal(0.0, 0.15, len(time))
        vibration = random.uniform(1.0, 1.4) + 1.1 * load + random.normal(0.0, 0.06, len(time))
        pressure = 3.2 + 1.6 * load + random.normal(0.0, 0.03, len(time))
        return np.stack([temperature, vibration, pressure], axis=1)

    def _cold_room(self) -> NDArray[np.float64]:
        """(N, 2) temperature and humidity: a thermostat's cycles, and doors that open in working hours."""
        time, random = self._room_time, self._random
        phase = np.cumsum(random.normal(ROOM_EVERY / (70.0 * 60.0), 0.012, len(time)))
        hour = time / HOUR % 24.0
        at_work = (hour > 6.0) & (hour < 18.0) & (_weekday(time) < 6)
        doors = _remembering(np.where(at_work, random.gamma(0.35, 0.5, len(time)), 0.0), 0.45)
        temperature = 3.0 + 0.8 * (2.0 * np.abs(phase % 1.0 - 0.5) * 2.0 - 1.0) + doors
        temperature += random.normal(0.0, 0.08, len(time))
        humidity = 82.0 + 2.5 * doors - 1.2 * (temperature - 3.0) + random.normal(0.0, 0.6, len(time))
        return np.stack([temperature, humidity], axis=1)

    # ---------------------------------------------------------------- what goes wrong

    def _machines_fail(self) -> None:
        random = self._random
        rows = self._put("bearing wears out", "pump-2", 15.3, 30.0)
        wear = np.linspace(0.0, 1.0, len(rows)) ** 1.5
        self._values["pump-2"][rows, VIBRATION] += wear * random.uniform(1.6, 2.4)
        self._values["pump-2"][rows, VIBRATION] += random.normal(0.0, 0.25, len(rows)) * wear
        rows = self._put("runs dry", "pump-1", 19.4, 1.5)
        self._values["pump-1"][rows, PRESSURE] *= random.uniform(0.45, 0.65)
        self._values["pump-1"][rows, VIBRATION] += random.uniform(0.8, 1.3)
        rows = self._put("cooling fan fails", "pump-3", 22.5, 8.0)
        self._values["pump-3"][rows, TEMPERATURE] += 18.0 * (1.0 - np.exp(-np.arange(len(rows)) / 24.0))
        rows = self._put("door left open", "cold-1", 17.9, 3.0)
        warmer = 7.0 * (1.0 - np.exp(-np.arange(len(rows)) / 6.0))
        self._values["cold-1"][rows, TEMPERATURE] += warmer
        self._values["cold-1"][rows, HUMIDITY] += 1.5 * warmer
        rows = self._put("compressor stays off", "cold-3", 24.1, 5.0)
        self._values["cold-3"][rows, TEMPERATURE] += np.linspace(0.0, random.uniform(5.0, 7.0), len(rows))

    def _sensors_break(self) -> None:
        random = self._random
        rows = self._put("cable breaks: temperature sensor", "pump-1", 10.2, 1.0, "impossible")
        self._values["pump-1"][rows, TEMPERATURE] = random.choice([-200.0, 850.0])
        rows = self._put("pressure sensor freezes", "pump-3", 12.6, 6.0, "stuck")
        self._values["pump-3"][rows, PRESSURE] = self._values["pump-3"][rows[0], PRESSURE]
        rows = self._put("loose contact: vibration sensor", "pump-1", 25.7, 0.5, "jump")
        self._values["pump-1"][rows[:2], VIBRATION] += random.uniform(6.0, 9.0)
        rows = self._put("battery is empty", "cold-2", 16.4, 7.0, "silent")
        self._values["cold-2"][rows] = np.nan
        rows = self._put("humidity sensor freezes", "cold-2", 21.3, 12.0, "stuck")
        self._values["cold-2"][rows, HUMIDITY] = self._values["cold-2"][rows[0], HUMIDITY]

    def _put(self, what: str, device: str, day: float, hours: float, kind: str = "anomaly") -> NDArray[np.intp]:
        """Note that something goes wrong; the rows of the device in which it does."""
        time = self._pump_time if device in PUMPS else self._room_time
        begins = BEGIN + (day + self._random.uniform(-0.1, 0.1)) * DAY
        rows = np.flatnonzero((time >= begins) & (time < begins + hours * HOUR))
        first, last = float(time[rows[0]]), float(time[rows[-1]])
        self.injected.append(Injected(what, device, first, last + HOUR, (kind,)))
        return rows


def _weekday(time: NDArray[np.float64]) -> NDArray[np.intp]:
    """0 is Monday; 1970 began on a Thursday."""
    return ((time // DAY).astype(np.intp) + 3) % 7


def _remembering(noise: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Each value plus a share of what came before it."""
    values = noise.tolist()
    for i in range(1, len(values)):
        values[i] += share * values[i - 1]
    return np.array(values)
