"""Attacks in the traffic counters of four hosts, found by the gateway without a rule or a signature.

    python -m examples.security_threats [--seed N]

Three weeks of counters, one reading every five minutes: packets and connections, ports touched, failed logins and
megabytes sent, with working hours, weekends and a nightly backup. Nothing is configured but the channels, and
that a burst in a counter is no loose contact. From the second week on there are floods, scans, brute force and
exfiltration; the program says what was found, and fails when it was less than promised below.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from examples.injected import DAY, HOUR, WEEK, Account, Injected, account, promised_at_most, seed_parser, show
from examples.watching import Recording, watch
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.profile import Channel, Health, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BEGIN = datetime(2024, 3, 4, tzinfo=UTC).timestamp()
"""A Monday."""
WEEKS = 3
EVERY = 300.0
CHANNELS = ("packets", "connections", "ports", "failed_logins", "sent")
PACKETS, CONNECTIONS, PORTS, FAILED, SENT = range(5)
PROFILE = Profile(
    "host",
    (
        Channel("packets", "per s"),
        Channel("connections", "per min"),
        Channel("ports", "per min"),
        Channel("failed_logins", "per min"),
        Channel("sent", "MB/min"),
    ),
    health=Health(jump=False),  # a counter has no loose contact
)
HOSTS = {
    "web-1": (900.0, 240.0, 6.0, 0.8, 60.0),
    "web-2": (700.0, 190.0, 6.0, 0.6, 45.0),
    "db-1": (300.0, 60.0, 4.0, 0.05, 40.0),
    "office": (500.0, 120.0, 14.0, 0.3, 20.0),
}
"""By host, what its counters come to in the busiest hour."""
MOST_MISSED, MOST_FALSE = 1, 1.0
"""What is promised: at most so many attacks missed, and false alerts per device-week."""


def simulate(seed: int) -> tuple[list[Recording], list[Injected]]:
    """Counters of every host, and the attacks in them."""
    random = np.random.default_rng(seed)
    time = BEGIN + np.arange(0.0, WEEKS * WEEK, EVERY)
    recordings = {host: _counters(random, time, np.array(peak), host) for host, peak in HOSTS.items()}
    attacks = []

    def attack(what: str, host: str, day: float, hours: float, channel: int = -1) -> slice:
        begins = BEGIN + day * DAY + random.uniform(-1.0, 1.0) * HOUR
        rows = slice(*np.searchsorted(time, (begins, begins + hours * HOUR)))
        # found while it lasts, or in the hour after it
        name = "" if channel < 0 else CHANNELS[channel]
        attacks.append(Injected(what, host, float(time[rows.start]), float(time[rows.stop] + HOUR), channel=name))
        return rows

    rows = attack("SYN flood", "web-1", 8.60, 0.5, CONNECTIONS)
    recordings["web-1"][rows, CONNECTIONS] *= random.uniform(10.0, 16.0)
    recordings["web-1"][rows, PACKETS] *= random.uniform(3.0, 5.0)
    rows = attack("UDP flood by night", "web-2", 17.10, 0.75, PACKETS)
    recordings["web-2"][rows, PACKETS] += random.uniform(2_500.0, 4_000.0)
    rows = attack("port scan", "office", 9.45, 0.4, PORTS)
    recordings["office"][rows, PORTS] += random.poisson(300.0, _length(rows))
    rows = attack("slow port scan", "db-1", 15.90, 4.0, PORTS)
    recordings["db-1"][rows, PORTS] += random.poisson(14.0, _length(rows))
    rows = attack("brute force on logins", "web-2", 11.85, 1.0, FAILED)
    recordings["web-2"][rows, FAILED] += random.poisson(40.0, _length(rows))
    rows = attack("password spraying", "office", 14.40, 6.0, FAILED)
    recordings["office"][rows, FAILED] += random.poisson(5.0, _length(rows))
    rows = attack("exfiltration by night", "db-1", 10.15, 3.0, SENT)
    recordings["db-1"][rows, SENT] += random.gamma(40.0, 0.6, _length(rows))
    rows = attack("exfiltration on a Sunday", "office", 20.30, 3.0, SENT)
    recordings["office"][rows, SENT] += random.gamma(40.0, 0.7, _length(rows))
    return [Recording(host, time, values) for host, values in recordings.items()], attacks


def _length(rows: slice) -> int:
    return int(rows.stop - rows.start)


def _counters(
    random: np.random.Generator, time: NDArray[np.float64], peak: NDArray[np.float64], host: str
) -> NDArray[np.float64]:
    """(N, 5) an ordinary host's counters."""
    hour, weekday = time / HOUR % 24.0, (time / DAY).astype(int) % 7
    working = np.exp(-(((hour - 13.5 + random.uniform(-1.0, 1.0)) / 4.5) ** 2))
    busy = 0.15 + 0.85 * working * np.where(np.isin(weekday, (2, 3)), 0.35, 1.0)  # 1970 began on a Thursday
    drift = np.cumsum(random.normal(0.0, 0.02, len(time)))
    common = busy * np.exp(0.12 * np.tanh(drift - drift.mean()) + random.normal(0.0, 0.08, len(time)))
    values = common[:, None] * peak * np.exp(random.normal(0.0, 0.10, (len(time), len(peak))))
    counts = (CONNECTIONS, PORTS, FAILED)
    values[:, counts] = random.poisson(values[:, counts])
    if host == "db-1":  # the backup
        values[(hour >= 2.0) & (hour < 2.75), SENT] += random.normal(55.0, 4.0)
    rounded: NDArray[np.float64] = values.round(2)
    return rounded


def run(seed: int) -> Account:
    """Watch three weeks."""
    recordings, attacks = simulate(seed)
    alerts = watch(ProfileWatch(PROFILE, "example", "security", len(HOSTS)), recordings)
    return account(attacks, alerts, {each.device: each.span for each in recordings})


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the promises hold."""
    result = run(seed_parser(__doc__, "other traffic, other attacks").parse_args(arguments).seed)
    print(show("Attacks in traffic counters", result, PROFILE.decisions.alerts_per_week))
    return promised_at_most(MOST_MISSED, MOST_FALSE, result)


if __name__ == "__main__":
    sys.exit(main())
