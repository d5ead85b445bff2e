"""rangebreak for one series, one reading at a time, as plain as it can be: what the columnar detector must equal."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise


def added(values: list[float]) -> float:
    """The sum, one value after the other (`sum` compensates rounding from Python 3.12 on)."""
    total = 0.0
    for value in values:
        total += value
    return total


def compress(value: float, scale: float) -> float:
    return math.copysign(math.log1p(abs(value) / scale), value)


class View:
    """The range of one view and how far a value leaves it."""

    def __init__(self, lag: int, floored: bool, horizon: int) -> None:
        self.lag, self.floored, self.horizon = lag, floored, horizon
        self.values: list[float] = []  # all of them: this is the reference, not the product
        self.mean = self.step = 0.0

    def score(self, value: float, floor: float, allowed: float = 0.0) -> float:
        n = len(self.values) + 1
        turn = (n - 1) // self.horizon * self.horizon  # when the range was last renewed
        shown = self.values[max(0, turn - self.horizon - 1) :]
        weight = min(n, self.horizon)
        self.mean += (value - self.mean) / weight
        if n > self.lag:
            self.step += (abs(value - self.values[n - 1 - self.lag]) - self.step) / max(1, weight - self.lag)
        self.values.append(value)
        if n <= 50 + self.lag or min(shown) <= value <= max(shown):
            return 0.0
        outside = max(value - max(shown), min(shown) - value) - allowed
        if outside <= 0.0:
            return 0.0
        step = max(self.step, floor) if self.floored else self.step
        return n / (n + 300) * outside / math.sqrt((abs(value - self.mean) + 1e-12) * (step + 1e-12))


class ScalarRangeBreak:
    """`score(time, reading)` of a single series."""

    def __init__(self, horizon: int = 8064) -> None:
        self.readings: list[float] = []
        self.mean = self.deviation = self.level = 0.0
        self.week: dict[int, tuple[float, int]] = {}
        self.hour: int | None = None
        self.before: float | None = None
        self.kept: list[float] = []
        self.unfamiliar = True
        self.usually_kept = self.one_way = 0.0
        self.pairs: list[tuple[float, float]] = []
        lags = (1, 1, 1, 1, 1, 1, 24, 12, 48, 100)
        logarithmic = (3, 8, 9)
        self.views = [View(lag, number not in logarithmic, horizon) for number, lag in enumerate(lags)]
        self.breaks: list[tuple[int, float]] = []

    def score(self, time: float, x: float) -> float:
        age = len(self.readings)
        self.mean += (x - self.mean) / (age + 1)
        self.deviation += (abs(x - self.mean) - self.deviation) / (age + 1)
        self.level += (abs(x) - self.level) / (age + 1)
        shown = self.look(time, x)
        scores = [
            view.score(value, 0.001 * self.level, math.inf if number == 4 and self.unfamiliar else 0.0)
            for number, (view, value) in enumerate(zip(self.views, shown, strict=True))
            if value is not None
        ]
        best = max(scores)
        if best <= 0:
            return 0.0
        earlier = [size for at, size in self.breaks if at >= age - max(100, 0.05 * age)]
        self.breaks.append((age, best))
        return best if not earlier or best > max(earlier) else 0.0

    def look(self, time: float, x: float) -> list[float | None]:
        """What the ten views show; None where one has nothing to show yet."""
        before, age = self.readings, len(self.readings)
        self.readings = readings = [*before, x]
        scale = self.deviation + 1e-12
        medians = [statistics.median(before[-width:]) if age >= 3 else None for width in (25, 51, 101)]
        shown: list[float | None] = [0.0 if median is None else x - median for median in medians]
        shown.append(0.0 if medians[2] is None else compress(x, scale) - compress(medians[2], scale))
        shown.append(self.against_the_week(time, x))
        shown.append(self.novelty(readings))
        shown.append(added(readings[-24:]) / 24 if len(readings) >= 24 else None)
        steps = [abs(b - a) for a, b in pairwise(readings[-101:])]
        for width in (12, 48, 100):
            activity = added(steps[-width:]) / width if age >= width else None
            if width > 12 and activity is not None:
                activity = math.log(activity + 0.02 * self.deviation + 1e-12)
            shown.append(activity)
        return shown

    def against_the_week(self, time: float, x: float) -> float | None:
        hour = int(time % 604_800) // 3600
        if hour != self.hour:
            self.end_of_hour()
            self.hour, self.before = hour, self.week[hour][0] if hour in self.week else None
        few = len(self.kept) < 24
        self.unfamiliar = self.before is None or few or abs(self.one_way) > 0.95 * self.usually_kept
        mean, seen = self.week.get(hour, (0.0, 0))
        self.week[hour] = mean + max(0.3, 1 / (seen + 1)) * (x - mean), seen + 1
        return x - mean if seen else None

    def end_of_hour(self) -> None:
        """Keep for the next week no more than three times what is usually kept."""
        if self.hour is None or self.before is None:
            return
        mean, seen = self.week[self.hour]
        change = mean - self.before
        if len(self.kept) >= 24:
            change = min(max(change, -3.0 * self.usually_kept), 3.0 * self.usually_kept)
            self.week[self.hour] = self.before + change, seen
        self.kept.append(abs(change))
        self.usually_kept += (abs(change) - self.usually_kept) / min(len(self.kept), 168)
        self.one_way += (change - self.one_way) / min(len(self.kept), 168)

    def novelty(self, readings: list[float]) -> float | None:
        """Every third pair of neighbours is kept, six readings late, up to a hundred."""
        newest = None
        if len(self.pairs) > 3:
            a, b = readings[-2:]
            squares = sorted((first - a) ** 2 + (second - b) ** 2 for first, second in self.pairs)
            newest = math.sqrt(squares[2] / 2)
        late = len(readings) - 1 - 6
        if late >= 1 and late % 3 == 0:
            self.pairs = [*self.pairs, (readings[late - 1], readings[late])][-100:]
        return newest
