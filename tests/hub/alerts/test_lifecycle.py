"""An alert's state follows from its events and from what people did, not from the order in which they arrive."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.gateway import alert
from vedette_hub.alerts.lifecycle import AlertRecord, acknowledge, apply, label, resolve
from vedette_models.messages import SEVERITIES, Alert


def events(severities: list[str], cleared: list[bool]) -> list[Alert]:
    return [
        alert(revision=i + 1, severity=severity, state="cleared" if end else "active", cleared=5.0 if end else None)
        for i, (severity, end) in enumerate(zip(severities, cleared, strict=False))
    ]


histories = st.builds(
    events,
    st.lists(st.sampled_from(SEVERITIES), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
)


def replay(order: list[Alert]) -> AlertRecord:
    record = None
    for event in order:
        record = apply(record, event)
    assert record is not None
    return record


@settings(derandomize=True, max_examples=200, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_the_highest_revision_counts_in_any_order_and_however_often(history: list[Alert], random: object) -> None:
    order = history * 2
    random.shuffle(order)  # type: ignore[attr-defined]
    assert replay(order) == replay(history)
    assert replay(order).event == history[-1]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_an_acknowledgement_holds_the_same_whatever_order_later_events_come_in(
    history: list[Alert], random: object
) -> None:
    seen = acknowledge(replay(history[:1]), "ana", 9.0)
    later = history[1:]
    shuffled = later[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = seen, seen
    for event in later:
        one = apply(one, event)
    for event in shuffled:
        other = apply(other, event)
    assert one == other
    worse = SEVERITIES.index(one.event.severity) > SEVERITIES.index(history[0].severity)
    assert one.acknowledged is not worse


def test_clearing_and_acknowledging_are_two_facts() -> None:
    active = replay([alert()])
    cleared = apply(active, alert(revision=2, state="cleared", cleared=7.0, cleared_by="quiet"))
    assert (active.state, active.acknowledged) == ("active", False)
    assert (cleared.state, cleared.acknowledged, cleared.cleared, cleared.cleared_by) == (
        "cleared",
        False,
        7.0,
        "quiet",
    )
    assert acknowledge(active, "ana", 1.0).state == "active"
    assert acknowledge(cleared, "ana", 1.0).acknowledged


def test_the_first_acknowledgement_stays_on_record_until_severity_rises() -> None:
    record = acknowledge(replay([alert(severity="low")]), "ana", 1.0)
    assert acknowledge(record, "ben", 2.0) == record
    worse = apply(record, alert(revision=2, severity="critical"))
    assert not worse.acknowledged
    again = acknowledge(worse, "ben", 3.0)
    assert again.acknowledgement is not None
    assert again.acknowledgement.by == "ben"


def test_resolving_clears_until_the_gateway_has_news() -> None:
    resolved = resolve(replay([alert(revision=3)]), "ana", 50.0)
    assert (resolved.state, resolved.cleared, resolved.cleared_by) == ("cleared", 50.0, "resolved")
    assert resolved.acknowledged
    assert apply(resolved, alert(revision=2)).state == "cleared"
    assert apply(resolved, alert(revision=4)).state == "active"
    ended = apply(resolved, alert(revision=4, state="cleared", cleared=60.0, cleared_by="quiet"))
    assert (ended.cleared, ended.cleared_by) == (60.0, "quiet")


def test_resolving_what_is_cleared_only_acknowledges() -> None:
    record = resolve(replay([alert(state="cleared", cleared=4.0)]), "ana", 50.0)
    assert record.resolution is None
    assert record.acknowledged


def test_the_newest_label_counts() -> None:
    record = label(label(replay([alert()]), "true", "ana", 1.0), "normal", "ben", 2.0)
    assert record.label is not None
    assert (record.label.value, record.label.by) == ("normal", "ben")
