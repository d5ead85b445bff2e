"""What API requests and answers about retention look like."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, create_model

from vedette_hub.store.retained import KEPT, LARGEST


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Limit = Annotated[int, Field(ge=0, le=LARGEST)] | None

RetentionIn = create_model(
    "RetentionIn",
    __base__=_Strict,
    __doc__="What is to be kept at most; what is left out stays, and null leaves it to the configuration.",
    **{name: (_Limit, Field(None, description=f"{kept.unit}. {kept.what}")) for name, kept in KEPT.items()},  # type: ignore[call-overload]  # fields by name, as the library documents it
)


class LimitOut(BaseModel):
    """How much is kept of something."""

    name: str
    what: str
    unit: str
    limit: int
    configured: int
    set_by: str
    set_time: float | None
    set_at: str | None
    there: int | None


class RetentionOut(BaseModel):
    """How much is kept of everything."""

    limits: list[LimitOut]
