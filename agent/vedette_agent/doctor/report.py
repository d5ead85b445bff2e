"""The report: findings as text for a terminal of 80 columns, and as JSON for programs. Pure."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from vedette_agent.doctor.finding import counted, is_well

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vedette_agent.doctor.finding import Finding

WIDTH = 80
_OUTCOME = 12
"""Columns for the outcome, a space behind the longest."""


def as_text(findings: Sequence[Finding], seconds: float) -> Iterator[str]:
    """Lines to print; only a word that is longer than a line is."""
    for finding in findings:
        outcome = finding.outcome.upper() if finding.outcome == "failed" else finding.outcome
        yield from _wrapped(f"{printable(finding.name)}: {printable(finding.seen)}", outcome)
        if finding.fix:
            yield from _wrapped(f"fix: {printable(finding.fix)}")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in counted(findings).items() if count)
    yield ""
    yield f"{counts}; {seconds:.1f} s"


def as_json(findings: Sequence[Finding], seconds: float, gateway: str, config: str) -> str:
    """One object: `ok`, `gateway`, `config`, `seconds`, and `findings` in the order of the text."""
    return json.dumps(
        {
            "ok": is_well(findings),
            "gateway": gateway,
            "config": config,
            "seconds": round(seconds, 3),
            "findings": [finding._asdict() for finding in findings],
        },
        ensure_ascii=False,
    )


def printable(text: str) -> str:
    """The text without anything that a terminal would obey: some of it comes from devices and brokers."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _wrapped(text: str, outcome: str = "") -> Iterator[str]:
    lines = textwrap.wrap(text, WIDTH - _OUTCOME, break_long_words=False, break_on_hyphens=False)
    for line, head in zip(lines, [outcome, *[""] * len(lines)], strict=False):
        yield f"{head:{_OUTCOME}}{line}"
