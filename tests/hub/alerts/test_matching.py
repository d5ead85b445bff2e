"""Which alerts something is for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.gateway import alert
from vedette_hub.alerts.matching import Matchers


@pytest.mark.parametrize(
    ("matchers", "expected"),
    [
        (Matchers(), True),
        (Matchers(gateway=("gw-1",)), True),
        (Matchers(gateway=("gw-2",)), False),
        (Matchers(gateway=("gw-2", "gw-*")), True),
        (Matchers(gateway=("GW-1",)), False),
        (Matchers(device=("pump-?",)), True),
        (Matchers(device=("pump-??",)), False),
        (Matchers(device=("pump-[0-9]",)), False),
        (Matchers(profile=("p*p",), kind=("anomaly",)), True),
        (Matchers(profile=("p*p",), kind=("stuck",)), False),
        (Matchers(severity=("low", "high")), True),
        (Matchers(severity=("medium",)), False),
    ],
)
def test_every_field_with_patterns_must_match_one_of_them(matchers: Matchers, expected: bool) -> None:
    assert matchers.match(alert(7), "high") is expected


def test_a_bracket_in_a_name_is_a_bracket() -> None:
    assert Matchers(device=("hall [7]*",)).match(alert(device="hall [7] pump"), "low")
    assert not Matchers(device=("hall [7]*",)).match(alert(device="hall 7 pump"), "low")


names = st.text(st.sampled_from("ab*?[]!\n"), min_size=1, max_size=12)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(names, names)
def test_a_name_matches_itself_and_stars_match_what_they_stand_for(name: str, other: str) -> None:
    assert Matchers(device=(name,)).match(alert(device=name), "low")
    assert Matchers(device=(f"{name}*",)).match(alert(device=name + other), "low")
    plain = not set(name) & {"*", "?"}
    if plain and name != other:
        assert not Matchers(device=(name,)).match(alert(device=other), "low")


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(names, max_size=3), st.lists(names, max_size=3))
def test_what_is_stored_reads_back_as_it_was(gateways: list[str], devices: list[str]) -> None:
    matchers = Matchers(gateway=tuple(gateways), device=tuple(devices))
    assert Matchers.of(matchers.patterns()) == matchers
