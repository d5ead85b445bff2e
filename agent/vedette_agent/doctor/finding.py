"""Finding: what a check saw, how bad that is, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Outcome = Literal["ok", "warning", "failed", "not tested"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "warning", "failed", "not tested")


class Finding(NamedTuple):
    """One answer of one check."""

    check: str
    """For example `dns` or `disk`."""
    subject: str
    """What was looked at: `devices` or `hub`, a topic filter, a profile; empty where there is but one."""
    outcome: Outcome
    seen: str
    """One sentence."""
    fix: str = ""
    """One sentence with a command or a line of configuration; empty where all is well."""

    @property
    def name(self) -> str:
        """Check and subject as people read them."""
        return f"{self.subject} {self.check}".strip()


def counted(findings: Iterable[Finding]) -> dict[Outcome, int]:
    """How many findings there are of each outcome."""
    outcomes = [finding.outcome for finding in findings]
    return {outcome: outcomes.count(outcome) for outcome in OUTCOMES}


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing has failed."""
    return all(finding.outcome != "failed" for finding in findings)
