"""Journal: what a gateway must not forget of its models, and every way in which that changes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vedette_models.manifest import Manifest, Release
from vedette_models.messages import Activation
from vedette_models.succession import KeyStatement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPORTS_KEPT = 100
"""Reports that wait to be handed over; the oldest give way."""
ROLLED_BACK = "rolled_back"
"""Why an order is held: the operator on the gateway decided otherwise."""


class Running(msgspec.Struct, frozen=True, omit_defaults=True):
    """A release that was activated."""

    release: Release
    since: float
    """Seconds since 1970."""
    on_probation: bool = False
    """Whether it still has to prove itself beside the one before."""


class Attempt(msgspec.Struct, frozen=True):
    """A release that is tried out, or on probation, and how often the agent has started with it meanwhile."""

    sha256: str
    starts: int


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
    attempts: dict[str, Attempt] = {}
    """By profile: written before anything is tried, so that what ends the agent is not tried for ever."""
    statements: tuple[KeyStatement, ...] = ()
    """What the hub's keys have said of each other: see `succession`."""


def lags(journal: Journal, profile: str) -> bool:
    """Whether a profile must still be brought to what is ordered."""
    if not journal.counter:
        return False
    wanted, current, held = _wanted(journal, profile), journal.current.get(profile), journal.held.get(profile)
    return wanted != (current.release.sha256 if current else "") and not (held and held.sha256 == wanted)


def accepted(
    journal: Journal,
    order: Manifest,
    reports: Sequence[Activation],
    statements: Sequence[KeyStatement] = (),
) -> Journal:
    """A manifest is in force. What failed is tried again where it is ordered anew, not where the order is the same."""
    ordered = dict(order.releases)
    held = {
        name: held
        for name, held in journal.held.items()
        if _is_same_order(journal.ordered.get(name), ordered.get(name))
    }
    changed = msgspec.structs.replace(
        journal, counter=order.counter, ordered=ordered, held=held, refused="", statements=tuple(statements)
    )
    for report in reports:
        changed = with_report(changed, report)
    return changed


def tried(journal: Journal, profile: str, sha256: str) -> Journal:
    """A release is about to be tried, or to go on being tried after a start of the agent."""
    attempt = Attempt(sha256, starts(journal, profile, sha256) + 1)
    return msgspec.structs.replace(journal, attempts={**journal.attempts, profile: attempt})


def starts(journal: Journal, profile: str, sha256: str) -> int:
    """How often the agent has begun to try this release, without having been stopped orderly, or done with it."""
    attempt = journal.attempts.get(profile)
    return attempt.starts if attempt is not None and attempt.sha256 == sha256 else 0


def stopped(journal: Journal) -> Journal:
    """The agent was told to stop: no release is to blame."""
    attempts = {
        name: msgspec.structs.replace(attempt, starts=max(0, attempt.starts - 1))
        for name, attempt in journal.attempts.items()
    }
    return msgspec.structs.replace(journal, attempts=attempts)


def activated(journal: Journal, profile: str, running: Running) -> Journal:
    """A release runs; what ran is the one before, unless it has not proved itself and there is one that has."""
    previous, current = _without(journal.previous, profile), journal.current.get(profile)
    if current is not None and current.on_probation and running.on_probation:
        current = journal.previous.get(profile, current)
    if current is not None and current.release.sha256 != running.release.sha256:
        previous[profile] = current
    changed = msgspec.structs.replace(journal, current={**journal.current, profile: running}, previous=previous)
    return changed if running.on_probation else _done(changed, profile)


def settled(journal: Journal, profile: str) -> Journal:
    """The release that runs has proved itself."""
    running = msgspec.structs.replace(journal.current[profile], on_probation=False)
    return _done(msgspec.structs.replace(journal, current={**journal.current, profile: running}), profile)


def left(journal: Journal, profile: str, reason: str) -> Journal:
    """The release that runs has failed: the one before runs again, if there is one, and this one is not tried again."""
    release, previous = journal.current[profile].release, journal.previous.get(profile)
    current = _without(journal.current, profile)
    if previous is not None:
        current[profile] = msgspec.structs.replace(previous, on_probation=False)
    changed = msgspec.structs.replace(journal, current=current, previous=_without(journal.previous, profile))
    return refused(changed, profile, release, reason)


def fell_back(journal: Journal, profile: str, running: Running) -> Journal:
    """The release before runs, since the newer one can no longer be used."""
    current = {**journal.current, profile: msgspec.structs.replace(running, on_probation=False)}
    changed = msgspec.structs.replace(journal, current=current, previous=_without(journal.previous, profile))
    return _done(changed, profile)


def removed(journal: Journal, profile: str, *, usable: bool) -> Journal:
    """None runs any more; what ran is the one before, if it is `usable`."""
    previous = dict(journal.previous)
    if usable and not journal.current[profile].on_probation:
        previous[profile] = journal.current[profile]
    changed = msgspec.structs.replace(journal, current=_without(journal.current, profile), previous=previous)
    return _done(changed, profile)


def refused(journal: Journal, profile: str, release: Release, reason: str) -> Journal:
    """A release failed; if it is the one ordered, it is not tried again."""
    journal = _done(journal, profile)
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


def _done(journal: Journal, profile: str) -> Journal:
    """Nothing is tried any more."""
    attempts = {name: attempt for name, attempt in journal.attempts.items() if name != profile}
    return msgspec.structs.replace(journal, attempts=attempts)


def _is_same_order(before: Release | None, now: Release | None) -> bool:
    """Whether nobody has ordered anew; where the hub does not say when it ordered, it is taken to have."""
    return before == now and now is not None and now.ordered > 0.0


def _without(part: Mapping[str, Running], profile: str) -> dict[str, Running]:
    return {name: running for name, running in part.items() if name != profile}
