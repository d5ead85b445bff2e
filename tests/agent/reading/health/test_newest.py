from __future__ import annotations

import numpy as np
import pytest

from vedette_agent.reading.health import newest
from vedette_agent.reading.health.fields import Remembered

READINGS = 130


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e12])
def test_means_and_last_values_are_those_of_the_readings_of_each_series(offset: float) -> None:
    random = np.random.default_rng(0)
    shown = offset + random.normal(20.0, 1.0, (3, READINGS))
    kept = Remembered(newest.LAYOUT, 1)
    kept.resize(3)
    count = np.zeros(3, np.int64)
    for turn in range(2 * READINGS):
        # not in step with each other
        series = np.flatnonzero((random.random(3) < 0.7) & (count < READINGS))
        at = count[series]
        x = shown[series, at]
        if (new := at == 0).any():
            newest.begin(kept.columns, series[new], x[new])
        means = newest.Means(kept.columns, series, at, x)
        newest.add(kept.columns, series, at, x)
        count[series] += 1
        for i in np.flatnonzero(at >= newest.WINDOW).tolist():
            past = shown[series[i], : at[i] + 1][::-1]
            assert (means.last[i], means.last_but_one[i]) == (past[1], past[2])
            for mean, start in ((means.newer, 0), (means.before, 1), (means.older, 5), (means.oldest, 15)):
                assert mean[i] == np.add.reduce(past[start : start + 5, None])[0] / 5
        for i in range(3) if turn % 23 == 0 else ():
            for wanted in range(newest.WINDOW, min(int(count[i]), newest.WINDOW + newest.EARLIER) + 1):
                expected = shown[i, count[i] - wanted : count[i]] - shown[i, 0]
                given = newest.last(kept.columns, i, int(count[i]), wanted)
                assert given.tolist() == (expected.astype(np.float32).astype(np.float64) + shown[i, 0]).tolist()
    assert (count == READINGS).all()
