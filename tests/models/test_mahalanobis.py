"""T² of several channels: what it finds, what it leaves out, when it begins to speak, and what it calls normal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.baselines import normal_start
from vedette_models.columns import Columns
from vedette_models.detectors.base import StateError
from vedette_models.detectors.learnt import Learnt
from vedette_models.detectors.mahalanobis import FIRST_FIT, Mahalanobis
from vedette_models.detectors.mahalanobis_baseline import distance, shrunk
from vedette_models.detectors.mahalanobis_moments import Moments, layout
from vedette_models.detectors.mahalanobis_scores import MEAN, OTHERS, VALUE, MahalanobisScores
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected, Rejection

READINGS = 1_200


def plant(readings: int = READINGS, channels: int = 3, seed: int = 0) -> NDArray[np.float64]:
    """Channels that follow one load, each with noise of its own."""
    draw = np.random.default_rng(seed)
    load = draw.normal(size=(readings, 1))
    return 100.0 + load * np.arange(1, channels + 1) + draw.normal(0.0, 0.3, (readings, channels))


def score(detector: Mahalanobis, values: NDArray[np.float64], device: int = 0) -> MahalanobisScores:
    return detector.score(ReadingBatch.of(np.full(len(values), device), np.arange(len(values)), values))


def test_it_is_silent_until_a_baseline_has_proved_itself() -> None:
    detector = Mahalanobis(3, 1)
    values = plant(FIRST_FIT + 100)
    values[FIRST_FIT // 2] += 50.0
    assert not score(detector, values).total.any()
    assert not detector.is_trusted(0)
    score(detector, plant(100, seed=1))
    assert detector.is_trusted(0)


def test_a_baseline_that_does_not_hold_is_taken_anew_and_nothing_is_reported_meanwhile() -> None:
    values = plant(2_000)
    values[FIRST_FIT:500, 2] = 200.0 - values[FIRST_FIT:500, 2]  # another plant for a while
    detector = Mahalanobis(3, 1)
    total = score(detector, values).total
    assert not total[:500].any()
    assert detector.is_trusted(0)
    assert total[-500:].max() < 1.0


def test_normal_time_stays_within_reach() -> None:
    detector = Mahalanobis(3, 20)
    values = np.concatenate([plant(3_000, seed=device) for device in range(20)])
    batch = ReadingBatch.of(np.repeat(np.arange(20), 3_000), np.arange(60_000), values)
    total = detector.score(batch).total.reshape(20, 3_000)
    assert (total[:, 384:] > 0.0).all()
    assert (total.max(axis=1) < 1.0).mean() >= 0.9


def test_a_channel_that_no_longer_follows_the_others_is_found_and_named_though_each_value_is_usual() -> None:
    values = plant()
    values[1_000:, 2] = 200.0 - values[1_000:, 2]
    scores = score(Mahalanobis(3, 1), values)
    assert scores.total[:1_000].max() < 1.0
    row = 1_000 + int((scores.total[1_000:] >= 1.0).argmax())
    assert row < 1_030
    assert scores.by_channel[row].argmax() == 2
    assert scores.by_channel[row].sum() == pytest.approx(scores.total[row])
    found = {scores.finding(1_000 + i, 2) for i in np.flatnonzero(scores.by_channel[1_000:, 2])}
    assert {one.aspect for one in found if one is not None} <= {OTHERS, MEAN, VALUE}
    assert any(one is not None and one.aspect == OTHERS and not one.low <= one.value <= one.high for one in found)


def test_a_value_that_is_unusual_by_itself_is_said_as_such() -> None:
    values = plant()
    values[1_000:, 0] += 12.0
    scores = score(Mahalanobis(3, 1), values)
    row = int((scores.total >= 1.0).argmax())
    finding = scores.finding(row, 0)
    assert finding is not None
    assert finding.aspect == VALUE
    assert finding.value == values[row, 0]
    assert 90.0 < finding.low < 100.0 < finding.high < 110.0 < finding.value


def test_channels_are_left_out_and_it_says_which_and_why() -> None:
    values = plant(2_000, channels=6)
    values[:, 1] = np.nan
    values[:, 2] = 7.0
    values[::5, 3], values[1::5, 3] = np.nan, np.nan
    values[2::5, 3], values[3::5, 3] = np.nan, np.nan
    values[:, 4] += np.linspace(0.0, 200.0, 2_000)
    detector = Mahalanobis(6, 1)
    assert detector.left_out(0) is None
    score(detector, values)
    said = detector.left_out(0)
    assert said is not None
    assert {channel: why.split(":")[0] for channel, why in said.items()} == {
        1: "never reported",
        2: "constant",
        3: "reported in fewer than 25% of the readings",
        4: "drifting",
    }
    assert detector.is_trusted(0)


def test_two_channels_of_which_one_never_reports_are_not_judged_and_that_is_said() -> None:
    values = plant(2_000, channels=2)
    values[:, 1] = np.nan
    values[1_500:1_510, 0] += 50.0
    detector = Mahalanobis(2, 1)
    assert not score(detector, values).total.any()
    assert detector.left_out(0) == {1: "never reported"}
    assert not detector.is_trusted(0)


def test_a_missing_channel_counts_as_what_the_others_let_expect() -> None:
    whole, gaps = plant(2_500, seed=3), plant(2_500, seed=3)
    gaps[1_000:, 1][np.random.default_rng(0).random(1_500) < 0.5] = np.nan
    with_gaps, without = score(Mahalanobis(3, 1), gaps), score(Mahalanobis(3, 1), whole)
    assert max(with_gaps.total.max(), without.total.max()) < 1.0
    assert not with_gaps.by_channel[np.isnan(gaps)].any()
    precision = np.linalg.inv(np.array([[[1.0, 0.9], [0.9, 1.0]]]))
    far = distance(np.array([[3.0, 0.0]]), precision, np.full((1, 2), True), np.array([[True, False]]))
    assert far.t_squared[0] == pytest.approx((9.0 + 1.0) / 2.0)


def test_a_lasting_new_regime_is_reported_first_and_then_the_new_normal() -> None:
    values = plant(4_500)
    values[1_500:] = plant(3_000, seed=1) + np.array([0.0, 30.0, 0.0])
    detector = Mahalanobis(3, 1)
    total = score(detector, values).total
    assert total[1_500:1_530].max() >= 1.0
    assert (total[1_600:2_900] >= 1.0).all()
    assert total[-500:].max() < 1.0
    back = score(detector, plant(100, seed=2)).total
    assert back.max() >= 1.0, "what was normal before is strange now"


def test_a_regime_that_keeps_moving_is_never_normal() -> None:
    values = plant(5_000)
    values[1_500:] += np.outer(np.linspace(20.0, 2_000.0, 3_500), [1.0, 1.0, 1.0])
    total = score(Mahalanobis(3, 1), values).total
    assert (total[1_600:] >= 1.0).all()


def test_one_wild_reading_is_no_alarm() -> None:
    values = plant(2_000)
    values[1_500] = 1e9
    values[1_501:] = plant(499, seed=5)
    total = score(Mahalanobis(3, 1), values).total
    assert total[1_600:].max() < 1.0, "it is over soon"


def test_moments_are_those_of_numpy() -> None:
    x = plant(700)
    columns = Columns(layout("own", 3), 3, 1)
    moments = Moments(columns.arrays, "own", 3)
    for row in x:
        moments.learn(np.array([0]), row[None, :], row[None, :], np.full((1, 3), True))
    assert moments.mean[0] == pytest.approx(x.mean(axis=0))
    assert moments.covariance[0] == pytest.approx(np.cov(x.T, bias=True), rel=1e-9)
    assert moments.drift(np.array([0]))[0].max() < 0.4


def test_drift_is_seen_at_every_length_of_the_past() -> None:
    draw = np.random.default_rng(0)
    moments = Moments(Columns(layout("own", 2), 2, 1).arrays, "own", 2)
    for step in range(3_000):
        row = np.array([[0.1 * step, 0.0]]) + draw.normal(size=(1, 2))
        moments.learn(np.array([0]), row, row, np.full((1, 2), True))
        if step >= 200 and step % 100 == 0:
            ramp, noise = moments.drift(np.array([0]))[0]
            assert ramp > 1.0 > 0.4 > noise


def test_covariances_stay_positive_semidefinite_whatever_is_missing() -> None:
    draw = np.random.default_rng(0)
    columns = Columns(layout("own", 4), 4, 1)
    moments = Moments(columns.arrays, "own", 4)
    for row in plant(600, channels=4):
        reported = draw.random((1, 4)) < np.array([1.0, 0.7, 0.3, 0.1])
        moments.learn(np.array([0]), np.where(reported, row, np.nan), np.where(reported, row, 0.0), reported)
    assert np.linalg.eigvalsh(moments.covariance[0])[0] >= -1e-12


def test_shrinkage_is_near_that_of_scikit_learn() -> None:
    covariance = pytest.importorskip("sklearn.covariance", reason="scikit-learn is not on a gateway")
    x = plant(300, channels=5)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = covariance.LedoitWolf(assume_centered=True).fit(z).covariance_
    ours = shrunk((z.T @ z / len(z))[None], np.full((1, 5), True), np.array([300.0]))[0]
    assert ours == pytest.approx(theirs, abs=0.02)


def test_saved_values_that_no_reading_leads_to_are_refused() -> None:
    detector = Mahalanobis(3, 1)
    score(detector, plant(400))
    for name, value in (("progress", -1.0), ("progress", np.nan), ("own_mean", np.inf), ("left_out", 77)):
        state = detector.state()
        state[name][...] = value
        with pytest.raises(StateError, match=name):
            detector.restore(state)


def test_a_device_without_a_proven_baseline_of_its_own_takes_the_hubs() -> None:
    own = Mahalanobis(3, 2)
    score(own, plant(1_000), device=0)
    score(own, plant(100), device=1)
    taught = Mahalanobis(3, 2, start=normal_start(3))
    taught.restore(own.state())
    assert np.array_equal(taught.state()["own_mean"][0], own.state()["own_mean"][0])
    assert not taught.is_trusted(1)
    score(taught, 1013.25 * np.arange(3) + np.zeros((1, 3)), device=1)
    assert taught.is_trusted(1)


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        Mahalanobis(65)


good = normal_start(3).learnt


@pytest.mark.parametrize(
    ("learnt", "why"),
    [
        (good._replace(width=4), Rejection.OTHER_FEATURES),
        (good._replace(parameters={"readings": 10}), Rejection.OTHER_ARRAYS),
        (good._replace(parameters={"readings": 10.5, "reach": 2.0}), Rejection.WRONG_FIELD),
        (good._replace(parameters={"readings": 10, "reach": 0.0}), Rejection.WRONG_FIELD),
        (good._replace(arrays={**good.arrays, "more": np.zeros(3)}), Rejection.OTHER_ARRAYS),
        (good._replace(arrays={**good.arrays, "scale": np.zeros(2)}), Rejection.SHAPES_DISAGREE),
        (good._replace(arrays={**good.arrays, "scale": -np.ones(3)}), Rejection.BROKEN_STRUCTURE),
        (good._replace(arrays={**good.arrays, "location": np.full(3, np.nan)}), Rejection.NOT_FINITE),
        (good._replace(arrays={**good.arrays, "location": np.full(3, 1e200)}), Rejection.WRONG_FIELD),
        (good._replace(arrays={**good.arrays, "correlation": np.eye(4)}), Rejection.SHAPES_DISAGREE),
        (good._replace(arrays={**good.arrays, "correlation": np.ones((3, 3))}), Rejection.BROKEN_STRUCTURE),
        (good._replace(arrays={**good.arrays, "correlation": np.triu(np.ones((3, 3)))}), Rejection.BROKEN_STRUCTURE),
    ],
    ids=lambda value: str(value) if isinstance(value, Rejection) else "",
)
def test_what_is_no_baseline_is_refused(learnt: Learnt, why: Rejection) -> None:
    with pytest.raises(ArtifactRejected) as refused:
        Mahalanobis.build(3, learnt)
    assert refused.value.reason == why


def test_what_it_was_built_from_comes_out_again() -> None:
    again = Mahalanobis.build(3, good).learnt
    assert again.parameters == good.parameters
    assert all(np.array_equal(again.arrays[name], array) for name, array in good.arrays.items())
    with pytest.raises(ValueError, match="nothing"):
        _ = Mahalanobis(3).learnt


def test_a_channel_that_comes_back_is_not_compared_with_what_it_was_long_ago() -> None:
    seeds, learnt, gap, after = 30, 900, 150, 40
    noise = np.stack([np.random.default_rng(seed).normal(size=(learnt + gap + after, 3)) for seed in range(seeds)], 1)
    load = np.sin(2 * np.pi * np.arange(len(noise)) / 24)[:, None, None] * np.array([1.0, 2.0, -1.0])
    values = load + 0.02 * noise
    values[learnt : learnt + gap, :, 1] = np.nan
    detector = Mahalanobis(3, seeds)
    alerting = np.zeros(seeds, np.bool_)
    for step, row in enumerate(values):
        total = detector.score(ReadingBatch.of(np.arange(seeds), np.full(seeds, 300.0 * step), row)).total
        if step >= learnt + gap:
            alerting |= total >= 1.0

    assert all(detector.is_trusted(row) for row in range(seeds))
    assert not alerting.any()


def test_a_channel_that_is_constant_but_for_a_step_is_not_called_drifting() -> None:
    values = np.random.default_rng(1).normal(size=(1_000, 3))
    values[:, 2] = np.where(np.arange(1_000) < 600, 5.0, 6.0)
    detector = Mahalanobis(3, 1)
    detector.score(ReadingBatch.of(np.zeros(1_000, np.intp), 60.0 * np.arange(1_000), values))

    assert detector.left_out(0) == {2: "constant but for a few steps"}
