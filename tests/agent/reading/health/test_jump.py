from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.agent.reading.health.series import INTERVAL, ONE, T0, shown
from vedette_agent.reading.health.jump import AFTER, LONGEST, Jump

AT = 900


def jump() -> Jump:
    check = Jump(ONE)
    check.fields.resize(1)
    return check


def noise(readings: int = 1_000, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(20.0, 1.0, readings)


def with_offset(values: NDArray[np.float64], offset: float, length: int) -> NDArray[np.float64]:
    changed = values.copy()
    changed[AT : AT + length] += offset
    return changed


@pytest.mark.parametrize("length", [1, 2, 5, 12, LONGEST])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_what_leaves_suddenly_and_comes_back_is_a_jump_once_it_is_back(length: int, sign: float) -> None:
    said = shown(jump().examine, with_offset(noise(), sign * 15.0, length))
    ((place, jumped),) = said.items()
    assert AT + length + 2 <= place <= AT + length + AFTER + 8
    assert abs(jumped.readings - length) <= 1
    assert jumped.departure == pytest.approx(sign * 15.0, abs=2.5)
    assert abs(jumped.began - (T0 + INTERVAL * AT)) <= 2 * INTERVAL


def test_a_level_that_stays_is_none() -> None:
    assert shown(jump().examine, with_offset(noise(), 15.0, 100)) == {}


def test_what_comes_and_goes_by_and_by_is_none() -> None:
    values = noise()
    values[AT : AT + 16] += 15.0 * np.sin(np.pi * np.arange(16) / 16)
    assert shown(jump().examine, values) == {}


def test_sound_channels_have_none() -> None:
    place = np.arange(2_500)
    season = 3.0 * np.sin(2.0 * np.pi * place / 288)
    for seed in range(3):
        assert shown(jump().examine, noise(2_500, seed) + season) == {}
        assert shown(jump().examine, noise(2_500, seed) + 0.01 * place) == {}
        assert shown(jump().examine, np.cumsum(noise(2_500, seed) - 20.0)) == {}


def test_a_channel_that_is_spiky_by_nature_sets_its_own_limit() -> None:
    random = np.random.default_rng(1)
    spikes = (random.random(2_500) < 0.03) * random.uniform(5.0, 30.0, 2_500)
    said = shown(jump().examine, noise(2_500) + spikes)
    assert len(said) <= 1


def test_a_channel_that_rests_has_no_noise_to_compare_with() -> None:
    values = np.full(1_000, 20.0)
    values[AT : AT + 3] = 50.0
    assert shown(jump().examine, values) == {}


def test_a_jump_of_the_same_size_is_told_once() -> None:
    values = noise(1_400)
    for at in range(900, 1_400, 60):
        values[at : at + 5] += 15.0
    assert 1 <= len(shown(jump().examine, values)) <= 3


def test_the_first_day_says_nothing() -> None:
    values = noise(280)
    values[200:205] += 15.0
    assert shown(jump().examine, values) == {}


def test_values_far_from_zero_lose_nothing() -> None:
    near, far = with_offset(noise(), 15.0, 6), with_offset(noise() + 1e6, 15.0, 6)
    assert [*shown(jump().examine, near)] == [*shown(jump().examine, far)]


def test_values_too_far_apart_for_single_precision_are_none() -> None:
    values = noise()
    values[AT : AT + 3] = 1e60
    assert shown(jump().examine, values) == {}


def offsets(length: int, size: float, seed: int, series: int = 300, readings: int = 700) -> tuple[int, int]:
    """(jumps told of an offset of noise that begins at reading 600, at any other time) of so many series."""
    random = np.random.default_rng(seed)
    values = random.normal(20.0, 1.0, (series, readings))
    values[:, 600 : 600 + length] += size
    check, rows, told, other = Jump(ONE), np.arange(series), 0, 0
    check.fields.resize(series)
    for i in range(readings):
        found = check.examine(rows, values[:, i], np.full(series, T0 + INTERVAL * i))
        told += sum(abs(i - what.ago - 600) <= 5 for what in found.values())
        other += sum(abs(i - what.ago - 600) > 5 for what in found.values())
    return told, other


def test_a_jump_does_not_set_its_own_limit_while_it_becomes_one() -> None:
    told, other = offsets(10, 4.0, seed=11)
    assert told >= 297
    assert other == 0


def test_what_lasts_longer_than_a_jump_may_is_a_level() -> None:
    assert offsets(LONGEST + 6, 6.0, seed=12) == (0, 0)


def test_a_step_that_stays_is_no_jump_even_where_a_line_through_it_would_tilt() -> None:
    assert offsets(100, 5.0, seed=13) == (0, 0)


def test_the_sentence_says_when() -> None:
    values = np.random.default_rng(3).normal(20.0, 1.0, 1_100)
    values[1_000:1_003] += 60.0
    check = Jump(ONE)
    check.fields.resize(1)
    (jumped,) = shown(check.examine, values).values()
    assert abs(jumped.began - (T0 + INTERVAL * 1_000)) <= INTERVAL
    assert ", from about 2023-11-18 09:3" in check._sentence(0, jumped)
