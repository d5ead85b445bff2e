from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading.rate_limit import RateLimit

NOW = 1_790_000_000.0
DAY = 86_400.0


class Devices:
    """Devices that send, and what of it passes."""

    def __init__(self, rate: float = 10.0, burst: int = 100) -> None:
        self.limit = RateLimit(rate, burst)
        self.newest = np.full(1_000, -math.inf)
        self.uptime = 0.0

    def send(self, device: list[int], time: list[float] | None = None, after: float = 0.0) -> int:
        """How many of these readings pass, `after` so many seconds."""
        self.uptime += after
        rows = np.array(device, np.intp)
        self.limit.make_room(int(rows.max()) + 1, NOW + self.uptime, self.uptime)
        own = np.full(len(rows), np.nan) if time is None else np.array(time)
        over = self.limit.over(rows, own, self.newest, NOW + self.uptime, self.uptime)
        assert (np.diff(over) > 0).all()
        if time is not None:
            taken = np.ones(len(rows), np.bool_)
            taken[over] = False
            np.maximum.at(self.newest, rows[taken], own[taken])
        return len(rows) - len(over)


def test_a_burst_passes_and_then_the_rate() -> None:
    devices = Devices()
    assert devices.send([0] * 512) == 100
    assert devices.send([0] * 512, after=1.0) == 10
    assert devices.send([0] * 512, after=0.05) == 0
    assert devices.send([0] * 512, after=0.05) == 1
    assert devices.send([0] * 512, after=DAY) == 100, "a burst is all that is saved up"


def test_who_floods_is_alone_in_being_limited() -> None:
    devices = Devices()
    devices.send(list(range(20)))
    mixed = [7, *[3] * 300, 7, 8, *[3] * 200, 9]
    rows = np.array(mixed, np.intp)
    over = devices.limit.over(rows, np.full(len(mixed), np.nan), devices.newest, NOW, 0.0)
    assert set(rows[over].tolist()) == {3}
    assert len(over) == 500 - 99
    assert over.min() > 0
    assert over.max() == len(mixed) - 2, "its last readings are the ones too many"


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.floats(0.0, 3.0)), min_size=1, max_size=30
    )
)
def test_nobody_ever_gets_more_than_burst_and_rate_and_no_quiet_device_less(
    batches: list[tuple[list[int], float]],
) -> None:
    devices = Devices(rate=5.0, burst=20)
    devices.limit.make_room(4, NOW, 0.0)
    passed = np.zeros(4)
    for rows, after in batches:
        before = devices.uptime
        devices.uptime += after
        array = np.array(rows, np.intp)
        over = devices.limit.over(array, np.full(len(rows), np.nan), devices.newest, NOW, devices.uptime)
        kept = np.delete(array, over)
        passed += np.bincount(kept, minlength=4)
        assert (passed <= 20 + 5.0 * devices.uptime + 1e-6).all()
        counts = np.bincount(array, minlength=4)
        for device in range(4):
            if counts[device] <= 5.0 * (devices.uptime - before):
                assert np.count_nonzero(kept == device) == counts[device], "within its rate since the batch before"


def test_what_a_device_gathered_while_it_could_not_be_heard_is_no_flood() -> None:
    devices = Devices(rate=10.0, burst=100)
    assert devices.send([0], [NOW]) == 1
    times = (NOW + 1.0 + np.arange(100_000)).tolist()  # a reading a second for more than a day, sent within ten seconds
    devices.uptime += 100_010.0
    sent = [devices.send([0] * 500, times[first : first + 500], after=0.05) for first in range(0, 100_000, 500)]
    assert sum(sent) == 100_000


def test_a_made_up_past_is_worth_no_more_than_the_time_nobody_was_heard() -> None:
    devices = Devices(rate=10.0, burst=100)
    assert devices.send([0] * 500, [NOW - 7 * DAY + i for i in range(500)]) == 100, "we were here, and it was not"
    assert devices.send([0] * 500, [NOW - 6 * DAY + i for i in range(500)]) == 0
    devices = Devices(rate=10.0, burst=100)
    devices.send([0], [NOW])
    passed = sum(devices.send([0] * 512, [NOW + i] * 512) for i in range(100))
    assert passed <= 100, "a time in our future is worth nothing"
    devices.uptime = 1_000.0
    passed = sum(devices.send([0] * 512, [NOW + 10.0 * i] * 512) for i in range(100))
    passed += sum(devices.send([0] * 512, [NOW + 10.0 * i] * 512) for i in range(100))
    assert passed <= 100 + 10.0 * 1_000, "the same stretch of time is not counted twice"


def test_history_is_no_flood_where_any_age_is_welcome() -> None:
    devices = Devices()
    devices.limit = RateLimit(10.0, 100, any_age=True)
    history = [NOW - 400 * DAY + 300.0 * i for i in range(5_000)]
    assert sum(devices.send([0] * 500, history[first : first + 500]) for first in range(0, 5_000, 500)) == 5_000
    assert devices.send([0] * 500, [NOW - 300 * DAY] * 500) <= 500
    assert sum(devices.send([0] * 500, [NOW - 300 * DAY] * 500) for _ in range(5)) <= 100, "time must go on"


def test_what_the_broker_kept_while_we_were_away_is_no_flood() -> None:
    devices = Devices(rate=10.0, burst=100)
    devices.send([0, 1])
    devices.uptime += 3_600.0
    devices.limit.absent(3_600.0, devices.uptime)
    assert sum(devices.send([0] * 500) for _ in range(72)) == 36_000, "ten a second for an hour, without times"
    assert sum(devices.send([5] * 500) for _ in range(72)) == 36_000, "also of a device that is new since"
    for _ in range(50):
        devices.limit.absent(1.0, devices.uptime)
    assert devices.send([1] * 512, after=0.0) + devices.send([0] * 512) <= 512 + 110, "short absences do not add up"


def test_a_forgotten_row_begins_with_a_burst() -> None:
    devices = Devices()
    devices.send([0] * 512)
    devices.limit.forget(0)
    assert devices.send([0] * 512) == 100
