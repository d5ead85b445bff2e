"""Forecasts are learnt from what gateways send, proved against statsmodels, and refused where nothing can be learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.hub.learning.readings import START
from tests.models.forecasts import NOISE, PASSING, following, forecast, rhythm
from tests.models.forecasts import START as FIRST
from vedette_hub.config import LearningSection
from vedette_hub.learning import trainer
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Dataset, Source, build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training import forecast as training
from vedette_hub.learning.training import forecast_model, forecast_proof, forecast_season
from vedette_hub.learning.training.forecast_season import Readings
from vedette_hub.learning.training.trained import Settings, Trained
from vedette_models.artifact import load
from vedette_models.detectors.forecast import Forecast

DAY = 86_400.0


def device(number: int, *, days: float = 16.0, swing: float = 1.0, level: float = 50.0) -> Series:
    time, values = following(days, every=1800.0, level=level, swing=swing, seed=number)
    never = np.full(len(time), np.nan)
    return Series(f"pump-{number}", time, np.stack([values, never], axis=1))


def source(*parts: Series) -> Source:
    return Source("pump", ("flow", "speed"), parts, "gateways", name="test")


def dataset(*parts: Series) -> Dataset:
    return build(source(*parts), width=4, at_least=50, at_most=50_000)


@pytest.fixture(scope="module")
def fleet() -> Dataset:
    """Two devices of another level and size."""
    return dataset(device(1, swing=0.8), device(2, swing=1.2, level=-300.0))


@pytest.fixture(scope="module")
def trained(fleet: Dataset) -> Trained:
    return training.train(fleet, Settings(), lambda done, what: None)


def test_the_season_and_the_noise_are_found(trained: Trained) -> None:
    detector = trained.detector
    assert isinstance(detector, Forecast)
    arrays = detector.learnt.arrays
    moments = FIRST + 1800.0 * np.arange(336)
    learnt = np.interp(moments % DAY / DAY, np.arange(48) / 48, arrays["daily"][0], period=1.0)
    learnt += np.interp(moments % (7 * DAY) / (7 * DAY), np.arange(168) / 168, arrays["weekly"][0], period=1.0)
    truth = rhythm(moments)
    assert np.abs(learnt - learnt.mean() - truth + truth.mean()).mean() < 0.4
    total = NOISE * np.hypot(1.0, PASSING)
    unit, passing = arrays["unit"][0], arrays["passing"][0]
    assert 0.7 * total < unit * np.sqrt(1.0 + passing) < 1.4 * total


def test_it_expects_what_statsmodels_expects(trained: Trained) -> None:
    parity = trained.parity
    assert parity.inputs >= 4096
    assert parity.near >= 2048
    assert parity.flips == 0
    assert parity.max_error < 1e-8


def test_training_time_hardly_alerts(fleet: Dataset, trained: Trained) -> None:
    assert trained.scores.shape == (len(fleet.vectors.series),)
    assert trained.scores.any()
    assert (trained.scores[fleet.trained] >= 1.0).mean() < 0.005


def test_a_channel_that_never_reports_is_not_judged_and_said(trained: Trained) -> None:
    detector = trained.detector
    assert isinstance(detector, Forecast)
    assert detector.judged.tolist() == [True, False]
    assert trained.figures["not_forecast"] == {"speed": "it never reported"}
    assert trained.figures["forecast"]["flow"]["rhythm"] == "day and week"


def test_the_trainer_makes_an_artefact_that_a_gateway_takes() -> None:
    made = trainer.train(source(device(1, days=8)), LearningSection(), START, algorithm="forecast")
    model = load(made.data, profile="pump", channels=("flow", "speed"))
    assert model.artifact.detector == "forecast"
    assert made.report["parity"]["flips"] == 0
    assert made.report["forecast"]["flow"]["rhythm"] == "day"
    assert len(made.data) < 200_000


def test_fragments_teach_the_same_rhythm() -> None:
    random = np.random.default_rng(1)
    readings = []
    for number in range(3):
        time, values = following(35, every=600.0, level=100.0 * number, seed=number)
        kept = np.repeat(random.random(len(time) // 32 + 1) < 0.35, 32)[: len(time)]
        readings.append(Readings(f"pump-{number}", time[kept], values[kept]))
    step = forecast_season.step_of(readings)
    found = forecast_season.learn(readings, step)
    assert (step, found.weeks, len(found.daily)) == (900.0, True, 96)
    moments = FIRST + 900.0 * np.arange(672)
    learnt = np.resize(np.roll(found.daily, -round(FIRST % DAY / 900.0)), 672)
    learnt = found.daily[(moments % DAY // 900.0).astype(int)]
    truth = rhythm(moments)
    weekday = moments // DAY % 7 == 4
    assert np.corrcoef(learnt[weekday], truth[weekday])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (np.arange(0.0, 1.5 * DAY, 600.0), "the readings span 1.5 days"),
        (np.arange(0.0, 40 * DAY, 43_200.0), "a reading every 12 hours"),
        (np.concatenate([day * DAY + np.arange(0.0, DAY / 3, 600.0) for day in range(20)]), "% of the times of a day"),
    ],
)
def test_too_little_is_refused(time: np.ndarray, words: str) -> None:
    random = np.random.default_rng(2)
    values = np.sin(2 * np.pi * time / DAY) + random.normal(0.0, 0.1, len(time))
    one = Series("pump-1", FIRST + time, np.stack([values, values * np.nan], axis=1))
    with pytest.raises(TrainingRefusedError, match=words):
        training.train(dataset(one), Settings(), lambda done, what: None)


def test_a_constant_channel_is_refused() -> None:
    time = FIRST + 600.0 * np.arange(2_000)
    with pytest.raises(TrainingRefusedError, match="never changes"):
        training._learnt([Readings("pump-1", time, np.full(2_000, 5.0))], 300)


def test_outliers_in_the_training_data_do_not_set_the_noise() -> None:
    one = device(3, days=8)
    values = one.values.copy()
    values[::97, 0] += 200.0
    clean, dirty = (
        training._learnt(training._readings(dataset(each), 0), 300).moves for each in (one, replace(one, values=values))
    )
    assert dirty.unit < 2.0 * clean.unit


def test_an_export_that_expects_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = forecast(1, 0)
    assert forecast_proof.prove(detector, 1).flips == 0
    monkeypatch.setattr(forecast_model, "SLOPE_DAYS", 13.99)
    with pytest.raises(TrainingRefusedError, match="is not the one that was trained"):
        forecast_proof.prove(detector, 1)
