"""What people said of alerts moves the boundary: silent where it was false, as long as what was true is still found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.learning.readings import START, series, source
from vedette_hub.config import LearningSection
from vedette_hub.learning import trainer
from vedette_hub.learning.hygiene import Mark, Period
from vedette_hub.learning.training.labels import lifted

MINUTE = 60.0
scores = st.lists(st.floats(0.0, 10.0), max_size=12)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(limit=st.floats(0.0, 10.0), excused=scores, peaks=scores)
def test_nothing_true_that_was_found_is_lost_and_nothing_false_is_heard_without_need(
    limit: float, excused: list[float], peaks: list[float]
) -> None:
    found = lifted(limit, np.array(excused), np.array(peaks), 0.0)
    assert found >= limit
    caught = [peak for peak in peaks if peak > limit]
    assert all(peak > found for peak in caught)
    heard = [score for score in excused if score > found]
    assert all(any(score >= peak for peak in caught) for score in heard)
    assert found == limit or found in excused


def trained(*known: tuple[int, int, float, Mark], algorithm: str = "isolation_forest") -> dict[str, Any]:
    """The report on two pumps of which one was so far off in some minutes, with what is known of these."""
    one, periods = series(1, 1500), []
    for first, last, off, mark in known:
        one.values[first : last + 1] += off
        periods.append(Period("pump-1", START + MINUTE * first, START + MINUTE * last, mark))
    known_source = replace(source(one, series(2, 1500)), periods=tuple(periods))
    settings = LearningSection(trees=30)
    return trainer.train(known_source, settings, START, algorithm=algorithm).report


def test_an_alert_labelled_false_does_not_come_again() -> None:
    unusual = (700, 730, 12.0)
    heard = trained((*unusual, Mark.ANOMALOUS))["backtest"]["this"]
    assert heard["labelled_true_alerted"] == 1
    report = trained((*unusual, Mark.FALSE_ALARM))
    found = report["backtest"]["this"]
    assert (found["labelled_false"], found["labelled_false_alerted"]) == (1, 0)
    assert report["labels"]["conflicts"] == []


@pytest.mark.parametrize("algorithm", ["lof", "one_class_svm", "ensemble"])
def test_every_algorithm_is_silent_or_says_that_it_is_not(algorithm: str) -> None:
    report = trained((700, 730, 12.0, Mark.FALSE_ALARM), algorithm=algorithm)
    heard = report["backtest"]["this"]["labelled_false_alerted"]
    assert bool(report["labels"]["conflicts"]) == bool(heard)
    assert heard == 0 or algorithm == "one_class_svm"  # it says the same of everything that is far enough away


def test_a_milder_false_alarm_is_silenced_and_the_true_alert_beyond_it_still_found() -> None:
    known = (700, 730, 12.0, Mark.FALSE_ALARM), (1300, 1330, 40.0, Mark.ANOMALOUS)
    report = trained(*known, algorithm="lof")  # to a forest everything beyond its training is alike
    found = report["backtest"]["this"]
    assert (found["labelled_false_alerted"], found["labelled_true_alerted"]) == (0, 1)


def test_labels_that_contradict_each_other_are_reported() -> None:
    report = trained((700, 730, 40.0, Mark.FALSE_ALARM), (1300, 1330, 14.0, Mark.ANOMALOUS))
    found = report["backtest"]["this"]
    if found["labelled_true_alerted"] == 1:
        assert found["labelled_false_alerted"] == 1
        assert "1 of 1 alerts labelled false or normal would come again" in report["labels"]["conflicts"][0]
    else:
        assert report["labels"]["conflicts"] == ["1 of 1 alerts labelled true would not be found by it"]
