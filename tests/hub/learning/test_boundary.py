"""The boundary follows from a budget of alerts, counted as people get them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_hub.learning.training.boundary import QUIET, WEEK, boundary
from vedette_hub.learning.training.evaluate import detection, quantiles


def alerts(scores: np.ndarray, device: np.ndarray, time: np.ndarray, limit: float) -> int:
    """Alerts above a limit, counted the slow way."""
    count = 0
    for name in np.unique(device):
        times = np.sort(time[(device == name) & (scores > limit)])
        count += int((np.diff(times) >= QUIET).sum()) + (1 if len(times) else 0)
    return count


@settings(derandomize=True, max_examples=300, deadline=None)
@given(seed=st.integers(0, 10_000), number=st.integers(1, 60), budget=st.integers(0, 6))
def test_the_budget_is_kept_and_the_next_lower_score_would_break_it(seed: int, number: int, budget: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.permutation(number) / number
    device, time = draw.integers(0, 2, number), draw.uniform(0, 6 * QUIET, number)
    limit = boundary(scores, device, time, 2 * WEEK, budget / 2)
    assert alerts(scores, device, time, limit) <= budget
    lower = scores[scores < limit]
    if len(lower):
        assert alerts(scores, device, time, lower.max()) > budget


def test_too_short_a_time_for_one_alert_gives_the_highest_score() -> None:
    assert boundary(np.array([0.4, 0.9, 0.5]), np.zeros(3, int), np.arange(3.0), 3600.0, 0.5) == 0.9


def test_scores_are_told_by_quantiles_and_labels_by_precision_and_recall() -> None:
    assert quantiles(np.linspace(0, 1, 101)) == {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99, "0.999": 0.999, "1": 1.0}
    assert quantiles(np.empty(0)) == {}
    nothing = np.zeros(3, bool)
    assert detection(nothing, nothing) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
