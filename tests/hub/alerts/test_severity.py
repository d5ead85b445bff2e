"""Rules give alerts another severity, and the gateway's own stays beside it."""

from __future__ import annotations

from tests.hub.gateway import alert
from vedette_hub.alerts.lifecycle import AlertRecord, Ruling, acknowledge, apply
from vedette_hub.alerts.matching import Matchers
from vedette_hub.alerts.severity import SeverityRule, by_rules, ruling


def test_the_first_rule_that_applies_counts() -> None:
    rules = [
        SeverityRule("off", "low", enabled=False),
        SeverityRule("others", "low", Matchers(gateway=("gw-2",))),
        SeverityRule("boiler", "critical", Matchers(device=("pump-*",)), score_at_least=1.5),
        SeverityRule("rest", "low"),
    ]
    assert ruling(rules, alert(1, score=1.5)) == Ruling("critical", "boiler")
    assert ruling(rules, alert(1, score=1.4)) == Ruling("low", "rest")
    assert ruling(rules[:3], alert(1, score=float("nan"))) is None
    assert ruling([], alert(1)) is None


def test_a_condition_on_severity_is_about_the_gateways() -> None:
    rules = [SeverityRule("calm", "low", Matchers(severity=("medium",)))]
    record = apply(None, alert(1), by_rules(rules))
    assert (record.severity, record.event.severity) == ("low", "medium")
    assert apply(record, alert(1, revision=2, severity="high"), by_rules(rules)).severity == "high"


def test_a_rule_speaks_when_an_event_comes_and_not_for_an_older_one() -> None:
    record = apply(None, alert(1, revision=2))
    assert record.severity == "medium"
    rule = by_rules([SeverityRule("all", "critical")])
    assert apply(record, alert(1, revision=1), rule) is record
    assert apply(record, alert(1, revision=3), rule).ruling == Ruling("critical", "all")


def test_a_rise_of_the_severity_that_counts_asks_again() -> None:
    rule = by_rules([SeverityRule("worse", "critical", score_at_least=5.0), SeverityRule("rest", "low")])
    seen = acknowledge(apply(None, alert(1), rule), "ana", 1.0)
    assert seen.acknowledged
    assert apply(seen, alert(1, revision=2, severity="critical"), rule).acknowledged, "it is low for the hub"
    assert not apply(seen, alert(1, revision=2, score=6.0), rule).acknowledged


def test_without_rules_the_record_is_the_gateways() -> None:
    assert apply(None, alert(1)) == AlertRecord(alert(1))
