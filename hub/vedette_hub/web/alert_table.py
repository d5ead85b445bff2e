"""What the console's table of alerts shows: the filters of its address, and a page of alerts, read from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from vedette_hub.alerts.lifecycle import LABELS
from vedette_hub.api.alerts import alert_answers
from vedette_hub.store.alert_search import AlertFilter, Count, count_alerts, page_of_alerts
from vedette_hub.store.database import reading
from vedette_models.messages import SEVERITIES

PAGE = 50
VIEWS = {"attention": "Need attention", "active": "Active", "unlabelled": "To label", "all": "All"}
SINCE = {"": "any time", "1": "24 hours", "7": "7 days", "30": "30 days"}
KINDS = ("anomaly", "silent", "stuck", "impossible", "jump", "clock", "test")
KIND_CHOICES = [("", "any"), *((kind, kind) for kind in KINDS)]
LABEL_WORDS = {"true": "a real fault", "false": "a false alarm", "normal": "normal for this device", "none": "no label"}
_TEXTS = ("gateway", "device", "profile", "assignee")
_CHOICES = {"severity": SEVERITIES, "kind": KINDS, "label": (*LABELS, "none"), "since": tuple(SINCE)}
_DAY = 86_400.0


@dataclass(frozen=True)
class Chosen:
    """What is looked at; `fields` are those of the form, as they stand in the address."""

    view: str
    fields: dict[str, str]
    before: int | None

    @property
    def address(self) -> dict[str, str]:
        """Parameters of the same view of the newest alerts."""
        return {"view": self.view, **{name: value for name, value in self.fields.items() if value}}

    @property
    def exported(self) -> dict[str, str]:
        """Parameters by which the API exports the same alerts, of any time."""
        views = {"attention": {"state": "active", "acknowledged": "false"}, "active": {"state": "active"}}
        found = {name: value for name, value in self.fields.items() if value and name != "since"}
        return {**views.get(self.view, {"label": "none"} if self.view == "unlabelled" else {}), **found}


@dataclass(frozen=True)
class AlertTable:
    """The page's content."""

    chosen: Chosen
    alerts: list[dict[str, Any]]
    count: Count
    next: int | None
    any: bool
    """Whether there is any alert at all."""


def chosen(parameters: Mapping[str, str]) -> Chosen:
    """What an address asks for; what makes no sense is left out."""
    view = parameters.get("view", "attention")
    fields = {name: parameters.get(name, "").strip()[:256] for name in _TEXTS}
    for name, allowed in _CHOICES.items():
        value = parameters.get(name, "")
        fields[name] = value if value in allowed else ""
    before = parameters.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    return Chosen(view if view in VIEWS else "attention", fields, number)


def read_alert_table(engine: Engine, asked: Chosen, now: float) -> AlertTable:
    """Read what the page shows."""
    wanted = _filter(asked, now)
    with reading(engine) as connection:
        page = page_of_alerts(connection, wanted, limit=PAGE, before=asked.before)
        count = count_alerts(connection, wanted)
        answers = alert_answers(connection, page.alerts)
        any_at_all = bool(page.alerts) or bool(page_of_alerts(connection, AlertFilter(), limit=1).alerts)
    return AlertTable(asked, answers, count, page.next, any_at_all)


def _filter(asked: Chosen, now: float) -> AlertFilter:
    fields = asked.fields
    texts = {name: (fields[name],) if fields[name] else () for name in (*_TEXTS, "severity", "kind", "label")}
    if asked.view == "unlabelled" and not texts["label"]:
        texts["label"] = ("none",)
    return AlertFilter(
        gateway=texts["gateway"],
        device=texts["device"],
        profile=texts["profile"],
        assignee=texts["assignee"],
        severity=texts["severity"],
        kind=texts["kind"],
        label=texts["label"],
        state=("active",) if asked.view == "active" else (),
        attention=True if asked.view == "attention" else None,
        since=now - int(fields["since"]) * _DAY if fields["since"] else None,
    )
