"""Rules for the severity of alerts, in the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from vedette_hub.alerts.matching import Matchers
from vedette_hub.alerts.severity import SeverityRule
from vedette_hub.store.schema import severity_rules

MAX_RULES = 100


@dataclass(frozen=True)
class StoredRule:
    """A rule, and who wrote it when."""

    rule: SeverityRule
    changed: float
    changed_by: str


def list_rules(connection: Connection) -> list[StoredRule]:
    """All rules in the order in which they are asked."""
    return [
        StoredRule(
            SeverityRule(
                row.name,
                row.severity,
                Matchers.of(json.loads(row.matchers)),
                row.score_at_least,
                bool(row.enabled),
                row.comment,
            ),
            row.changed,
            row.changed_by,
        )
        for row in connection.execute(select(severity_rules).order_by(severity_rules.c.place))
    ]


def replace_rules(connection: Connection, rules: Sequence[SeverityRule], *, by: str, now: float) -> list[StoredRule]:
    """Put these rules, in this order, in the place of those that are there; their names differ.

    What a rule does not change keeps who wrote it when.
    """
    before = {stored.rule.name: stored for stored in list_rules(connection)}
    kept = [
        found if (found := before.get(rule.name)) is not None and found.rule == rule else StoredRule(rule, now, by)
        for rule in rules
    ]
    connection.execute(delete(severity_rules))
    rows = [
        {
            "name": stored.rule.name,
            "place": place,
            "matchers": json.dumps(stored.rule.matchers.patterns()),
            "score_at_least": stored.rule.score_at_least,
            "severity": stored.rule.severity,
            "enabled": stored.rule.enabled,
            "comment": stored.rule.comment,
            "changed": stored.changed,
            "changed_by": stored.changed_by,
        }
        for place, stored in enumerate(kept)
    ]
    if rows:
        connection.execute(insert(severity_rules), rows)
    return kept
