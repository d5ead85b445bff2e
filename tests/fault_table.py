"""The fault table: one row for each fault that the tests marked `fault` have brought about, printed with `-m fault`.

A row is a fault and what is expected of it (the mark), what was observed (`record_property("observed", …)`), and
whether that was as expected (the test's outcome). Tests with the same fault and expectation, such as parts of a long
run, are one row. Nothing is skipped silently: a skipped row says why.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from _pytest.terminal import TerminalReporter

MARK, FAULT, EXPECTED, OBSERVED = "fault", "fault", "expected", "observed"
OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"
COLUMNS = (44, 40, 48)
"""Characters of fault, expected, observed."""
SHOWN = 4
"""Different texts of one row at most."""
NOTHING_MORE = "as expected"
"""Of a test that passed and says no more than that."""


@dataclass
class Row:
    """What is known of one fault."""

    fault: str
    expected: str
    outcomes: Counter[str] = field(default_factory=Counter)
    observed: Counter[str] = field(default_factory=Counter)
    complaints: Counter[str] = field(default_factory=Counter)
    """Why tests failed."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why tests were skipped."""

    @property
    def result(self) -> str:
        """A failure counts more than a success, and that more than what was skipped."""
        return next((one for one in (FAILED, OK) if self.outcomes[one]), SKIPPED)

    @property
    def seen(self) -> str:
        """Everything that was observed, failures first."""
        said = [*_counted(self.complaints), *_counted(self.observed)]
        said += [f"skipped: {reason}" for reason in _counted(self.reasons)]
        return "; ".join(said) or NOTHING_MORE


def _counted(texts: Counter[str]) -> Iterator[str]:
    for text, times in list(texts.items())[:SHOWN]:
        yield text if times == 1 else f"{text} ({times} times)"
    if len(texts) > SHOWN:
        yield f"and {len(texts) - SHOWN} more"


class FaultTable:
    """Rows by fault and expectation, in the order in which they were reported."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def take(self, report: pytest.TestReport) -> None:
        """A phase of a test: its setup, its call or its teardown."""
        properties = dict(report.user_properties)
        if FAULT not in properties:
            return
        key = str(properties[FAULT]), str(properties[EXPECTED])
        row = self.rows.setdefault(key, Row(*key))
        if report.skipped:
            row.outcomes[SKIPPED] += 1
            row.reasons[_reason(report)] += 1
        elif report.failed:
            row.outcomes[FAILED] += 1
            row.complaints[f"{report.nodeid.rpartition('::')[2]}: {_complaint(report)}"] += 1
        elif report.when == "call":
            row.outcomes[OK] += 1
        if report.when == "call" and OBSERVED in properties:
            row.observed[str(properties[OBSERVED])] += 1

    def lines(self) -> Iterator[str]:
        """The table, and below it what was skipped and why."""
        yield from _row(("fault", "expected", "observed"), "")
        yield "-" * (sum(COLUMNS) + 3 * len(COLUMNS) + len(FAILED))
        for row in self.rows.values():
            yield from _row((row.fault, row.expected, row.seen), row.result)
        if skipped := [row for row in self.rows.values() if row.result == SKIPPED]:
            yield f"{len(skipped)} skipped:"
            for row in skipped:
                yield f"  {row.fault}: {'; '.join(row.reasons)}"

    @property
    def total(self) -> str:
        """The last line."""
        results = Counter(row.result for row in self.rows.values())
        return f"{results[OK]} passed, {results[FAILED]} failed"


def _row(cells: Sequence[str], result: str) -> Iterator[str]:
    wrapped = [textwrap.wrap(_printable(cell), width) for cell, width in zip(cells, COLUMNS, strict=True)]
    for number in range(max(1, *map(len, wrapped))):
        parts = [
            (lines[number] if number < len(lines) else "").ljust(width)
            for lines, width in zip(wrapped, COLUMNS, strict=True)
        ]
        yield " | ".join([*parts, "" if number else result]).rstrip(" |")


def _printable(text: str) -> str:
    """Names of attacks may hold anything."""
    return "".join(character if character.isprintable() else " " for character in text)


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def _complaint(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(crash.message if crash else report.longrepr).splitlines()
    return next((line for line in lines if line.strip()), f"failed in its {report.when}")


class FaultTablePlugin:
    """Gathers reports, also those that other processes have sent, and prints the table at the very end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._table = FaultTable()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """What the mark says travels with every report of the test."""
        for item in items:
            if mark := item.get_closest_marker(MARK):
                item.user_properties += [(FAULT, mark.kwargs[FAULT]), (EXPECTED, mark.kwargs[EXPECTED])]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._table.take(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """After everything else has been printed."""
        result = yield
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        chosen = self._config.getoption("markexpr", "").split()
        if self._table.rows and MARK in chosen and isinstance(terminal, TerminalReporter):
            terminal.section("faults")
            for line in self._table.lines():
                terminal.write_line(line)
            terminal.write_line(self._table.total)
        return result


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(FaultTablePlugin(config), "fault table")
