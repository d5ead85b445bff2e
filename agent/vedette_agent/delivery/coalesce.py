"""Coalesce: a storm of alerts of one kind on one device becomes few rows that say how many they stand for. Pure.

Only rows that nobody but us has ever seen may be put together: under a number that has been sent, the hub knows what it
was sent. Of an alert that goes on the newest revision stays. Alerts that began and ended unseen become one: the newest,
as severe as the worst of them, with their number and their period. The numbers of the rows that are gone stand in the
one that stays, so that the hub's ledger has no gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vedette_models.messages import SEVERITIES, Alert, Coalesced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_RANGES = 500
"""Ranges of numbers that one row names, so that it stays far below the largest message."""


class Waiting(NamedTuple):
    """A row that was never sent."""

    id: int
    sequence: int
    alert: Alert


class Merged(NamedTuple):
    """A row whose content changes, and those that it stands for from now on."""

    id: int
    alert: Alert
    gone: tuple[int, ...]
    """Ids."""


def coalesce(rows: Iterable[Waiting]) -> list[Merged]:
    """What may be put together among the waiting rows of one epoch, in the order of their numbers."""
    groups: dict[tuple[str, str, str], dict[str, list[Waiting]]] = {}
    for row in rows:
        alert = row.alert
        groups.setdefault((alert.profile, alert.device, alert.kind), {}).setdefault(alert.id, []).append(row)
    merged: list[Merged] = []
    for by_alert in groups.values():
        ended = []
        for rows_of_one in by_alert.values():
            if _is_whole(rows_of_one):
                ended.append(rows_of_one)
            else:
                merged += _merge([[row] for row in rows_of_one])
        merged += _merge(ended)
    return merged


def _is_whole(rows: Sequence[Waiting]) -> bool:
    """Whether the hub has seen nothing of an alert, and nothing of it is to come."""
    return _first_revision(rows[0].alert) == 1 and rows[-1].alert.state == "cleared"


def _merge(groups: Sequence[list[Waiting]]) -> list[Merged]:
    """The last row stands for those before it, as far as it can name them; a group stays together."""
    merged = []
    part: list[Waiting] = []
    ranges = 0
    for group in [*groups, []]:
        more = sum(map(_most_ranges, group, [*(part[-1:] or group[:1]), *group]))
        if group and ranges + more <= MOST_RANGES:
            part += group
            ranges += more
            continue
        if len(part) > 1 and ranges <= 2 * MOST_RANGES:
            merged.append(Merged(part[-1].id, _one(part), tuple(row.id for row in part[:-1])))
        part, ranges = group[:], more
    return merged


def _most_ranges(row: Waiting, before: Waiting) -> int:
    """How many ranges a row adds at most."""
    own = 0 if row.sequence == before.sequence + 1 else 1
    return own + (len(row.alert.coalesced.rows) if row.alert.coalesced is not None else 0)


def _one(rows: Sequence[Waiting]) -> Alert:
    alerts, ranges = [row.alert for row in rows], _ranges(rows)
    newest = alerts[-1]
    # of equally severe events the newest
    worst = max(reversed(alerts), key=lambda alert: (SEVERITIES.index(alert.severity), alert.score))
    known = {alert.id: alert.coalesced.alerts if alert.coalesced else 1 for alert in alerts}
    return msgspec.structs.replace(
        newest,
        severity=worst.severity,
        score=worst.score,
        reason=worst.reason,
        detector=worst.detector,
        channels=worst.channels,
        suppressed=sum({alert.id: alert.suppressed for alert in alerts}.values()),
        coalesced=Coalesced(
            alerts=sum(known.values()),
            events=1 + sum(last - first + 1 for first, last in ranges),
            first=min(alert.coalesced.first if alert.coalesced else alert.opened for alert in alerts),
            last=max(alert.coalesced.last if alert.coalesced else alert.time for alert in alerts),
            revision=_first_revision(alerts[0]),
            rows=ranges,
        ),
    )


def _ranges(rows: Sequence[Waiting]) -> tuple[tuple[int, int], ...]:
    """The numbers that rows stand for, but that of the last."""
    numbers = [(row.sequence, row.sequence) for row in rows[:-1]]
    for row in rows:
        if row.alert.coalesced is not None:
            numbers += row.alert.coalesced.rows
    numbers.sort()
    joined: list[tuple[int, int]] = []
    for first, last in numbers:
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)


def _first_revision(alert: Alert) -> int:
    return alert.coalesced.revision if alert.coalesced is not None else alert.revision
