from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

import vedette_agent
from tests.agent.set_clock import SetClock
from vedette_agent.clock import SYSTEM
from vedette_agent.event_loop import EventLoop
from vedette_agent.gateway_clock import FILE, GatewayClock
from vedette_models.readings import Quality

UNSET, UNSYNCED = Quality.GATEWAY_UNSET, Quality.GATEWAY_UNSYNCED
NOW = 1_790_000_000.0
YEAR = 365 * 86_400.0


@pytest.mark.parametrize(
    ("now", "steered", "expected"),
    [
        (NOW, True, Quality(0)),
        (NOW, None, Quality(0)),
        (NOW, False, UNSYNCED),
        (12.0, None, UNSET),
        (12.0, True, UNSET),
        (12.0, False, UNSET | UNSYNCED),
        (5e9, None, UNSET),
    ],
)
def test_what_the_kernel_and_the_calendar_say(
    tmp_path: Path, now: float, steered: bool | None, expected: Quality
) -> None:
    judged = GatewayClock(tmp_path, SetClock(now, steered))
    assert judged.quality() == expected
    assert (judged.problem() is not None) == bool(expected & UNSET)


def test_a_clock_behind_what_was_sure_is_unset_also_after_a_restart(tmp_path: Path) -> None:
    before = GatewayClock(tmp_path, SetClock(NOW, True))
    before.quality()
    before.keep()
    clock = SetClock(NOW - YEAR / 2, None)
    judged = GatewayClock(tmp_path, clock)
    assert judged.quality() == UNSET
    clock.set(NOW + 60)
    assert judged.quality() == Quality(0), "asked anew at once when the clock is set"
    assert GatewayClock(tmp_path, SetClock(NOW - 3_600, None)).quality() == Quality(0), "an hour behind may be right"


def test_a_time_server_that_was_wrong_is_not_believed_for_ever(tmp_path: Path) -> None:
    wrong = GatewayClock(tmp_path, SetClock(NOW + 10 * YEAR, True))
    wrong.quality()
    wrong.keep()
    judged = GatewayClock(tmp_path, SetClock(NOW, True))
    assert judged.quality() == Quality(0)
    judged.keep()
    assert GatewayClock(tmp_path, SetClock(NOW, None)).quality() == Quality(0)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"sure":"x"}', b'{"sure":9e99}', b'{"sure":-1}'])
def test_a_damaged_memory_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert GatewayClock(tmp_path, SetClock(NOW, None)).quality() == Quality(0)
    assert GatewayClock(tmp_path, SetClock(12.0, None)).quality() == UNSET


def test_a_disk_that_refuses_changes_nothing(tmp_path: Path) -> None:
    judged = GatewayClock(tmp_path / "gone", SetClock(NOW, True))
    judged.quality()
    judged.keep()
    assert judged.quality() == Quality(0)


def test_uptime_never_falls_and_the_kernel_can_be_asked() -> None:
    first = SYSTEM.uptime()
    assert SYSTEM.uptime() >= first >= time.monotonic() - 1.0, "time asleep counts, so it is no less than monotonic"
    assert SYSTEM.steered() in (True, False, None)


def test_timers_count_the_time_that_the_machine_slept() -> None:
    clock = SetClock(NOW, None)
    loop = EventLoop(clock)

    async def sleep() -> None:
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(clock.sleep, 7_200.0)).start()
        await asyncio.sleep(3_600.0)

    try:
        loop.run_until_complete(asyncio.wait_for(sleep(), 100_000.0))
    finally:
        loop.close()


def test_nothing_asks_for_a_time_that_stands_still_in_a_suspend() -> None:
    package = Path(vedette_agent.__file__).parent
    asking = [str(path.relative_to(package)) for path in package.rglob("*.py") if "monotonic()" in path.read_text()]
    assert asking == []
