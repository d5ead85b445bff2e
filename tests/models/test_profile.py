from __future__ import annotations

import msgspec
import pytest

from vedette_models.profile import Channel, Decisions, Profile

PROFILE = Profile(
    "pump", (Channel("vibration", "mm/s", 0.0, 50.0), Channel("flow")), Decisions(threshold=0.3, cooldown=60.0)
)


def test_a_profile_comes_back_as_it_went() -> None:
    assert msgspec.json.decode(msgspec.json.encode(PROFILE), type=Profile) == PROFILE
    assert msgspec.convert(msgspec.to_builtins(PROFILE), Profile) == PROFILE


def test_channel_names_stand_in_column_order() -> None:
    assert PROFILE.channel_names == ("vibration", "flow")


def test_a_profile_needs_only_a_name_and_channels() -> None:
    profile = msgspec.convert({"name": "p", "channels": [{"name": "t"}]}, Profile)
    assert profile.decisions.threshold is None
    assert profile.channels[0] == Channel("t", unit="", low=None, high=None)


def test_severities_rise_and_an_alert_ends_below_where_it_began() -> None:
    decisions = Decisions()
    assert 1 < decisions.medium < decisions.high < decisions.critical
    assert 0 < decisions.hysteresis <= 1
    assert decisions.clear_after > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "p"},
        {"name": "p", "channels": [{"unit": "mm/s"}]},
        {"name": "p", "channels": [], "treshold": 1},
        {"name": "p", "channels": [{"name": "t", "units": "C"}]},
        {"name": "p", "channels": [{"name": "t", "low": "0"}]},
        {"name": "p", "channels": [], "decisions": {"treshold": 1}},
    ],
)
def test_an_unknown_or_wrong_field_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Profile)


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        PROFILE.name = "other"  # type: ignore[misc]  # that it is frozen is what is tested
