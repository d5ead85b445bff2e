"""Topics are resolved once, and remembered within bounds."""

from __future__ import annotations

import pytest

from vedette_agent.config import Limits, Stream
from vedette_agent.reading.decoding.document import DecodeError
from vedette_agent.reading.decoding.routes import Route, Routes
from vedette_models.profile import Channel, Profile


@pytest.fixture
def made() -> Routes:
    return routes_for(Limits())


def routes_for(limits: Limits) -> Routes:
    streams = [
        Stream(topic="plant/{device}/+/{channel}", profile="p"),
        Stream(topic="line/#", profile="q", device="id"),
    ]
    profiles = {"p": Profile("p", (Channel("a"), Channel("b"))), "q": Profile("q", (Channel("c"),))}
    return Routes(streams, profiles, limits)


def test_levels_say_device_and_channel_and_are_used_as_they_stand(made: Routes) -> None:
    route = made["plant/d%201/x/b"]
    assert (route.profile, route.device) == ("p", "d%201")
    assert route.reader.read(b"7")[-2:] == (routes_absent(route), 7.0)
    assert made["line"] == made["line/3/4"]
    assert made["line"].device is None


def routes_absent(route: Route) -> object:
    return route.reader.read(b"null")[-2]


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("plant/d/x", "no_stream"),
        ("$SYS/uptime", "no_stream"),
        ("vedette/x/status", "bad_topic"),
        ("plant/d/x/c", "no_channel"),
        ("plant//x/a", "no_device"),
        ("plant/\x00/x/a", "no_device"),
        (f"plant/{'d' * 129}/x/a", "no_device"),
    ],
)
def test_a_topic_nobody_wants_says_why_every_time(made: Routes, topic: str, reason: str) -> None:
    for _ in range(2):
        with pytest.raises(DecodeError) as caught:
            made[topic]
        assert caught.value.reason == reason


def test_a_flood_of_topics_does_not_grow_memory() -> None:
    made = routes_for(Limits(max_devices=25))
    for i in range(1_000):
        assert made[f"line/{i}"].profile == "q"
        with pytest.raises(DecodeError):
            made[f"other/{i}"]
        assert len(made) <= 100
    before = len(made)
    assert made["line/" + "x" * 600].profile == "q"
    assert len(made) == before


@pytest.mark.parametrize("topic", ["line/" + "x" * 65_000, "/" * 65_535, "plant" + "/x" * 32_000])
def test_a_giant_topic_is_refused_before_it_is_taken_apart(topic: str) -> None:
    made = routes_for(Limits())
    with pytest.raises(DecodeError) as caught:
        made[topic]
    assert caught.value.reason == "bad_topic"
    assert "limits.topic_length" in caught.value.detail
    assert len(caught.value.detail) < 500
    with pytest.raises(DecodeError, match="matches no"):
        routes_for(Limits(topic_length=65_535))["x" * 65_000]
