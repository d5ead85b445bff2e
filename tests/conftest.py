"""For every test: a real broker, and an option that lets no test be skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers import MOSQUITTO, Mosquitto

# Several tests run side by side: threads of numerical libraries would only wait for each other, and spin while they do.
# Set before anything imports numpy, and handed on to every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = ["tests.fault_table"]
skipped: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip", action="store_true", help="exit with code 1 when one was skipped that is no fault"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # Some faults need the right to mount; the table of faults says so.
    if report.skipped and not hasattr(report, "wasxfail") and "fault" not in report.keywords:
        skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if skipped and session.config.getoption("--fail-on-skip") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if skipped and config.getoption("--fail-on-skip"):
        terminalreporter.write_line(f"--fail-on-skip: {len(skipped)} skipped, none may be", red=True)


NO_MOSQUITTO = "mosquitto is not installed (Debian: apt-get install mosquitto)"


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start brokers of one's own kind: `start_mosquitto(persistence=True)`, `start_mosquitto(config="…")`."""
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    brokers: list[Mosquitto] = []

    def start(**options: object) -> Mosquitto:
        broker = Mosquitto(tmp_path / f"mosquitto{len(brokers)}", **options)  # type: ignore[arg-type]  # checked there
        brokers.append(broker)
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.kill()


@pytest.fixture
def mosquitto(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker that lets everybody in and keeps nothing on disk."""
    return start_mosquitto()
