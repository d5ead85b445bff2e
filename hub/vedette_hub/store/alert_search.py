"""Alerts that somebody looks for: pages of a list, and how many there are, quick among a million.

Nothing sorts or reads them all. Conditions are looked up in the index that has the fewest entries for them; where each
of them fits many alerts, the list is walked from its newer end, in an index that holds what conditions are about, and
a page ends after `EXAMINED` alerts though it may not be full: it says from where to go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from vedette_hub.store.alert_rows import StoredAlert, stored_alert
from vedette_hub.store.schema import alerts

EXAMINED = 50_000
"""Alerts that are looked at for one page."""
FEW = 2_000
"""As many are read and put into order, wherever they are."""
COUNTED = 10_000
"""As far is counted."""
COUNTED_AMONG = 20_000
"""Alerts that are looked at to count those that meet several conditions."""

_FACETS = "ix_alerts_facets"
_STANDING = "ix_alerts_state_acknowledged_severity_serial"
_OPENED = "ix_alerts_opened"
_c = alerts.c


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts; an empty field lets everything through."""

    gateway: Collection[str] = ()
    device: Collection[str] = ()
    profile: Collection[str] = ()
    kind: Collection[str] = ()
    severity: Collection[str] = ()
    detector: Collection[str] = ()
    assignee: Collection[str] = ()
    """`none` stands for those that nobody looks after."""
    state: Collection[str] = ()
    acknowledged: bool | None = None
    label: Collection[str] = ()
    """`none` stands for those without a label."""
    attention: bool | None = None
    """Whether it is active and nobody has acknowledged it."""
    since: float | None = None
    """Opened at this time or later."""
    until: float | None = None
    """Opened before this time."""


@dataclass(frozen=True)
class AlertPage:
    """A part of a list."""

    alerts: list[StoredAlert]
    next: int | None
    """Go on before this serial; None: that was all. It may come with a page that is not full."""


@dataclass(frozen=True)
class Count:
    """How many there are, as far as was counted."""

    number: int
    exact: bool
    """False: there are this many at least."""


@dataclass(frozen=True)
class _Driver:
    """Conditions that an index finds."""

    index: str
    conditions: tuple[ColumnElement[bool], ...]
    meets: int = 1
    """How many of the filter's conditions these are."""
    column: ColumnElement[Any] | None = None
    """The first of an index that goes on with the serial; None: it goes on with something else."""
    values: tuple[str, ...] = ()


class Search:
    """One question to the store, of which a page and a count may be wanted."""

    def __init__(self, connection: Connection, chosen: AlertFilter) -> None:
        self._connection = connection
        self._chosen = chosen
        self._conditions = tuple(_conditions(chosen))
        self._driver, self._few = _driver(connection, chosen)

    def page(self, *, limit: int, before: int | None = None, offset: int = 0) -> AlertPage:
        """Alerts, those that reached the hub last first, at most `limit`; `before`: the `next` of the page before."""
        keys = select(_c.serial).where(*self._conditions).order_by(_c.serial.desc()).limit(limit + 1).offset(offset)
        floor = 0
        if self._driver is not None and (self._few or _walks(self._driver, self._conditions)):
            keys = _by(keys, self._driver.index)
        elif self._conditions:
            bottom, top = self._ends if before is None else (self._ends[0], min(self._ends[1], before - 1))
            floor = top - EXAMINED if top - EXAMINED > bottom else 0
            keys = _by(keys.where(_c.serial > floor, _c.serial <= top), _FACETS)
        if before is not None:
            keys = keys.where(_c.serial < before)
        serials = self._connection.execute(keys).scalars().all()
        rows = select(alerts).where(_c.serial.in_(serials[:limit])).order_by(_c.serial.desc())
        found = [stored_alert(row) for row in self._connection.execute(rows).mappings()]
        if len(serials) > limit:
            return AlertPage(found, serials[limit - 1])
        return AlertPage(found, floor + 1 if floor else None)

    def count(self) -> Count:
        """How many alerts there are, counted up to `COUNTED`; where conditions are many, among the newest only."""
        query = select(_c.serial).where(*self._conditions).limit(COUNTED + 1)
        floor = 0
        if self._driver is not None and (self._few or self._driver.meets == len(self._conditions)):
            query = _by(query, self._driver.index)
        elif self._conditions:
            bottom, top = self._ends
            floor = top - COUNTED_AMONG if top - COUNTED_AMONG > bottom else 0
            query = _by(query.where(_c.serial > floor, _c.serial <= top).order_by(_c.serial.desc()), _FACETS)
        number = int(self._connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())
        return Count(min(number, COUNTED), number <= COUNTED and not floor)

    @cached_property
    def _ends(self) -> tuple[int, int]:
        """All that fit have serials above the first and up to the second."""
        return _ends(self._connection, self._chosen)


