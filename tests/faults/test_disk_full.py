"""A disk that others have filled to the last byte: alerts go on, up to what the box was made for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.agent.alerts import alert, cleared
from tests.faults import disk_shim
from tests.faults.disk_faults import FullDisk
from tests.faults.disk_hub import Hub
from vedette_agent.clock import Clock
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.database import OutboxError
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.mqtt.message import SettledKey
from vedette_agent.reading.effects import AlertStateRow, Effects

HOUR = 3_600
LIMITS = OutboxLimits(max_rows=2_000, max_bytes=2 * 1024 * 1024)
needs_shim = pytest.mark.skipif(bool(disk_shim.unavailable()), reason=disk_shim.unavailable())
Observed = Callable[[str, object], None]


class Virtual(Clock):
    """Goes on when told to."""

    seconds = 0.0

    def now(self) -> float:
        return 1.8e9 + self.seconds

    def uptime(self) -> float:
        return self.seconds


@contextmanager
def scratch() -> Iterator[Path]:
    """In memory where possible: an hour has 3,600 commits, each with its syncs."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def open_box(folder: Path, clock: Clock) -> Outbox:
    return Outbox(folder / "agent.db", "gw", LIMITS, to_hub=True, owner=True, clock=clock, settled_keys=64)


def prepared(folder: Path, clock: Clock) -> Outbox:
    """As after the first minutes of an agent."""
    box = open_box(folder, clock)
    box.disk.prepare()
    while not box.disk.step():
        pass
    assert box.disk.complete
    return box


def a_second(box: Outbox, clock: Virtual, number: int) -> None:
    """An alert of a device of its own, with all that is committed with it."""
    clock.seconds += 1
    raised = alert(id=f"a{number}", device=f"device-{number}", reason="x" * 200, opened=clock.now(), time=clock.now())
    state = AlertStateRow("pump", f"device-{number % 500}", "anomaly", b"x" * 400)
    box.commit(
        Effects(alerts=[raised], states=[state], settled=[SettledKey(1 + number % 60_000, b"d" * 16)]), clock.now()
    )


@needs_shim
@pytest.mark.fault(
    fault="disk 100 % full for an hour, hub there: an alert a second",
    expected="every alert delivered once, no commit refused",
)
def test_an_hour_of_a_full_disk_delays_nothing(record_property: Observed) -> None:
    clock, disk = Virtual(), FullDisk()
    with scratch() as folder, disk_shim.installed(disk):
        box, hub = prepared(folder, clock), Hub(folder / "hub")
        disk.full = True
        try:
            for number in range(HOUR):
                a_second(box, clock, number)
                if number % 60 == 59:
                    disk.full = False  # the hub's disk is another one
                    hub.drain(box)
                    disk.full = True
            assert (hub.counted(), hub.lost(), hub.gaps(), box.stats().rows) == (HOUR, 0, [], 0)
        finally:
            disk.full = False
            box.close()
            hub.close()
    record_property("observed", f"{HOUR:,} of {HOUR:,} alerts delivered, {disk.refused} writes refused")
    assert disk.refused == 0


@needs_shim
@pytest.mark.fault(
    fault="disk 100 % full for an hour, hub away: an alert a second",
    expected="the newest alerts up to the box's cap delivered once, the others declared lost",
)
def test_an_hour_of_a_full_disk_without_the_hub_keeps_what_the_box_was_made_for(record_property: Observed) -> None:
    clock, disk = Virtual(), FullDisk()
    with scratch() as folder, disk_shim.installed(disk):
        box = prepared(folder, clock)
        disk.full = True
        for number in range(HOUR):
            a_second(box, clock, number)
        assert box.stats().rows <= LIMITS.max_rows
        refused, disk.full = disk.refused, False
        hub = Hub(folder / "hub")
        try:
            hub.drain(box)
            kept = sorted(int(name[1:]) for name in hub.events())
            assert kept == list(range(HOUR - len(kept), HOUR)), "the newest"
            assert len(kept) + hub.lost() == HOUR
            assert len(kept) >= LIMITS.max_rows * 0.97
            assert (hub.gaps(), box.stats().rows) == ([], 0)
        finally:
            hub.close()
            box.close()
    record_property("observed", f"{len(kept):,} delivered, {HOUR - len(kept):,} declared lost; cap {LIMITS.max_rows:,}")
    assert refused == 0


