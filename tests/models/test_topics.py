from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vedette_models import topics
from vedette_models.topics import TopicPattern

bounded = settings(deadline=None, derandomize=True)
names = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
levels = st.lists(st.sampled_from(["a", "b", "", "$x", "plant 3"]), min_size=1, max_size=5)
filter_levels = st.lists(st.sampled_from(["a", "b", "", "$x", "+"]), min_size=1, max_size=5)


@bounded
@given(names)
@example("line 3/pump+1#")
@example("päump%2F")
@example(".")
def test_any_name_is_one_level_and_comes_back(name: str) -> None:
    level = topics.encode(name)
    assert not set(level) & set("/+#\0 ")
    assert topics.decode(level) == name


@bounded
@given(names, st.sampled_from(["alerts", "status", "response/test"]))
def test_what_a_gateway_says_names_it(gateway: str, subject: str) -> None:
    topic = topics.gateway_up(gateway, subject)
    assert topics.parse_up(topic) == (gateway, subject)
    assert topics.matches(topics.UP_ALL, topic)
    assert topics.is_own(topic)


@bounded
@given(names, names, names)
def test_alerts_of_a_device_are_found_by_the_filter_of_its_gateway(gateway: str, device: str, kind: str) -> None:
    topic = topics.device_alert(gateway, device, kind)
    assert topics.matches(topics.device_alerts(gateway), topic)
    assert not topics.matches(topics.device_alerts(gateway + "x"), topic)
    assert topics.matches(topics.local_status("+").replace("%2B", "+"), topics.local_status(gateway))


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vedette",
        "vedette/v1/gw/g/up",
        "vedette/v1/gw/g/down/receipts",
        "vedette/v2/gw/g/up/alerts",
        "x/v1/gw/g/up/a",
    ],
)
def test_other_topics_are_not_what_a_gateway_says(topic: str) -> None:
    assert topics.parse_up(topic) is None


def test_what_the_hub_says_is_not_what_the_gateway_says() -> None:
    assert topics.gateway_down("g 1", "receipts") == "vedette/v1/gw/g%201/down/receipts"


@pytest.mark.parametrize(
    ("topic", "own"), [("vedette", True), ("vedette/x", True), ("vedettes/x", False), ("plant/vedette", False)]
)
def test_own_topics_are_known(topic: str, own: bool) -> None:
    assert topics.is_own(topic) is own


def spelled_out(wanted: list[str], given_levels: list[str]) -> bool:
    """MQTT 5, section 4.7, by recursion."""
    if not wanted:
        return not given_levels
    if wanted[0] == "#":
        return True
    return bool(given_levels) and wanted[0] in ("+", given_levels[0]) and spelled_out(wanted[1:], given_levels[1:])


@bounded
@given(filter_levels, st.booleans(), levels)
@example(["a"], True, ["a"])
@example([], True, ["$x", "a"])
def test_filters_match_as_the_standard_says(wanted: list[str], rest: bool, topic: list[str]) -> None:
    wanted = [*wanted, "#"] if rest else wanted
    hidden = topic[0].startswith("$") and wanted[0] in ("+", "#")
    assert topics.matches("/".join(wanted), "/".join(topic)) == (spelled_out(wanted, topic) and not hidden)


def test_a_pattern_names_its_levels() -> None:
    pattern = TopicPattern.parse("plant/{device}/+/{channel}")
    assert pattern.filter == "plant/+/+/+"
    assert pattern.level("device", "plant/p1/x/flow") == "p1"
    assert pattern.level("channel", "plant/p1/x/flow") == "flow"
    assert TopicPattern.parse("plant/#").level("device", "plant/p1") is None


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("", "1 to 65,535 bytes"),
        ("a\0b", "NUL"),
        ("x" * 65_536, "65,535"),
        ("{thing}/a", "not known"),
        ("{device}/{device}", "twice"),
        ("a/x{device}", "whole level"),
        ("a/b+", "whole level"),
        ("a/b#", "whole level"),
        ("a/#/b", "last level"),
    ],
)
def test_a_bad_pattern_is_refused_in_words(pattern: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        TopicPattern.parse(pattern)
