from __future__ import annotations

import numpy as np

from benchmarks.sensor_faults import PROFILE, RHYTHMS, RUNS, faults, faulty, sound
from benchmarks.sensor_health import account, batches, recordings, together, watch


def test_the_matrix_holds_every_fault_where_it_makes_sense() -> None:
    made = recordings(0, faults())
    kinds = {device.fault.kind for device in made if device.fault is not None}
    assert kinds == {"jump", "stuck", "silent", "clock", "impossible"}
    on_constant = {d.fault.kind for d in made if d.fault is not None and d.run == "constant"}
    assert on_constant == {"silent", "clock", "impossible"}
    assert {d.run for d in made if d.fault is None} == set(RUNS)
    assert {d.rhythm for d in made} == set(RHYTHMS)


def test_faults_are_what_they_say() -> None:
    made = {fault.name: faulty("noisy", "five minutes", fault, np.random.default_rng(1)) for fault in faults()}
    silent = made["silent for 5 intervals"]
    assert 1_500.0 <= np.diff(silent.arrival).max() < 1_900.0
    ahead = made["clock 120 s ahead"]
    assert np.isclose(ahead.time - ahead.arrival, 120.0, atol=5.0).sum() == 40
    assert np.count_nonzero(np.diff(made["clock runs backwards"].time) < 0) >= 9
    assert np.count_nonzero(np.diff(made["stuck for 20 intervals"].values[:, 0]) == 0) >= 20
    channel = PROFILE.channels[0]
    values = made["impossible values"].values[:, 0]
    assert channel.low is not None
    assert channel.high is not None
    assert np.count_nonzero((values < channel.low) | (values > channel.high)) == 3


def test_readings_come_in_order_of_arrival() -> None:
    devices = [sound("noisy", "minute", habit, np.random.default_rng(2)) for habit in ("prompt", "buffered")]
    arrivals = np.concatenate([batch.arrival for batch in batches(devices) if batch.arrival is not None])
    assert len(arrivals) == sum(len(device.time) for device in devices)
    assert (np.diff(arrivals) >= 0.0).all()


def test_what_is_said_is_counted_against_what_was_put_in() -> None:
    wanted = [fault for fault in faults() if fault.kind in ("impossible", "stuck")]
    random = np.random.default_rng(3)
    devices = [faulty("noisy", "battery", fault, random) for fault in wanted]
    devices.append(sound("noisy", "battery", "prompt", random))
    said = watch(devices)
    found = account(devices, said)
    assert (found.injected, found.detected, found.misclassified, found.false) == (2, 2, 0, 0)
    other_way = account([devices[1], devices[0], devices[2]], said)
    assert (other_way.detected, other_way.misclassified + other_way.false > 0) == (0, True)
    assert together([found, found])["matrix"]["impossible values"] == {"noisy": "2/2"}
