"""How long nobody watches after a `kill -9` of the agent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.processes import eventually
from tests.system.accounts import Accounts
from tests.system.devices import Devices
from tests.system.gateway import Gateway
from tests.system.moments import Moments

TIMES = 10 if os.environ.get("FAULTS_LONG") else 2
RATE = 100.0
PATIENCE = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
Observed = Callable[[str, object], None]


def processor_seconds(pid: int) -> float:
    """That a process has used so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.mark.fault(
    fault="kill -9 of the agent: until the next reading is scored, without the service manager's RestartSec",
    expected="within 5 s on a machine that has nothing else to do",
)
def test_a_killed_agent_scores_again_soon(
    gateway: Gateway, new_devices: Callable[..., Devices], moments: Moments, record_property: Observed
) -> None:
    devices = new_devices(gateway, rate=RATE)
    devices.start()
    accounts = Accounts(gateway.trace)

    def scored() -> int:
        accounts.follow()
        return accounts.scored.total()

    eventually(lambda: scored() > 2 * len(devices.each), "every device is known")
    waited, used = [], []
    for _ in range(TIMES):
        moments.let_pass(0.3, 3.0, "running")
        gateway.agent.kill()
        before = scored()
        began = time.monotonic()
        gateway.agent.start()
        eventually(lambda before=before: scored() > before, "it scores again", PATIENCE)  # type: ignore[misc]  # bound
        waited.append(time.monotonic() - began)
        used.append(processor_seconds(gateway.agent.pid))
    record_property(
        "observed",
        f"{TIMES} kills: {median(waited):.1f} s, {max(waited):.1f} s at most; {max(used):.1f} s of processor time, "
        f"{len(devices.each)} devices, load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors",
    )
    devices.stop()
