"""What was put into simulated readings, and what became of it: the account that the examples print."""

from __future__ import annotations

import argparse
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from vedette_models.messages import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vedette_models.messages import Alert

ANOMALY = "anomaly"
HOUR, DAY, WEEK = 3_600.0, 86_400.0, 604_800.0
AFTERMATH = DAY
"""An alert so long after something was put right may still be about it: it is neither right nor wrong."""
WIDTH = 118


class Injected(NamedTuple):
    """Something that goes wrong with a device for a while."""

    what: str
    device: str
    begins: float
    """Seconds since 1970 UTC."""
    ends: float
    kinds: tuple[str, ...] = (ANOMALY,)
    """Kinds of alerts that say it."""
    channel: str = ""
    """Whose fault it is, where it is one channel's."""


class Outcome(NamedTuple):
    """Something that went wrong, and the first alert that said so."""

    injected: Injected
    alert: Alert | None


class Account(NamedTuple):
    """All that went wrong, and what else was said."""

    outcomes: tuple[Outcome, ...]
    false: tuple[Alert, ...]
    """Alerts at times when nothing was wrong with their device, nor had been for a day."""
    device_weeks: float
    """Of such times."""

    @property
    def found(self) -> int:
        """How much of what went wrong was said."""
        return sum(outcome.alert is not None for outcome in self.outcomes)

    @property
    def false_anomalies(self) -> int:
        """False alerts that count against the budget: those of kind `anomaly`."""
        return sum(alert.kind == ANOMALY for alert in self.false)

    @property
    def rate(self) -> float:
        """False anomaly alerts per device-week."""
        return self.false_anomalies / self.device_weeks


def account(
    injected: Sequence[Injected], alerts: Iterable[Alert], watched: Mapping[str, tuple[float, float]]
) -> Account:
    """Hold what was said against what went wrong; `watched` is the first and last time of each device's readings.

    Only the first revision of an alert counts. What goes wrong with a device is expected not to overlap.
    """
    raised = sorted((alert for alert in alerts if alert.revision == 1), key=lambda alert: alert.opened)
    outcomes = []
    for each in injected:
        said = (
            a for a in raised if a.kind in each.kinds and _is_about(a, each) and each.begins <= a.opened <= each.ends
        )
        outcomes.append(Outcome(each, next(said, None)))
    false = tuple(
        alert
        for alert in raised
        if not any(_is_about(alert, each) and each.begins <= alert.opened <= each.ends + AFTERMATH for each in injected)
    )
    weeks = sum(last - first for first, last in watched.values())
    weeks -= sum(min(each.ends + AFTERMATH, watched[each.device][1]) - each.begins for each in injected)
    return Account(tuple(outcomes), false, weeks / WEEK)


def _is_about(alert: Alert, injected: Injected) -> bool:
    return alert.device == injected.device


def show(title: str, result: Account, budget: float) -> str:
    """The account as text for a person."""
    lines = [
        title,
        "=" * len(title),
        "",
        f"{'what was put there':44} {'device':12} {'from':16} {'found after':11}  alert",
    ]
    for injected, alert in sorted(result.outcomes, key=lambda outcome: outcome.injected.begins):
        found = "not found" if alert is None else duration(alert.opened - injected.begins)
        what = "" if alert is None else f"{alert.kind}, {alert.severity}"
        lines.append(f"{injected.what:44} {injected.device:12} {when(injected.begins):16} {found:11}  {what}")
        if alert is not None:
            lines += textwrap.wrap(alert.reason, WIDTH, initial_indent="    » ", subsequent_indent="      ")
    lines += ["", f"found: {result.found} of {len(result.outcomes)}"]
    if result.false:
        lines += ["", "raised although nothing had been put there:"]
        for alert in result.false:
            line = f"{when(alert.opened)}  {alert.device}, {alert.kind}, {alert.severity}: {alert.reason}"
            lines += textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="      ")
    lines += [
        "",
        f"false anomaly alerts: {result.false_anomalies} in {result.device_weeks:.1f} device-weeks of normal time, "
        f"{result.rate:.2f} per device-week (target: at most {budget:g})",
    ]
    return "\n".join(lines)


def when(time: float) -> str:
    """A moment, for people: `Tue 12 Mar 03:10`."""
    return datetime.fromtimestamp(time, UTC).strftime("%a %d %b %H:%M")


def duration(seconds: float) -> str:
    """How long something took, for people.

    >>> duration(0.0), duration(1500.0), duration(9000.0), duration(200_000.0)
    ('at once', '25 min', '2.5 h', '2.3 days')
    """
    if seconds < 60.0:
        return "at once"
    if seconds < 2 * HOUR:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} days"


def worst(alerts: Iterable[Alert]) -> str:
    """The highest severity among some alerts."""
    return max((alert.severity for alert in alerts), key=SEVERITIES.index, default="none")


def promised(promise: str, *, kept: bool) -> int:
    """Say what was promised and whether it held; the exit code of an example."""
    print(f"\npromised: {promise}: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


def promised_at_most(missed: int, false: float, result: Account) -> int:
    """The promise to miss no more of what was put there, and to be wrong no more often a device-week."""
    kept = len(result.outcomes) - result.found <= missed and result.rate <= false
    return promised(f"at most {missed} missed, at most {false:g} false a device-week", kept=kept)


def seed_parser(about: str | None, other: str) -> argparse.ArgumentParser:
    """The command line of an example with this docstring: a seed, which gives something `other`."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help=other)
    return parser
