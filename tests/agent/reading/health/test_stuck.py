from __future__ import annotations

import numpy as np
import pytest

from tests.agent.reading.health.series import ONE, shown
from vedette_agent.reading.health.stuck import MIN_RUN, Stuck
from vedette_models.profile import Channel, Profile


def stuck(profile: Profile = ONE) -> Stuck:
    check = Stuck(profile)
    check.fields.resize(1)
    return check


def noise(readings: int, decimals: int, seed: int = 0) -> list[float]:
    return [float(x) for x in np.random.default_rng(seed).normal(20.0, 1.0, readings).round(decimals)]


def test_a_value_that_is_repeated_far_longer_than_ever_is_stuck_until_it_moves() -> None:
    values = [*noise(400, 3), *[20.5] * 20, *noise(50, 3, 1)]
    said = shown(stuck().examine, values)
    assert list(said) == list(range(400 + MIN_RUN, 420))
    assert said[419] == (19.0, 0.0)


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_the_limit_follows_from_how_often_the_channel_repeats_itself(decimals: int) -> None:
    assert shown(stuck().examine, noise(3_000, decimals)) == {}
    assert shown(stuck().examine, [*noise(1_000, decimals), *[20.0] * 60])


def test_a_channel_that_never_moved_is_not_stuck() -> None:
    assert shown(stuck().examine, [20.0] * 2_000) == {}


def test_a_channel_that_mostly_rests_is_not_stuck() -> None:
    values = [float(i % 40 == 0) for i in range(2_000)]
    assert shown(stuck().examine, [*values, *[0.0] * 500]) == {}


def test_a_device_that_measures_less_often_than_it_reports_is_not_stuck() -> None:
    assert shown(stuck().examine, [x for x in noise(500, 3) for _ in range(5)]) == {}


def test_spells_of_rest_are_learnt() -> None:
    spell = [*noise(50, 3), *[20.5] * 6]
    assert shown(stuck().examine, spell * 30) == {}
    assert shown(stuck().examine, [*spell * 30, *noise(50, 3), *[20.5] * 14]) == {}


def test_where_a_channel_rests_at_the_end_of_its_range_it_is_not_stuck() -> None:
    bounded = Profile("p", (Channel("x", low=-5.0, high=22.0),))
    values = [min(x, 22.0) for x in noise(400, 3)]
    assert shown(stuck(bounded).examine, [*values, *[22.0] * 30]) == {}
    assert shown(stuck().examine, [*[abs(x) for x in noise(400, 3)], *[0.0] * 30]) == {}


def test_the_first_readings_say_nothing() -> None:
    assert shown(stuck().examine, [*noise(60, 3), *[20.5] * 20]) == {}