@needs_shim
@pytest.mark.fault(
    fault="disk 100 % full, hub away: ten devices flap, two events a second, for an hour",
    expected="every alert counted at the hub exactly once, in rows that say how many they stand for",
)
def test_a_storm_on_a_full_disk_is_counted_whole(record_property: Observed) -> None:
    clock, disk = Virtual(), FullDisk()
    with scratch() as folder, disk_shim.installed(disk):
        box = prepared(folder, clock)
        disk.full = True
        for number in range(HOUR):
            clock.seconds += 1
            common = {"id": f"a{number}", "device": f"d{number % 10}", "opened": clock.now(), "time": clock.now()}
            events = [alert(**common), cleared(**common)]
            box.commit(Effects(alerts=events), clock.now())
        disk.full = False
        hub = Hub(folder / "hub")
        try:
            coalesced = box.stats().coalesced
            hub.drain(box)
            rows = len(hub.events())
            assert (hub.counted(), hub.lost(), hub.gaps(), box.stats().rows) == (HOUR, 0, [], 0)
            worst = max(hub.events().values(), key=lambda event: event.coalesced.alerts if event.coalesced else 1)
            assert worst.coalesced is not None
            assert worst.coalesced.last > worst.coalesced.first > 1.8e9
        finally:
            hub.close()
            box.close()
    assert coalesced > HOUR
    record_property("observed", f"{HOUR:,} alerts at the hub in {rows:,} rows, none lost, none twice")


def an_hour(box: Outbox, clock: Virtual) -> None:
    for number in range(HOUR):
        a_second(box, clock, number)


@needs_shim
def test_without_room_taken_beforehand_the_same_disk_stops_the_alerts() -> None:
    clock, disk = Virtual(), FullDisk()
    with scratch() as folder, disk_shim.installed(disk):
        box = open_box(folder, clock)
        disk.full = True
        with pytest.raises(OutboxError, match="free space on its disk"):
            an_hour(box, clock)
        disk.full = False
        box.close()


ON_A_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from tests.faults.test_disk_full import LIMITS, Virtual, a_second, open_box, prepared
from vedette_agent.delivery.database import OutboxError

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(folder)], check=True)
state = folder / "state"

def fill(name):
    with (folder / name).open("wb", buffering=0) as file:
        try:
            while True:
                if file.write(bytes(4096)) < 4096:
                    break
        except OSError:
            pass

said = {}
clock = Virtual()
box = prepared(state, clock)
fill("others")
for number in range(300):
    a_second(box, clock, number)
said["running"] = box.stats().rows
box.close()                       # deletes the log ...
fill("more of others")            # ... and others take its room
box = open_box(state, clock)
box.disk.prepare()
for number in range(300, 600):
    a_second(box, clock, number)
said["started"], said["reserve used"] = box.stats().rows, not box.disk.reserve.kept
box.close()
fill("still more")
box = open_box(state, clock)
box.disk.prepare()
for number in range(600, 900):
    a_second(box, clock, number)
said["started again"] = box.stats().rows
(folder / "others").unlink()
box.disk.maintain()
said["reserve made again"] = box.disk.reserve.kept
box.close()
subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
try:
    open_box(state, clock)
except OutboxError as error:
    said["read-only"] = str(error)
subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
box = open_box(state, clock)
a_second(box, clock, 900)
said["after that"] = box.stats().rows
box.close()
print(json.dumps(said))
"""


def mounts() -> list[str] | None:
    """How to get a file system of one's own here; None where that is not allowed."""
    for way in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            tried = [*way, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
            if subprocess.run(tried, capture_output=True, timeout=10, check=False).returncode == 0:
                return way
        except (OSError, subprocess.TimeoutExpired):
            continue
    return None


@pytest.mark.skipif(mounts() is None, reason="this user may not mount a small file system (neither root nor unshare)")
@pytest.mark.fault(
    fault="a real file system of 96 MiB, 100 % full; restarts on it; then read-only",
    expected="alerts go on, also after each restart; read-only is said, and nothing is lost by it",
)
def test_a_small_file_system_is_filled_and_made_read_only(tmp_path: Path, record_property: Observed) -> None:
    way = mounts()
    assert way is not None
    command = [*way, sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path), str(Path(__file__).parents[2])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["running"], said["started"], said["started again"]) == (300, 600, 900)
    assert said["reserve used"]
    assert said["reserve made again"]
    assert "must be able to write" in said["read-only"]
    assert said["after that"] == 901
    record_property("observed", "901 of 901 alerts committed over two restarts on a full disk; the read-only one said")
