"""The published scoring, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import nab_scoring
from benchmarks.nab_corpus import Series, Weights

STANDARD = Weights(1.0, 1.0, 0.11)
LOW_FN = Weights(1.0, 2.0, 0.11)


def series(rows: int, *windows: tuple[int, int]) -> Series:
    return Series("plant", "flow.csv", (), np.arange(0.0, 300.0 * rows, 300.0), np.zeros(rows), windows)


def judged(rows: list[int], of: Series, weights: Weights = STANDARD) -> float:
    """The sum that detections at these rows come to."""
    detected = np.zeros(len(of.time), np.bool_)
    detected[rows] = True
    return nab_scoring.worth([of]).score(nab_scoring.counted([detected]), weights)


def sigma(y: float) -> float:
    return 2.0 / (1.0 + math.exp(5.0 * y)) - 1.0


def test_probation_is_fifteen_percent_rounded_down_and_at_most_750_rows() -> None:
    assert [nab_scoring.probation(rows) for rows in (0, 6, 7, 1_000, 4_999, 5_000, 22_695)] == [
        0,
        0,
        1,
        150,
        749,
        750,
        750,
    ]


def test_nothing_detected_is_0_and_the_first_row_of_every_window_is_100() -> None:
    corpus = [series(1_000, (400, 499), (700, 749)), series(500)]
    worth = nab_scoring.worth(corpus)
    perfect = [np.zeros(1_000), np.zeros(500)]
    perfect[0][[400, 700]] = 1.0

    for weights in (STANDARD, LOW_FN):
        nothing = worth.score(np.zeros(len(worth.gain), np.bool_), weights)
        everything = worth.score(nab_scoring.counted(perfect) > 0, weights)
        assert nothing == -2.0 * weights.false_negative
        assert worth.normalised(nothing, weights) == pytest.approx(0.0)
        assert worth.normalised(everything, weights) == pytest.approx(100.0)


def test_in_a_window_the_earliest_detection_counts_by_its_place() -> None:
    one = series(1_000, (400, 499))

    assert judged([400], one) == pytest.approx(1.0)
    assert judged([450], one) == pytest.approx(sigma(-0.5) / sigma(-1.0))
    assert judged([499], one) == pytest.approx(sigma(-0.01) / sigma(-1.0))
    assert judged([450, 460, 499], one) == judged([450], one)


def test_a_false_alarm_costs_more_the_farther_it_lies_behind_a_window() -> None:
    one = series(2_000, (400, 499))
    found = judged([400], one)

    assert judged([400, 500], one) - found == pytest.approx(0.11 * sigma(1 / 99))
    assert judged([400, 598], one) - found == pytest.approx(0.11 * sigma(1.0))
    assert judged([400, 499 + 297], one) - found == pytest.approx(-0.11)
    assert judged([400, 1_900], one) - found == pytest.approx(-0.11)
    assert judged([399, 400], one) - found == pytest.approx(-0.11)


def test_each_false_alarm_is_measured_from_the_window_before_it() -> None:
    two = series(2_000, (400, 499), (520, 529))

    assert judged([510], two) == pytest.approx(-2.0 + 0.11 * sigma(11 / 99))
    assert judged([535], two) == pytest.approx(-2.0 + 0.11 * sigma(6 / 9))


def test_nothing_counts_in_probation() -> None:
    one = series(1_000, (400, 499))

    assert judged([0, 100, 149], one) == judged([], one) == -1.0
    assert judged([150], one) == pytest.approx(-1.11)


def test_a_window_within_probation_is_neither_found_nor_missed() -> None:
    worth = nab_scoring.worth([series(1_000, (50, 99), (400, 499))])

    assert worth.windows == 1
    assert worth.score(np.zeros(850, np.bool_), STANDARD) == -1.0


def test_equal_scores_are_detected_together() -> None:
    one = series(1_000, (400, 499))
    scores = np.zeros(1_000)
    scores[[300, 310, 320, 400]] = 0.7
    thresholds, sums = nab_scoring.worth([one]).sweep(nab_scoring.counted([scores]), STANDARD)

    assert thresholds.tolist() == [nab_scoring.NOTHING, 0.7, 0.0]
    assert sums[:2] == pytest.approx([-1.0, 1.0 - 3 * 0.11])


def test_the_threshold_may_be_that_nothing_is_detected() -> None:
    one = series(1_000, (400, 499))
    scores = np.zeros(1_000)
    scores[200:300] = 1.0

    assert nab_scoring.worth([one]).best(nab_scoring.counted([scores]), STANDARD) == (nab_scoring.NOTHING, -1.0)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=60, max_size=60), st.sampled_from([STANDARD, LOW_FN]))
def test_the_sweep_agrees_with_judging_each_threshold_on_its_own(levels: list[int], weights: Weights) -> None:
    corpus = [series(60, (20, 27), (40, 40)), series(60, (12, 30))]
    scores = nab_scoring.counted([np.array(levels, np.float64), np.array(levels[::-1], np.float64)])
    worth = nab_scoring.worth(corpus)

    for threshold, total in zip(*worth.sweep(scores, weights), strict=True):
        assert worth.score(scores >= threshold, weights) == pytest.approx(total)


def test_without_windows_there_is_no_scale() -> None:
    with pytest.raises(ValueError, match="no labelled window"):
        nab_scoring.worth([series(1_000)]).normalised(0.0, STANDARD)
