"""A program that hangs is killed and started again by its service manager, and nothing is lost by it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.processes import eventually
from tests.system.delivery import check_that_nothing_is_lost
from tests.system.devices import Devices
from tests.system.gateway import Gateway
from tests.system.moments import Moments
from tests.system.program import Program
from tests.system.service_manager import ServiceManager

WATCHDOG = 5.0
"""Seconds; 60 in the units."""
RATE = 200.0
Observed = Callable[[str, object], None]


@contextmanager
def watched(program: Program, gateway: Gateway) -> Iterator[ServiceManager]:
    """Everything runs, and one program under a service manager."""
    manager = ServiceManager(program, gateway.folder, watchdog=WATCHDOG)
    try:
        gateway.start()
        manager.watch()
        yield manager
    finally:
        manager.close()


def hang(program: Program, manager: ServiceManager) -> None:
    """It stands still until it is killed for that."""
    before = manager.aborted, manager.restarts
    os.kill(program.pid, signal.SIGSTOP)
    eventually(lambda: manager.aborted > before[0] and manager.restarts > before[1], "killed and started", 60.0)


def pause(program: Program, moments: Moments) -> None:
    """It stands still for a while that its watchdog allows."""
    os.kill(program.pid, signal.SIGSTOP)
    moments.let_pass(0.1, WATCHDOG / 5, "standing still")
    os.kill(program.pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.fault(
    fault="SIGSTOP of the agent: for a moment, then until its watchdog ends it",
    expected="killed and started again by the service manager; nothing lost",
)
def test_an_agent_that_hangs_is_started_again(
    new_gateway: Callable[..., Gateway],
    new_devices: Callable[..., Devices],
    moments: Moments,
    record_property: Observed,
) -> None:
    gateway = new_gateway()
    with watched(gateway.agent, gateway) as manager:
        devices = new_devices(gateway, rate=RATE)
        devices.start()
        eventually(gateway.api.alerts, "the first alert is at the hub", 60.0)
        pause(gateway.agent, moments)
        moments.let_pass(0.1, 1.0, "running")
        hang(gateway.agent, manager)
        gateway.wait_for_agent()
        told = check_that_nothing_is_lost(gateway, devices, interruptions=manager.restarts)
        record_property("observed", f"killed {manager.aborted} times, started {manager.restarts} times; {told}")


@pytest.mark.slow
@pytest.mark.fault(
    fault="SIGSTOP of the hub: for a moment, then until its watchdog ends it",
    expected="killed and started again by the service manager; nothing lost",
)
def test_a_hub_that_hangs_is_started_again(
    new_gateway: Callable[..., Gateway],
    new_devices: Callable[..., Devices],
    moments: Moments,
    record_property: Observed,
) -> None:
    gateway = new_gateway()
    with watched(gateway.hub, gateway) as manager:
        devices = new_devices(gateway, rate=RATE)
        devices.start()
        eventually(gateway.api.alerts, "the first alert is at the hub", 60.0)
        pause(gateway.hub, moments)
        moments.let_pass(0.1, 1.0, "running")
        hang(gateway.hub, manager)
        eventually(gateway.api.is_well, "the hub is up", 60.0)
        told = check_that_nothing_is_lost(gateway, devices, interruptions=0)
        record_property("observed", f"killed {manager.aborted} times, started {manager.restarts} times; {told}")
