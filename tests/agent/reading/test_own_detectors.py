"""What watches a profile with nothing but channel names, and which channels it says it does not judge."""

from __future__ import annotations

import numpy as np
import pytest

from vedette_agent.reading.profile_watch import ProfileWatch, own_detectors
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        (1, ["rangebreak"]),
        (2, ["rangebreak", "mahalanobis"]),
        (64, ["rangebreak", "mahalanobis"]),
        (65, ["rangebreak"]),
    ],
)
def test_own_detectors_follow_from_the_number_of_channels(channels: int, names: list[str]) -> None:
    assert [detector.name for detector in own_detectors(channels)] == names


def test_it_says_of_each_device_which_channels_are_left_out_and_why() -> None:
    profile = Profile("pump", (Channel("flow"), Channel("pressure"), Channel("spare")))
    watch = ProfileWatch(profile, "gw", "epoch", 10)
    draw, readings = np.random.default_rng(0), 300
    for name in ("well", "broken", "new"):
        watch.table.row(name)
    values = draw.normal(size=(2 * readings, 3))
    values[readings:, 2] = np.nan
    time = np.tile(1.7e9 + 60.0 * np.arange(readings), 2)
    watch.process(ReadingBatch.of(np.repeat([0, 1], readings), time, values))
    assert watch.left_out() == {"broken": {"spare": "never reported"}}


def test_times_that_repeat_or_go_back_change_nothing_about_the_channels_together() -> None:
    profile = Profile("pump", (Channel("flow"), Channel("pressure")))
    values = np.random.default_rng(1).normal(size=(600, 2))
    values[550:] += 6.0
    scores = []
    for time in (np.arange(600.0), np.zeros(600), -np.arange(600.0)):
        (mahalanobis,) = (d for d in own_detectors(len(profile.channels)) if d.name == "mahalanobis")
        mahalanobis.resize(1)
        scores.append(mahalanobis.score(ReadingBatch.of(np.zeros(600, int), time, values)).total)
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])
    assert scores[0].max() > 1.0
