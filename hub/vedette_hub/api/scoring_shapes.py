"""What requests and answers about vectors look like: camelCase, and `status` in every answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from vedette_hub.scoring.models import VECTOR_ALGORITHMS
from vedette_hub.store.schema import NAME_LENGTH
from vedette_models.artifact import MAX_CHANNELS
from vedette_models.columns import LARGEST

MOST_EVENTS = 10_000
"""Events of a batch."""
MOST_VALUES = 2_000_000
"""Rows x features that one training takes."""
LEAST_ROWS = 100
"""Rows that a training needs, unless small ones are allowed."""

Algorithm = Literal["isolation_forest", "lof", "one_class_svm"]
assert set(VECTOR_ALGORITHMS) == set(Algorithm.__args__)  # type: ignore[attr-defined]  # noqa: S101  # one list, twice

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Vector = Annotated[list[Number], Field(min_length=1, max_length=MAX_CHANNELS)]
Success = Literal["success"]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)


class _Out(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class MetadataIn(BaseModel):
    """Where an event comes from; `source` counts, other fields are free, and not kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    source: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = Field(
        None, description="What an alert names as its device; without it, whoever sends the request."
    )
    __pydantic_extra__: dict[str, JsonValue]


class EventIn(_In):
    """One vector of features."""

    features: Vector
    metadata: MetadataIn | None = None


class DetectIn(EventIn):
    """A vector to score, with an alert for its source if it is anomalous."""

    algorithm: Algorithm | None = Field(None, description="Of the model; without it, the newest model's.")


class BatchIn(_In):
    """Vectors to score, all of the same number of features; they raise no alerts."""

    events: Annotated[list[EventIn], Field(min_length=1, max_length=MOST_EVENTS)]
    algorithm: Algorithm | None = Field(None, description="Of the model; without it, the newest model's.")


class ResultOut(_Out):
    """What a model says of a vector."""

    event_id: str
    timestamp: str
    """When it was scored, RFC 3339."""
    is_anomaly: bool
    score: float = Field(description="As scikit-learn's decision_function: negative is anomalous.")
    confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        description="0 on the boundary; 1 as far from it as a typical vector, or further, on either side."
    )
    algorithm: Algorithm
    latency_ms: float


class RaisedOut(_Out):
    """An alert that was raised."""

    id: str = Field(description="`GET /api/v1/alerts/api/<id>` shows it.")
    severity: Literal["low", "medium", "high", "critical"]
    message: str


class DetectOut(_Out):
    """What became of one vector."""

    status: Success
    result: ResultOut
    alert: RaisedOut = Field(
        default=None,  # type: ignore[assignment]  # not there where none was raised
        description="Only where this vector raised one: a source has one at a time, and a pause after it.",
    )


class BatchResultOut(_Out):
    """What a model says of vectors, in their order."""

    results: list[ResultOut]
    total_latency_ms: float
    avg_latency_ms: float
    anomaly_count: int
    anomaly_rate: float


class BatchOut(_Out):
    """What became of a batch."""

    status: Success
    result: BatchResultOut


class TrainConfigIn(_In):
    """How to train; snake_case names are taken too."""

    contamination: Annotated[float, Field(gt=0, le=0.5)] | Literal["auto"] = Field(
        "auto", description="Share of the rows that lie beyond the boundary; `auto` is 0.01."
    )
    n_estimators: Annotated[int, Field(ge=1, le=500)] | None = Field(None, description="Trees of an isolation forest.")
    max_samples: Annotated[int, Field(ge=2, le=4_096)] | None = Field(
        None, description="Rows that each tree is grown from."
    )
    random_state: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = Field(
        None, description="Seed; without it, it follows from the rows."
    )
    allow_small: bool = Field(False, description=f"Train with fewer than {LEAST_ROWS} rows, too.")


class TrainVectorsIn(_In):
    """Rows to train with, all of the same number of features."""

    algorithm: Algorithm = "isolation_forest"
    data: Annotated[list[Vector], Field(min_length=2, max_length=MOST_VALUES)]
    config: TrainConfigIn = TrainConfigIn()
    allow_small: bool = Field(False, alias="allow_small", description="The same as in `config`.")

    @model_validator(mode="after")
    def _check(self) -> TrainVectorsIn:
        width = len(self.data[0])
        for number, row in enumerate(self.data):
            if len(row) != width:
                raise ValueError(f"data.{number}: {len(row)} features, the rows before it have {width}")
        if width * len(self.data) > MOST_VALUES:
            raise ValueError(f"data: {len(self.data)} rows x {width} features; together at most {MOST_VALUES}")
        if len(self.data) < LEAST_ROWS and not self.small:
            raise ValueError(f"data: {len(self.data)} rows, at least {LEAST_ROWS} are needed; allow_small lifts that")
        return self

    @property
    def small(self) -> bool:
        """Whether few rows will do."""
        return self.allow_small or self.config.allow_small


class TrainQuery(BaseModel):
    """Whether to wait for a training."""

    model_config = ConfigDict(extra="forbid")

    wait: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        30.0, description="Seconds to wait for the training to end; 0: answer at once, with the number of the job."
    )


class PerformanceOut(_Out):
    """How a training went."""

    training_time_ms: float
    held_out: int = Field(description="Rows that were not trained with, but kept for judging: every fifth stretch.")
    anomaly_rate: float | None = Field(description="Share beyond the boundary, of the rows trained with.")
    held_out_anomaly_rate: float | None
    max_error: float = Field(description="Largest difference to scikit-learn's own scores, in the proof of the export.")


class TrainedModelOut(_Out):
    """A model as it was trained."""

    algorithm: str
    version: int
    trained_at: str
    n_samples: int
    n_features: int
    contamination: float | None
    performance: PerformanceOut


class TrainedOut(_Out):
    """What a training made."""

    status: Success
    model: TrainedModelOut


class QueuedOut(_Out):
    """A training that goes on: ask for its job."""

    status: Literal["accepted"]
    job: dict[str, Any] = Field(description="As `GET /api/v1/jobs/<number>` shows it.")


class ScorerFiguresOut(_Out):
    """What has been scored since `since`, when the web server started. Latencies are of one vector, in milliseconds."""

    since: str
    total_requests: int
    total_scored: int
    total_anomalies: int
    total_timeouts: int
    total_refused: int
    avg_latency_ms: float
    max_latency_ms: float
    min_latency_ms: float
    anomaly_rate: float
    timeout_rate: float = Field(description="Share of the requests whose scoring took too long.")


class ScorerOut(_Out):
    """Figures of the scorer."""

    status: Success
    stats: ScorerFiguresOut
