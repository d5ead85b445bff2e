"""What the page of a version shows of its report: figures in words, for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vedette_hub.learning.registry import ModelVersion

MAX_FACTS = 200
CHANNELS_SHOWN = 50
_SUMMARIES = frozenset({"channels", "timeline", "histogram", "dropped", "drift", "backtest", "labels"})
"""Parts of a report or lineage that stand on the page already, in words."""


@dataclass(frozen=True)
class Judgement:
    """One figure of the backtest, of this version and of the one before."""

    what: str
    this: str
    previous: str


@dataclass(frozen=True)
class VersionReport:
    """The page's content."""

    summary: list[tuple[str, str]]
    conflicts: list[str]
    dropped: list[Mapping[str, Any]]
    judgements: list[Judgement]
    previous: int | None
    """Version compared with."""
    problem: str
    """Why it could not be compared with the version before."""
    drift: str | None
    flips: str
    channels: list[Mapping[str, Any]]
    """How far each has moved, the furthest first."""
    channels_total: int
    facts: list[tuple[str, str]]
    lineage: list[tuple[str, str]]


def version_report(model: ModelVersion) -> VersionReport:
    """The report of a version in words; a report that an older hub wrote has less in it."""
    report = model.report
    backtest = report.get("backtest") or {}
    drift = report.get("drift") or {}
    moved = drift.get("channels") or []
    return VersionReport(
        summary=list(_summary(model)),
        conflicts=list((report.get("labels") or {}).get("conflicts") or []),
        dropped=list(report.get("dropped") or []),
        judgements=list(_judgements(backtest.get("this"), backtest.get("previous"))),
        previous=drift.get("version"),
        problem=str(drift.get("problem") or ""),
        drift=model.listed.drift,
        flips=_percent((drift.get("flips") or {}).get("share")),
        channels=[_channel(one) for one in moved[:CHANNELS_SHOWN]],
        channels_total=len(moved),
        facts=list(_facts({key: value for key, value in report.items() if key not in _SUMMARIES}))[:MAX_FACTS],
        lineage=list(_facts({key: value for key, value in model.lineage.items() if key not in _SUMMARIES}))[:MAX_FACTS],
    )


def _summary(model: ModelVersion) -> Iterator[tuple[str, str]]:
    report = model.report
    yield "Algorithm", model.listed.algorithm.replace("_", " ")
    if "trained" in report:
        yield "Trained with", f"{report['trained']:,} windows of {report.get('readings', 0):,} readings"
        yield "Held out for judging", f"{report.get('held_out', 0):,} windows"
        yield "Devices", f"{report.get('devices', 0):,}, watched for {report.get('device_weeks', 0):g} device-weeks"
        yield "Channels", ", ".join(str(name) for name in report.get("channels", [])[:CHANNELS_SHOWN])
    yield "Data from", str(model.lineage.get("source") or model.lineage.get("origin", ""))
    if (budget := model.lineage.get("alerts_per_week")) is not None:
        yield "Alert budget", f"{budget:g} per device-week"
    elif (share := model.lineage.get("contamination")) is not None:
        yield "Beyond the boundary", f"{_percent(share)} of the training windows, as asked for"


def _judgements(this: Mapping[str, Any] | None, previous: Mapping[str, Any] | None) -> Iterator[Judgement]:
    if this is None:
        return
    both = (this, previous or {})
    yield Judgement("Normal time held out", *(_weeks(one.get("device_weeks")) for one in both))
    yield Judgement("Alerts in it", *(_number(one.get("alerts")) for one in both))
    yield Judgement("Alerts per device-week", *(_number(one.get("alerts_per_device_week")) for one in both))
    yield Judgement("The same of the 90th-percentile device", *(_number(one.get("p90_device")) for one in both))
    for label, what in (
        ("true", "Alerts labelled true that it finds"),
        ("false", "Alerts labelled false that would come again"),
    ):
        if this.get(f"labelled_{label}"):
            yield Judgement(what, *(_of(one, label) for one in both))


def _of(one: Mapping[str, Any], label: str) -> str:
    total = one.get(f"labelled_{label}")
    return "–" if not total else f"{one.get(f'labelled_{label}_alerted')} of {total}"


def _channel(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": one["channel"],
        "level": one["level"],
        "psi": _number(one["psi"]),
        "ks": _number(one["ks"]),
        "median": f"{_number(one['median_before'])} → {_number(one['median'])}",
        "missing": f"{_percent(one['missing_before'])} → {_percent(one['missing'])}",
    }


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _weeks(value: Any) -> str:
    return "–" if value is None else f"{value:.3g} device-weeks"


def _percent(share: Any) -> str:
    return "–" if share is None else f"{100 * share:.3g} %"


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(name, value) of everything in a report, nested names joined."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _facts(item, f"{name} {key}".strip().replace("_", " "))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, start=1):
            yield from _facts(item, f"{name} {number}")
    elif isinstance(value, list):
        yield name, ", ".join(_shown(item) for item in value)
    else:
        yield name, _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
