"""`/api/v1/models` and `/api/v1/samples`: versions, how they were trained, and training the next one."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint, abort
from flask import Response, request, url_for

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.jobs import job_answer
from vedette_hub.api.learning_shapes import (
    AlgorithmsOut,
    JobOut,
    ModelDetailOut,
    ModelQuery,
    ModelsOut,
    SamplesOut,
    TrainIn,
)
from vedette_hub.learning import jobs, registry
from vedette_hub.learning.errors import JobError
from vedette_hub.learning.jobs import Synthetic, TrainRequest
from vedette_hub.learning.registry import ListedVersion
from vedette_hub.learning.training.algorithms import ALGORITHMS
from vedette_hub.store.database import reading, writing
from vedette_hub.store.plots import list_plots, read_plot
from vedette_hub.store.samples import sample_totals
from vedette_hub.times import rfc3339

PLOT_SECONDS = 30 * 86_400
"""How long a browser keeps a plot."""
PLOT_ANSWERS: dict[int | str, dict[str, str | dict[str, dict[str, Any]]]] = {
    200: {"description": "The plot.", "content": {"image/svg+xml": {}}},
    404: {"description": "There is no such plot."},
}

blueprint = APIBlueprint("models", __name__, url_prefix="/api/v1", tag="Models")


@blueprint.get("/models")
@requires("viewer")
@blueprint.input(ModelQuery, location="query")
@blueprint.output(ModelsOut)
def list_models(query_data: ModelQuery) -> dict[str, Any]:
    """Versions by profile, of each the newest first."""
    chosen = (query_data.profile, query_data.stage)
    with reading(context().engine) as connection:
        found = registry.list_versions(connection, *chosen, limit=query_data.limit + 1, after=query_data.after())
        total = registry.count_versions(connection, *chosen)
    page = found[: query_data.limit]
    more = {"after_profile": page[-1].profile, "after_version": page[-1].version} if len(found) > len(page) else None
    return {"models": [model_answer(version) for version in page], "total": total, "next": more}


@blueprint.get("/models/<name:profile>/<int(min=1, max=2147483647):version>")
@requires("viewer")
@blueprint.output(ModelDetailOut)
@blueprint.doc(responses=[404])
def show_model(profile: str, version: int) -> dict[str, Any]:
    """One version with its lineage and training report."""
    with reading(context().engine) as connection:
        found = registry.find(connection, profile, version)
        if found is None:
            abort(404, f"Profile {profile!r} has no version {version}; GET /api/v1/models lists those there are.")
        drawn = list_plots(connection, profile, version)
    return {
        **model_answer(found.listed),
        "lineage": found.lineage,
        "report": found.report,
        "plots": [
            {**plot.__dict__, "path": url_for("models.show_plot", profile=profile, version=version, name=plot.name)}
            for plot in drawn
        ],
    }


@blueprint.get("/models/<name:profile>/<int(min=1, max=2147483647):version>/plots/<name:name>.svg")
@requires("viewer")
@blueprint.doc(responses=PLOT_ANSWERS)
def show_plot(profile: str, version: int, name: str) -> Response:
    """One plot of a version's report, as SVG: it follows the reader's light or dark setting, and never changes."""
    return plot_answer(profile, version, name)


@blueprint.post("/models/train")
@requires("approver", "train")
@idempotent
@blueprint.input(TrainIn)
@blueprint.output(JobOut, status_code=202)
@blueprint.doc(responses=[400, 409, 413])
def train(json_data: TrainIn) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Queue a training; the job says how it goes, and which version it made."""
    here = context()
    wanted = json_data.synthetic
    synthetic = None if wanted is None else Synthetic(wanted.samples, wanted.features, wanted.seed)
    request = TrainRequest(json_data.profile, json_data.algorithm, json_data.contamination, synthetic)
    try:
        with writing(here.engine) as connection:
            job = jobs.enqueue(connection, request, who(), here.now(), here.config.learning.queue)
            note(connection, "model.train", json_data.profile, detail=f"job {job.number}")
    except JobError as error:
        abort(409, f"{error}.")
    return job_answer(job), 202, {"Location": f"/api/v1/jobs/{job.number}"}


@blueprint.get("/algorithms")
@requires("viewer")
@blueprint.output(AlgorithmsOut)
def list_algorithms() -> dict[str, Any]:
    """What can be trained, and what is trained where nothing else is asked for."""
    return {"algorithms": sorted(ALGORITHMS), "default": context().config.learning.algorithm}


@blueprint.get("/samples")
@requires("viewer")
@blueprint.output(SamplesOut)
def list_samples() -> dict[str, Any]:
    """What there is to train with, by profile."""
    with reading(context().engine) as connection:
        found = sample_totals(connection)
    return {"samples": [total.__dict__ for total in found]}


def model_answer(version: ListedVersion) -> dict[str, Any]:
    """Fields of `ModelOut`."""
    return {
        "profile": version.profile,
        "version": version.version,
        "stage": version.stage,
        "detector": version.detector,
        "algorithm": version.algorithm,
        "sha256": version.sha256,
        "bytes": version.bytes,
        "created": version.created,
        "created_at": rfc3339(version.created),
        "origin": version.origin,
        "samples": version.trained,
        "drift": version.drift,
        "trainedAt": rfc3339(version.created),
        "nSamples": version.readings,
        "nFeatures": version.features,
        "contamination": version.contamination,
        "performance": None if version.performance is None else version.performance.__dict__,
    }


def plot_answer(profile: str, version: int, name: str) -> Response:
    """A plot, to be kept by who asks: it belongs to a version, which never changes."""
    with reading(context().engine) as connection:
        found = read_plot(connection, profile, version, name)
    if found is None:
        abort(404, f"Version {version} of profile {profile!r} has no plot {name!r}.")
    response = Response(found, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = f"private, max-age={PLOT_SECONDS}, immutable"
    # Its colours are styles of its own; opened alone it is a document, and may do nothing else.
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    response.add_etag()
    response.make_conditional(request)
    return response
