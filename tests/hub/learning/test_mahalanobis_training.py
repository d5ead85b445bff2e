"""Baselines for T²: what is learnt, what is left out and why, and that the export says what scikit-learn says."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from tests.hub.learning.readings import source
from vedette_hub.learning import datasets
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.algorithms import ALGORITHMS
from vedette_hub.learning.training.mahalanobis import drifting, smooth, t_squared, teach
from vedette_hub.learning.training.trained import Settings, Trained
from vedette_models.artifact import Artifact, Lineage, load, to_bytes
from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.readings import ReadingBatch

NAMES = ("pressure", "flow", "current", "speed")


def together(number: int = 1, readings: int = 900, channels: int = 3, level: float = 0.0) -> Series:
    """Channels that follow one load."""
    draw = np.random.default_rng(number)
    load = draw.normal(size=(readings, 1))
    values = 100.0 + level + load * np.arange(1, channels + 1) + draw.normal(0.0, 0.3, (readings, channels))
    return Series(f"pump-{number}", 1.7e9 + 60.0 * np.arange(readings), values)


def trained(*series: Series) -> Trained:
    found = source(*series, channels=series[0].values.shape[1])
    dataset = datasets.build(found, width=8, at_least=100, at_most=100_000)
    return ALGORITHMS["mahalanobis"](dataset, Settings(), lambda done, what: None)


def test_the_export_says_what_scikit_learn_says_and_loads_on_a_gateway() -> None:
    made = trained(together(1), together(2))
    assert made.parity.inputs == 4096
    assert made.parity.flips == 0
    assert made.parity.max_error < 1e-8
    lineage = Lineage(samples=1_000, first=1.7e9, last=1.8e9, trained=1.8e9)
    data = to_bytes(Artifact.of(made.detector, "pump", NAMES[:3], lineage, made.golden))
    assert isinstance(load(data, profile="pump", channels=NAMES[:3]).detector, Mahalanobis)
    assert 0.0 <= made.scores.min() <= made.scores.max() < 2.0
    assert made.figures["judged"] == list(NAMES[:3])


def test_t_squared_is_that_of_the_fitted_covariance() -> None:
    one = together()
    levels = smooth([one])
    taught = teach([one], levels, [np.ones(len(one), bool)], np.zeros(3, bool))
    z = (levels[0] - taught.start.location) / taught.start.scale
    theirs = LedoitWolf(assume_centered=True).fit(z).mahalanobis(z) / 3
    assert t_squared(taught.start, [one], levels)[0] == pytest.approx(theirs, abs=1e-9)


def test_a_device_that_begins_with_it_is_judged_from_its_first_readings() -> None:
    detector = trained(together(1), together(2)).detector
    assert isinstance(detector, Mahalanobis)
    later = together(3, 60)
    later.values[40:, 1] = later.values[40:, 1][::-1] + 3.0
    scores = detector.score(ReadingBatch.of([0] * 60, later.times, later.values))
    assert detector.is_trusted(0)
    assert scores.total[:40].max() < 1.0 < scores.total[40:].max()
    assert scores.by_channel[int(scores.total.argmax())].argmax() == 1


def test_channels_are_left_out_for_a_reason_that_is_said() -> None:
    series = []
    for number in (1, 2, 3):
        one = together(number, channels=4)
        one.values[:, 1] = np.linspace(0.0, 40.0, len(one))
        one.values[:, 3] = np.nan
        series.append(one)
    figures = trained(*series).figures
    assert figures["judged"] == ["pressure", "current"]
    assert figures["left_out"]["flow"].startswith("drifting")
    assert figures["left_out"]["speed"] == "never reported"


def test_a_channel_that_drifts_on_one_device_of_three_is_not_left_out() -> None:
    series = [together(number) for number in (1, 2, 3)]
    series[0].values[:, 0] += np.linspace(0.0, 40.0, 900)
    assert not drifting(series).any()


def test_one_channel_is_refused_with_what_happened_to_the_other() -> None:
    one = together(channels=2)
    one.values[:, 1] = np.nan
    with pytest.raises(TrainingRefusedError, match="flow never reported"):
        trained(one)


def test_readings_that_never_report_all_channels_are_refused() -> None:
    one = together(channels=2)
    one.values[::2, 0] = np.nan
    one.values[1::2, 1] = np.nan
    with pytest.raises(TrainingRefusedError, match="all 2 channels"):
        trained(one)
