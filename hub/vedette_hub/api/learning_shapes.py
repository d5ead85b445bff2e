"""What API requests and answers about learning look like. Times are as in `shapes`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vedette_hub.api.scoring_shapes import PerformanceOut
from vedette_hub.api.shapes import Page
from vedette_hub.learning.training.algorithms import ALGORITHMS, unknown
from vedette_hub.store.schema import NAME_LENGTH

Stage = Literal["candidate", "released", "retired"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _known_algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(unknown(name))
    return name


Algorithm = Annotated[
    str, AfterValidator(_known_algorithm), Field(max_length=NAME_LENGTH, json_schema_extra={"enum": sorted(ALGORITHMS)})
]


class ModelQuery(Page):
    """Which versions; a page continues after a profile and version, which go together."""

    profile: str | None = None
    stage: Stage | None = None
    after_profile: str | None = Field(None, description="Continue: from the `next` of the page before.")
    after_version: int | None = Field(None, ge=1, le=2**31 - 1)

    @model_validator(mode="after")
    def _both_or_none(self) -> ModelQuery:
        if (self.after_profile is None) != (self.after_version is None):
            raise ValueError("after_profile and after_version go together")
        return self

    def after(self) -> tuple[str, int] | None:
        """Where to continue."""
        if self.after_profile is None or self.after_version is None:
            return None
        return self.after_profile, self.after_version


class ModelOut(BaseModel):
    """A version of a profile's model."""

    profile: str
    version: int
    stage: Stage
    """`candidate`: ordered nowhere yet; `released`: gateways are told to run it, or to go back to it; `retired`."""
    detector: str
    """What runs on gateways."""
    algorithm: str
    """How it was trained."""
    sha256: str
    bytes: int
    created: float
    created_at: str | None
    origin: str
    """Where its data came from: `gateways`, `csv` or `synthetic`."""
    samples: int | None
    """Windows it was trained with."""
    drift: Literal["none", "some", "strong"] | None
    """How far it is from the version before it; null where there was none to compare with."""
    trained_at: str | None = Field(alias="trainedAt", description="`created_at`, as clients of `train` know it.")
    n_samples: int | None = Field(alias="nSamples", description="Readings or rows it was made from.")
    n_features: int | None = Field(
        alias="nFeatures", description="Numbers of a vector that it judges; null of older versions."
    )
    contamination: float | None = Field(description="Share of the training beyond the boundary, if asked for.")
    performance: PerformanceOut | None


class NextModel(BaseModel):
    """Where the next page begins."""

    after_profile: str
    after_version: int


class ModelsOut(BaseModel):
    """A page of versions by profile, of each the newest first."""

    status: Literal["success"] = "success"
    models: list[ModelOut]
    total: int
    next: NextModel | None = Field(description="Parameters of the next page; null on the last.")


class PlotOut(BaseModel):
    """A plot of a version's report."""

    name: str
    title: str
    description: str
    """What it shows, in words."""
    path: str
    """Where the SVG is."""


class ModelDetailOut(ModelOut):
    """A version with what it was trained on, and how that went."""

    lineage: dict[str, Any] = Field(
        description="What it was trained with and how; `channels` has quantiles of each, for comparing later data with."
    )
    report: dict[str, Any] = Field(
        description=(
            "How the training went. `dropped`: channels and readings that were left out, and why. `backtest`: alerts "
            "per device-week of held-out normal time (`alerts_per_device_week`; `p90_device`, of devices watched for a "
            "day), and what it finds of alerts labelled true or false, of `this` version and of the `previous` one on "
            "the same readings. `drift`: against the version before, by channel (`psi`, `ks`, `missing`), and the "
            "share of readings on which the two disagree (`flips`). `labels`: `conflicts` among them. `histogram` and "
            "`scores`: of held-out readings, 1 is the boundary. `parity`: with scikit-learn."
        )
    )
    plots: list[PlotOut]


class AlgorithmsOut(BaseModel):
    """What can be trained."""

    algorithms: list[str]
    default: str
    """What is trained where a request names none: `learning.algorithm` of the configuration."""


class SyntheticIn(BaseModel):
    """Generated data in place of samples."""

    model_config = ConfigDict(extra="forbid", strict=True)

    samples: Annotated[int, Field(ge=160, le=20_000_000)] = 10_000
    features: Annotated[int, Field(ge=1, le=512)] = 3
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class TrainIn(BaseModel):
    """What to train."""

    model_config = ConfigDict(extra="forbid", strict=True)

    profile: Name
    algorithm: Algorithm | None = Field(None, description="How; without it `learning.algorithm` of the configuration.")
    contamination: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        None, description="Share of training windows beyond the boundary, in place of `learning.alerts_per_week`."
    )
    synthetic: SyntheticIn | None = None


class JobQuery(Page):
    """Which jobs."""

    before: int | None = Field(None, ge=1, le=2**53, description="Continue: the `next` of the page before.")
    state: State | None = None
    profile: str | None = None


class JobOut(BaseModel):
    """A job as it stands."""

    number: int
    kind: str
    profile: str
    request: dict[str, Any]
    by: str
    state: State
    """`interrupted`: the hub stopped while it ran."""
    progress: float
    """0 to 1."""
    message: str
    """What is done now, or how it ended."""
    result: dict[str, Any] | None
    created: float
    created_at: str | None
    started: float | None
    finished: float | None


class JobsOut(BaseModel):
    """A page of jobs, the newest first."""

    jobs: list[JobOut]
    total: int
    next: int | None = Field(description="`before` of the next page; null on the last.")


class SampleTotalOut(BaseModel):
    """What there is to train a profile's model with."""

    profile: str
    segments: int
    readings: int
    bytes: int


class SamplesOut(BaseModel):
    """What there is to train with, by profile."""

    samples: list[SampleTotalOut]
