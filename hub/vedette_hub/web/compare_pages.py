"""The console's page that puts two versions of a profile's model side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apiflask import APIBlueprint
from flask import abort, render_template, request, url_for
from sqlalchemy import Connection

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.learning import registry
from vedette_hub.learning.registry import ModelVersion
from vedette_hub.store.database import reading
from vedette_hub.store.plots import list_plots
from vedette_hub.web.version_report import VersionReport, version_report

VERSIONS_OFFERED = 200

blueprint = APIBlueprint("compare_console", __name__, url_prefix="/models", enable_openapi=False)


@dataclass(frozen=True)
class Row:
    """One fact about both versions."""

    what: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.first != self.second


@blueprint.get("/<name:profile>/compare")
@requires("viewer", page=True)
def page(profile: str) -> Any:
    """Two versions side by side: those that the address names, or the two newest."""
    with reading(context().engine) as connection:
        offered = registry.list_versions(connection, profile, limit=VERSIONS_OFFERED)
        if not offered:
            abort(404)
        numbers = [model.version for model in offered]
        second = _asked("b", numbers, numbers[0])
        first = _asked("a", numbers, next((number for number in numbers if number != second), second))
        models = [_find(connection, profile, number) for number in (first, second)]
        plots = [{plot.name: plot for plot in list_plots(connection, profile, number)} for number in (first, second)]
    reports = [version_report(model) for model in models]
    return render_template(
        "model_compare.html",
        profile=profile,
        versions=numbers,
        models=models,
        facts=_facts(models, reports),
        judged=_judged(reports),
        plots=[(name, plots[0].get(name), plots[1].get(name)) for name in dict.fromkeys([*plots[0], *plots[1]])],
        trail=[("Models", url_for("models_console.page"))],
    )


def _asked(name: str, numbers: list[int], otherwise: int) -> int:
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in numbers else otherwise


def _find(connection: Connection, profile: str, number: int) -> ModelVersion:
    found = registry.find(connection, profile, number)
    if found is None:
        abort(404)
    return found


def _facts(models: list[ModelVersion], reports: list[VersionReport]) -> list[Row]:
    sides = [
        {"Stage": model.stage, **dict(report.summary), "Size": f"{model.bytes / 1024:.1f} KiB", "Drift": _drift(report)}
        for model, report in zip(models, reports, strict=True)
    ]
    return _rows(sides)


def _drift(report: VersionReport) -> str:
    return (
        "–" if report.drift is None else f"{report.drift.replace('none', 'no')} drift since version {report.previous}"
    )


def _judged(reports: list[VersionReport]) -> list[Row]:
    """Backtests; each was made with the readings there were when the version was trained."""
    return _rows([{judgement.what: judgement.this for judgement in report.judgements} for report in reports])


def _rows(sides: list[dict[str, str]]) -> list[Row]:
    names = dict.fromkeys([*sides[0], *sides[1]])
    return [Row(name, sides[0].get(name, "–"), sides[1].get(name, "–")) for name in names]