def page_of_alerts(
    connection: Connection, chosen: AlertFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> AlertPage:
    """Alerts, those that reached the hub last first, at most `limit`; `before` continues: the `next` of a page."""
    return Search(connection, chosen).page(limit=limit, before=before, offset=offset)


def list_alerts(
    connection: Connection, chosen: AlertFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> list[StoredAlert]:
    """The alerts of `page_of_alerts`."""
    return page_of_alerts(connection, chosen, limit=limit, before=before, offset=offset).alerts


def count_alerts(connection: Connection, chosen: AlertFilter) -> Count:
    """How many alerts there are, counted up to `COUNTED`; where conditions are many, among the newest only."""
    return Search(connection, chosen).count()


def _driver(connection: Connection, chosen: AlertFilter) -> tuple[_Driver | None, bool]:
    """The index with the fewest entries for some of the conditions, and whether these are few; None: it has none."""
    best: tuple[int, _Driver] | None = None
    for driver in _drivers(chosen):
        entries = _by(select(_c.serial).where(*driver.conditions), driver.index).limit(FEW + 1).subquery()
        number = int(connection.execute(select(func.count()).select_from(entries)).scalar_one())
        if best is None or number < best[0]:
            best = number, driver
    return (None, False) if best is None else (best[1], best[0] <= FEW)


def _walks(driver: _Driver, conditions: tuple[ColumnElement[bool], ...]) -> bool:
    """Whether the index has all that meet the conditions, in order."""
    return len(driver.values) == 1 and driver.meets == len(conditions)


def _ends(connection: Connection, chosen: AlertFilter) -> tuple[int, int]:
    """Serials of all that fit: above the first, up to the second."""
    oldest, newest = (connection.execute(select(end(_c.serial))).scalar() or 0 for end in (func.min, func.max))
    bottom, top = oldest - 1, newest
    # No alert that fits is newer than the newest that meets one condition: this is where to begin.
    for driver in _drivers(chosen):
        if driver.column is not None:
            last = [select(func.max(_c.serial)).where(driver.column == value) for value in driver.values]
            top = min(top, max(connection.execute(_by(query, driver.index)).scalar() or 0 for query in last))
        elif driver.index == _OPENED:
            ends = select(func.min(_c.serial), func.max(_c.serial)).where(*driver.conditions)
            first, latest = connection.execute(_by(ends, _OPENED)).one()
            bottom, top = max(bottom, (first or 1) - 1), min(top, latest or 0)
    return bottom, top


def _by(query: Select[Any], index: str) -> Select[Any]:
    # SQLite knows of an index how many entries a value has on average only, which says nothing of rare ones.
    # PostgreSQL knows more, and need not be told.
    return query.with_hint(alerts, f"INDEXED BY {index}", "sqlite")


def _drivers(chosen: AlertFilter) -> Iterator[_Driver]:
    for name in ("device", "gateway", "profile", "kind", "severity", "label", "assignee"):
        values = tuple(getattr(chosen, name))
        if values and not (name in {"label", "assignee"} and "none" in values):
            column = _c[name]
            yield _Driver(f"ix_alerts_{name}_serial", (column.in_(values),), 1, column, values)
    standing = tuple(_standing(chosen))
    if standing:
        # An index serves who says something of its first column.
        both = () if chosen.state or chosen.attention else (_c.state.in_(["active", "cleared"]),)
        yield _Driver(_STANDING, (*both, *standing), len(standing))
    if opened := tuple(_opened(chosen)):
        yield _Driver(_OPENED, opened, len(opened))


def _conditions(chosen: AlertFilter) -> Iterator[ColumnElement[bool]]:
    for name in ("gateway", "device", "profile", "kind", "severity", "detector"):
        if values := getattr(chosen, name):
            yield _c[name].in_(list(values))
    for name in ("label", "assignee"):
        if values := getattr(chosen, name):
            named = [value for value in values if value != "none"]
            wanted = [_c[name].in_(named)] if named else []
            if "none" in values:
                wanted.append(_c[name].is_(None))
            yield or_(*wanted)
    yield from _standing(chosen)
    if chosen.attention is False:
        yield (_c.state != "active") | _c.acknowledged.is_(True)
    yield from _opened(chosen)


def _standing(chosen: AlertFilter) -> Iterator[ColumnElement[bool]]:
    if chosen.state:
        yield _c.state.in_(list(chosen.state))
    if chosen.acknowledged is not None:
        yield _c.acknowledged.is_(chosen.acknowledged)
    if chosen.attention:
        yield _c.state == "active"
        yield _c.acknowledged.is_(False)


def _opened(chosen: AlertFilter) -> Iterator[ColumnElement[bool]]:
    if chosen.since is not None:
        yield _c.opened >= chosen.since
    if chosen.until is not None:
        yield _c.opened < chosen.until
