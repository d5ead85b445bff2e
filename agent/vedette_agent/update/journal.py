"""Journal: what a gateway must not forget of its models, and every way in which that changes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vedette_models.manifest import Manifest, Release
from vedette_models.messages import Activation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPORTS_KEPT = 100
"""Reports that wait to be handed over; the oldest give way."""
ROLLED_BACK = "rolled_back"
"""Why an order is held: the operator on the gateway decided otherwise."""


class Running(msgspec.Struct, frozen=True):
    """A release that was activated."""

    release: Release
    since: float
    """Seconds since 1970."""


class Held(msgspec.Struct, frozen=True):
    """An order that is not followed."""

    sha256: str
    """What was ordered; empty: to run no model."""
    reason: str
    """A `rejection.Rejection` code, or `rolled_back`."""


class Journal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the gateway must not forget of its models. `counter` is None where it was lost."""

    counter: int | None = 0
    ordered: dict[str, Release] = {}
    """By profile, by the manifest accepted last."""
    current: dict[str, Running] = {}
    previous: dict[str, Running] = {}
    held: dict[str, Held] = {}
    """By profile: not tried again until ordered anew."""
    refused: str = ""
    """The manifest that was refused last, and why: it comes with every connection, and is reported once."""
    unreported: tuple[Activation, ...] = ()
    """What the hub does not know yet."""


def lags(journal: Journal, profile: str) -> bool:
    """Whether a profile must still be brought to what is ordered."""
    if not journal.counter:
        return False
    wanted, current, held = _wanted(journal, profile), journal.current.get(profile), journal.held.get(profile)
    return wanted != (current.release.sha256 if current else "") and not (held and held.sha256 == wanted)


def accepted(journal: Journal, order: Manifest, reports: Sequence[Activation]) -> Journal:
    """A manifest is in force: everything is ordered anew."""
    changed = msgspec.structs.replace(journal, counter=order.counter, ordered=dict(order.releases), held={}, refused="")
    for report in reports:
        changed = with_report(changed, report)
    return changed


def activated(journal: Journal, profile: str, running: Running) -> Journal:
    """A release runs; what ran is the one before."""
    previous, current = _without(journal.previous, profile), journal.current.get(profile)
    if current is not None:
        previous[profile] = current
    return msgspec.structs.replace(journal, current={**journal.current, profile: running}, previous=previous)


def fell_back(journal: Journal, profile: str, running: Running) -> Journal:
    """The release before runs, since the newer one can no longer be used."""
    current = {**journal.current, profile: running}
    return msgspec.structs.replace(journal, current=current, previous=_without(journal.previous, profile))


def removed(journal: Journal, profile: str, *, usable: bool) -> Journal:
    """None runs any more; what ran is the one before, if it is `usable`."""
    previous = dict(journal.previous)
    if usable:
        previous[profile] = journal.current[profile]
    return msgspec.structs.replace(journal, current=_without(journal.current, profile), previous=previous)


def refused(journal: Journal, profile: str, release: Release, reason: str) -> Journal:
    """A release failed; if it is the one ordered, it is not tried again."""
    if _wanted(journal, profile) != release.sha256:
        return journal
    return msgspec.structs.replace(journal, held={**journal.held, profile: Held(release.sha256, reason)})


def held_by_operator(journal: Journal, profile: str) -> Journal:
    """The order in force is not followed, whatever it says of this profile."""
    wanted, held = _wanted(journal, profile), journal.held.get(profile)
    if held is not None and held.sha256 == wanted:
        return journal
    return msgspec.structs.replace(journal, held={**journal.held, profile: Held(wanted, ROLLED_BACK)})


def with_report(journal: Journal, activation: Activation) -> Journal:
    """Something more to report."""
    return msgspec.structs.replace(journal, unreported=(*journal.unreported, activation)[-REPORTS_KEPT:])


def _wanted(journal: Journal, profile: str) -> str:
    ordered = journal.ordered.get(profile)
    return "" if ordered is None else ordered.sha256


def _without(part: Mapping[str, Running], profile: str) -> dict[str, Running]:
    return {name: running for name, running in part.items() if name != profile}
