"""Rules that give alerts another severity than the gateway did. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vedette_hub.alerts.lifecycle import Ruling
from vedette_hub.alerts.matching import Matchers
from vedette_models.messages import Alert, Severity


@dataclass(frozen=True)
class SeverityRule:
    """An alert that meets all conditions gets this severity."""

    name: str
    severity: Severity
    matchers: Matchers = field(default_factory=Matchers)
    """`severity` in it is the gateway's."""
    score_at_least: float | None = None
    """Smallest score, in units of the threshold; None: any."""
    enabled: bool = True
    comment: str = ""

    def applies(self, event: Alert) -> bool:
        """Whether an event meets all conditions."""
        if not self.enabled or (self.score_at_least is not None and not event.score >= self.score_at_least):
            return False
        return self.matchers.match(event, event.severity)


def ruling(rules: Sequence[SeverityRule], event: Alert) -> Ruling | None:
    """What the first rule that applies says; None: no rule does, and the gateway's severity counts."""
    return next((Ruling(rule.severity, rule.name) for rule in rules if rule.applies(event)), None)


def by_rules(rules: Sequence[SeverityRule]) -> Callable[[Alert], Ruling | None]:
    """`ruling` with these rules, for `lifecycle.apply`."""
    return lambda event: ruling(rules, event)
