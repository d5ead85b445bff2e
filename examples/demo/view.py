"""View: what happens, as a calm page in a terminal, or as lines where there is none."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.demo.findings import Finding
    from examples.demo.hub_alerts import HubAlert

USER = "demo"
"""Who signs in to the console."""
COLOURS = {"low": "cyan", "medium": "yellow", "high": "dark_orange", "critical": "bold red"}
LINES_EVERY = 5.0
ALERT_COLUMNS = (12, 8, 14)
"""Widths of time, severity and device."""
FIXED_LINES = 15
"""Lines of the page that are neither faults nor alerts."""


@dataclass(frozen=True)
class Snapshot:
    """Everything the view shows, at one moment."""

    phase: str
    """What the demo is doing, one sentence."""
    console_url: str
    password_file: str
    broker: str
    devices: int
    remaining: float | None = None
    """Seconds until it ends by itself; None: it does not."""
    simulated: float = 0.0
    """Time of the newest readings, seconds since 1970."""
    days: float = 0.0
    """Simulated days so far."""
    published: int = 0
    scored: int = 0
    alerts_raised: int = 0
    alerts_stored: int = 0
    outbox_rows: int = 0
    hub: str = ""
    """The agent's connection to the hub's broker."""
    model: str = ""
    """How learning stands, one sentence."""
    milestones: Sequence[str] = ()
    """What has happened to models so far."""
    problems: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    other_alerts: int = 0
    alerts: Sequence[HubAlert] = field(default=())
    """The newest first."""


class View(Protocol):
    """Shows snapshots."""

    def show(self, now: Snapshot) -> None:
        """Show this moment."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was found; what was shown last stays."""
        ...


