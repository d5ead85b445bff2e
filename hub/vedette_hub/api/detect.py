"""`/api/v1/detect`, `/api/v1/detect/batch` and `/api/v1/stats/scorer`: vectors of features, scored at the hub."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
from apiflask import APIBlueprint, abort
from flask import Response
from numpy.typing import NDArray

from vedette_hub.api.access import requires
from vedette_hub.api.body_limits import takes
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.scoring_shapes import BatchIn, BatchOut, DetectIn, DetectOut, ScorerOut
from vedette_hub.scoring.errors import NoModelError, ScoringBusyError, ScoringTimeoutError
from vedette_hub.scoring.models import ScoringModel
from vedette_hub.scoring.scorer import Scored
from vedette_hub.scoring.service import scoring
from vedette_hub.scoring.source_alerts import Judgement
from vedette_hub.times import rfc3339
from vedette_models.artifact import DETECTORS
from vedette_models.messages import ChannelReason
from vedette_models.readings import ReadingBatch

BATCH_BYTES = 8 * 1024 * 1024
RETRY_AFTER_SECONDS = 1
MOST_REASONS = 5

blueprint = APIBlueprint("detect", __name__, url_prefix="/api/v1", tag="Detection")

_ANSWERS = {
    400: "The body is not JSON",
    404: "No model of so many features is trained",
    413: "The body is too large",
    503: "Too many requests are being scored; `Retry-After` says when to try again",
    504: "Scoring took longer than it may",
}


@blueprint.post("/detect")
@requires("operator", "detect")
@blueprint.input(DetectIn)
@blueprint.output(DetectOut)
@blueprint.doc(responses=_ANSWERS)
def detect(json_data: DetectIn) -> Response:
    """Score one vector; an anomaly raises an alert for its source."""
    now = context().now()
    vectors = np.array([json_data.features])
    with _answered():
        model, scored = _score(vectors, json_data.algorithm)
    answer: dict[str, Any] = {"status": "success", "result": next(_results(model, scored, now))}
    strength = float(scored.strength[0])
    reasons = _reasons(model, vectors) if strength >= 1.0 else ()
    sent = json_data.metadata
    source = (sent.source if sent is not None else None) or who()
    judged = Judgement(source, now, strength, model, reasons)
    if (raised := scoring().alerts.judge(judged)) is not None:
        answer["alert"] = {"id": raised.id, "severity": raised.severity, "message": raised.reason}
    return _json(answer)


@blueprint.post("/detect/batch")
@requires("operator", "detect")
@takes(BATCH_BYTES)
@blueprint.input(BatchIn)
@blueprint.output(BatchOut)
@blueprint.doc(responses=_ANSWERS)
def detect_batch(json_data: BatchIn) -> Response:
    """Score many vectors at once; they raise no alerts."""
    rows = [event.features for event in json_data.events]
    width = len(rows[0])
    for number, row in enumerate(rows):
        if len(row) != width:
            problem = f"{len(row)} features, the events before it have {width}"
            fields = {f"events.{number}.features": [problem]}
            abort(422, "The request is not as it should be.", detail={"json": fields})
    with _answered():
        model, scored = _score(np.array(rows), json_data.algorithm)
    found = int(np.count_nonzero(scored.anomalous))
    result = {
        "results": list(_results(model, scored, context().now())),
        "totalLatencyMs": 1e3 * scored.seconds,
        "avgLatencyMs": 1e3 * scored.seconds / len(rows),
        "anomalyCount": found,
        "anomalyRate": found / len(rows),
    }
    return _json({"status": "success", "result": result})


@blueprint.get("/stats/scorer")
@requires("viewer")
@blueprint.output(ScorerOut)
def scorer_figures() -> dict[str, Any]:
    """What has been scored since the web server started, and how fast."""
    found, here = scoring().scorer.figures, scoring()
    return {
        "status": "success",
        "stats": {
            "since": rfc3339(here.since),
            "total_requests": found.requests,
            "total_scored": found.scored,
            "total_anomalies": found.anomalies,
            "total_timeouts": found.timeouts,
            "total_refused": found.refused,
            "avg_latency_ms": 1e3 * found.seconds / found.scored if found.scored else 0.0,
            "max_latency_ms": 1e3 * found.slowest,
            "min_latency_ms": 1e3 * found.fastest if math.isfinite(found.fastest) else 0.0,
            "anomaly_rate": found.anomalies / found.scored if found.scored else 0.0,
            "timeout_rate": found.timeouts / found.requests if found.requests else 0.0,
        },
    }


@contextmanager
def _answered() -> Iterator[None]:
    """Why it cannot be scored, as a status with a sentence."""
    try:
        yield
    except NoModelError as error:
        abort(404, _sentence(error))
    except ScoringTimeoutError as error:
        abort(504, _sentence(error))
    except ScoringBusyError as error:
        abort(503, _sentence(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _score(vectors: NDArray[np.float64], algorithm: str | None) -> tuple[ScoringModel, Scored]:
    here = scoring()
    model = here.models.find(vectors.shape[1], algorithm)
    return model, here.scorer.score(model.detector, vectors)


def _results(model: ScoringModel, scored: Scored, now: float) -> Iterator[dict[str, Any]]:
    """Fields of `ResultOut`, one by one; ids differ by their number within the request."""
    event, stamp = secrets.token_hex(8), rfc3339(now)
    each = 1e3 * scored.seconds / len(scored.decision)
    decided = zip(scored.anomalous.tolist(), scored.decision.tolist(), scored.confidence.tolist(), strict=True)
    for number, (anomalous, decision, confidence) in enumerate(decided):
        yield {
            "eventId": f"{event}-{number}",
            "timestamp": stamp,
            "isAnomaly": anomalous,
            "score": decision,
            "confidence": confidence,
            "algorithm": model.algorithm,
            "latencyMs": each,
        }


def _reasons(model: ScoringModel, vectors: NDArray[np.float64]) -> tuple[ChannelReason, ...]:
    """What makes one vector anomalous, by feature, as a gateway would say it."""
    # One of its own: the model's, which all requests share, would keep the vector as a device's newest reading.
    detector = DETECTORS[model.algorithm](vectors.shape[1], model.detector.learnt)
    detector.resize(1)
    scores = detector.score(ReadingBatch.of([0], [0.0], vectors))
    shares = scores.by_channel[0]
    reasons = []
    for channel in np.argsort(-shares)[:MOST_REASONS].tolist():
        finding = scores.finding(0, channel)
        if finding is not None:
            share = float(shares[channel] / scores.total[0])
            name = f"feature {channel + 1}"
            reasons.append(ChannelReason(name, finding.value, finding.low, finding.high, share, finding.aspect))
    return tuple(reasons)


def _json(answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), mimetype="application/json")


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
