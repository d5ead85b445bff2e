"""A shop's figures with their weekly rhythm: what breaks in them, found by the gateway with a model from the hub.

    python -m examples.business_metrics [--seed N]

Three countries report revenue, conversion and latency every quarter of an hour for eight weeks. The first four weeks
go to the hub, which trains a `forecast` of their daily and weekly rhythm; its artefact then runs beside the gateway's
own detectors for the other four, in which campaigns fail, prices break and servers slow down. The program says what
was found, and fails when it was less than promised below.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from examples.injected import DAY, HOUR, WEEK, Account, Injected, account, promised_at_most, seed_parser, show
from examples.watching import Recording, between, watch
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_hub.config import LearningSection
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.trainer import train
from vedette_models import artifact
from vedette_models.profile import Channel, Health, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BEGIN = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
"""A Monday."""
HISTORY_WEEKS, WEEKS = 4, 8
SWITCH = BEGIN + HISTORY_WEEKS * WEEK
ALGORITHM = "forecast"
EVERY = 900.0
CHANNELS = ("revenue", "conversion", "latency")
REVENUE, CONVERSION, LATENCY = range(3)
PROFILE = Profile(
    "shop",
    (Channel("revenue", "€"), Channel("conversion", "%"), Channel("latency", "ms")),
    health=Health(jump=False),  # nothing here has a plug
)
SHOPS = {"de": (5_200.0, 3.1, 180.0), "fr": (3_100.0, 2.7, 210.0), "uk": (4_100.0, 3.4, 160.0)}
"""By country: revenue of the busiest quarter of an hour, conversion, latency at rest."""
MOST_MISSED, MOST_FALSE = 1, 1.0
"""What is promised: at most so many events missed, and false alerts per device-week."""


def simulate(seed: int) -> tuple[list[Recording], list[Injected]]:
    """Figures of every country, and what went wrong."""
    random = np.random.default_rng(seed)
    time = BEGIN + np.arange(0.0, WEEKS * WEEK, EVERY)
    figures = {country: _figures(random, time, *SHOPS[country]) for country in SHOPS}
    events = []

    def put(what: str, country: str, day: float, hours: float) -> slice:
        begins = BEGIN + (HISTORY_WEEKS * 7 + day) * DAY + random.uniform(-0.5, 0.5) * HOUR
        rows = slice(*np.searchsorted(time, (begins, begins + hours * HOUR)).tolist())
        events.append(Injected(what, country, float(time[rows.start]), float(time[rows.stop] + HOUR)))
        return rows

    rows = put("payment provider is down", "de", 2.75, 1.5)
    figures["de"][rows, REVENUE] *= random.uniform(0.02, 0.08)
    figures["de"][rows, CONVERSION] *= random.uniform(0.02, 0.08)
    rows = put("checkout bug after a release", "fr", 8.45, 9.0)
    figures["fr"][rows, [[CONVERSION], [REVENUE]]] *= random.uniform(0.40, 0.55)
    rows = put("database is slow", "uk", 11.6, 4.0)
    figures["uk"][rows, LATENCY] *= random.uniform(2.0, 3.0)
    rows = put("price of 0.99 € for a television", "uk", 17.85, 3.0)
    figures["uk"][rows, CONVERSION] *= random.uniform(2.2, 3.0)
    rows = put("no orders on a Saturday afternoon", "fr", 19.6, 4.0)
    figures["fr"][rows, REVENUE] *= random.uniform(0.15, 0.30)
    rows = put("bots by night", "de", 23.12, 3.0)
    figures["de"][rows, CONVERSION] *= random.uniform(0.15, 0.30)
    figures["de"][rows, LATENCY] *= random.uniform(1.4, 1.7)
    return [Recording(country, time, values.round(3)) for country, values in figures.items()], events


def _figures(
    random: np.random.Generator, time: NDArray[np.float64], busiest: float, conversion: float, rest: float
) -> NDArray[np.float64]:
    """(N, 3) an ordinary country's figures: evenings are busiest, Sundays busier than the week, nights quiet."""
    hour, weekday = time / HOUR % 24.0, ((time // DAY).astype(np.intp) + 3) % 7
    day = 0.06 + np.exp(-(((hour - 20.0) / 2.6) ** 2)) + 0.62 * np.exp(-(((hour - 12.5) / 3.2) ** 2))
    visits = day * np.array([0.92, 0.90, 0.93, 0.95, 0.88, 1.0, 1.18])[weekday]
    weather = np.repeat(np.exp(random.normal(0.0, 0.05, len(time) // 96 + 1)), 96)[: len(time)]
    visits *= weather * np.exp(random.normal(0.0, 0.06, len(time)))
    rates = (
        conversion * (1.0 + 0.10 * np.exp(-(((hour - 20.0) / 4.0) ** 2))) * np.exp(random.normal(0.0, 0.05, len(time)))
    )
    revenue = busiest * visits * rates / conversion * np.exp(random.normal(0.0, 0.08, len(time)))
    latency = rest * (1.0 + 0.5 * visits**2) * np.exp(random.normal(0.0, 0.05, len(time)))
    return np.stack([revenue, rates, latency], axis=1)


def trained(history: Sequence[Recording]) -> bytes:
    """The artefact of a forecast that the hub has learnt from some weeks."""
    series = tuple(Series(each.device, each.time, each.values) for each in history)
    source = Source(PROFILE.name, CHANNELS, series, "synthetic")
    return train(source, LearningSection(), SWITCH, algorithm=ALGORITHM).data


def run(seed: int) -> Account:
    """Train on the first weeks, watch the others."""
    recordings, events = simulate(seed)
    history = between(recordings, BEGIN, SWITCH)
    later = between(recordings, SWITCH, BEGIN + WEEKS * WEEK)
    watched = ProfileWatch(PROFILE, "example", "business", len(SHOPS))
    watch(watched, history)
    data = trained(history)
    model = artifact.load(data, expected=artifact.sha256(data), profile=PROFILE.name, channels=CHANNELS)
    watched.use(model.detector)
    return account(events, watch(watched, later), {each.device: each.span for each in later})


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the promises hold."""
    result = run(seed_parser(__doc__, "other figures, other events").parse_args(arguments).seed)
    print(show("A shop's figures", result, PROFILE.decisions.alerts_per_week))
    return promised_at_most(MOST_MISSED, MOST_FALSE, result)


if __name__ == "__main__":
    sys.exit(main())