def open_view() -> View:
    """A page where standard output is a terminal, else lines."""
    console = Console()
    return Page(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


def announce(text: str) -> None:
    """Say something before or after the view."""
    print(text, flush=True)


def clock(when: float) -> str:
    """A simulated time, as the console shows it: in UTC, with the month's day."""
    return time.strftime("%b %d %H:%M", time.gmtime(when))


def outcome(finding: Finding) -> str:
    """What came of a fault, in words."""
    if finding.alert is not None:
        minutes = (finding.alert.opened - finding.began) / 60.0
        return "found at once" if minutes < 1.0 else f"found after {minutes:.0f} min"
    return "not found" if finding.outcome == "missed" else "…"


class Page:
    """A page that is drawn again in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def show(self, now: Snapshot) -> None:
        """Draw the page."""
        self._live.update(page(now, self._console.width, self._console.height), refresh=True)

    def close(self) -> None:
        """Stop drawing."""
        self._live.stop()


def page(now: Snapshot, width: int, height: int) -> Group:
    """Everything, on so many columns and lines."""
    room = max(6, height - FIXED_LINES - len(now.problems))
    faults = min(len(now.findings), room // 2)
    return Group(
        _headline(now),
        Text(),
        _figures(now),
        Text(),
        _faults(now, faults),
        Text(),
        _alerts(now, room - faults, width),
        *(Text(f"problem: {problem}", style="yellow", no_wrap=True, overflow="ellipsis") for problem in now.problems),
        Text(),
        Text(f"{now.phase}; {_end(now)}", style="dim", no_wrap=True, overflow="ellipsis"),
    )


def _end(now: Snapshot) -> str:
    return "Ctrl-C ends it" if now.remaining is None else f"{now.remaining:.0f} s left"


def _headline(now: Snapshot) -> Group:
    title = Text("Vedette", style="bold", no_wrap=True, overflow="ellipsis")
    title.append(f"  {now.devices} simulated devices → {now.broker} → agent → hub", style="not bold")
    table = _grid(2)
    table.add_row(Text("console", style="dim"), Text(now.console_url, style="underline"))
    table.add_row(Text("sign in", style="dim"), f"as {USER}, with the password in {now.password_file}")
    return Group(title, table)


def _figures(now: Snapshot) -> Table:
    waiting = "empty" if now.outbox_rows == 0 else f"{now.outbox_rows} rows"
    table = _grid(2)
    table.add_row(Text("plant", style="dim"), f"{clock(now.simulated)} UTC, day {int(now.days) + 1}")
    table.add_row(Text("readings", style="dim"), f"{now.published:,} published, {now.scored:,} scored")
    table.add_row(
        Text("alerts", style="dim"),
        f"{now.alerts_raised:,} raised, {now.alerts_stored:,} at the hub; outbox {waiting}, {now.hub}",
    )
    table.add_row(Text("model", style="dim"), now.model)
    return table


def _grid(columns: int) -> Table:
    """A table whose last column is cut off at the edge of the terminal."""
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(no_wrap=True, overflow="ellipsis")
    return table


def _faults(now: Snapshot, count: int) -> Group:
    found = sum(finding.outcome == "found" for finding in now.findings)
    heading = Text("Faults injected", style="bold")
    if now.findings:
        others = f"; alerts that belong to none: {now.other_alerts}" if now.other_alerts else ""
        heading.append(f"  {len(now.findings)}, {found} found{others}", style="not bold dim")
    else:
        heading.append("  none yet: the agent is learning what is usual", style="not bold dim")
    table = _grid(4)
    for finding in list(now.findings)[::-1][:count]:
        style = {"found": "green", "missed": "yellow", "watching": "dim"}[finding.outcome]
        table.add_row(
            Text(clock(finding.began), style="dim"),
            finding.fault.device,
            finding.fault.kind.name,
            Text(outcome(finding), style=style),
        )
    return Group(heading, table)


def _alerts(now: Snapshot, lines: int, width: int) -> Group:
    """As many alerts as fit into so many lines, with their reasons in full."""
    table = Table.grid(padding=(0, 2))
    for column in ALERT_COLUMNS:
        table.add_column(no_wrap=True, min_width=column)
    table.add_column()
    for alert in now.alerts:
        # words are not broken, so a line is seldom full
        lines -= 1 + int(1.1 * len(alert.reason)) // max(20, width - sum(ALERT_COLUMNS) - 6)
        if lines < 0:
            break
        table.add_row(
            Text(clock(alert.opened), style="dim"),
            Text(alert.severity, style=COLOURS.get(alert.severity, "")),
            alert.device,
            alert.reason,
        )
    return Group(Text("Newest alerts at the hub", style="bold"), table)


class Lines:
    """One line for each thing that happens, and one in a while for how things stand."""

    def __init__(self) -> None:
        self._phase = ""
        self._said: set[tuple[object, ...]] = set()
        self._next = 0.0

    def show(self, now: Snapshot) -> None:
        """Say what is new."""
        if now.phase != self._phase:
            if not self._phase:
                way = f"sign in as {USER}, with the password in {now.password_file}"
                announce(f"console {now.console_url} ({way}); broker {now.broker}")
            self._phase = now.phase
            announce(now.phase)
        for milestone in now.milestones:
            self._once(("milestone", milestone), milestone)
        for finding in now.findings:
            what = f"{finding.fault.kind.name} on {finding.fault.device}"
            self._once(("injected", finding.fault), f"{clock(finding.began)}  fault injected: {what}")
            if finding.outcome != "watching":
                self._once(("outcome", finding.fault), f"{clock(finding.began)}  {what}: {outcome(finding)}")
        for alert in reversed(now.alerts):
            said = f"{clock(alert.opened)}  {alert.severity:8}  {alert.device}: {alert.reason}"
            self._once(("alert", alert.id), said)
        for problem in now.problems:
            self._once(("problem", problem), f"problem: {problem}")
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINES_EVERY
            announce(
                f"readings {now.published} published, {now.scored} scored; "
                f"alerts {now.alerts_raised} raised, {now.alerts_stored} at the hub; outbox {now.outbox_rows}"
            )
            announce(f"model {now.model}")

    def close(self) -> None:
        """Nothing to leave behind."""

    def _once(self, key: tuple[object, ...], text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            announce(text)
