"""One table of the file as a model, with everything that is wrong in it reported at its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from vedette_agent.config.problems import in_words
from vedette_agent.config.units import describe

if TYPE_CHECKING:
    from vedette_agent.config.problems import Findings, KeyPath

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], path: KeyPath, table: Any, findings: Findings) -> Model | None:
    """`table` as a `model` after reporting every problem in it; None when what it needs is not there.

    Keys with a problem are left out, so that checks across tables still have the rest to look at: whoever uses the
    result must refuse the configuration when anything was reported.
    """
    if not isinstance(table, dict):
        findings.add(path, f"must be a table, got {describe(table)}")
        return None
    try:
        return model.model_validate(table)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            location = tuple(part for part in error["loc"] if part != "[key]")
            findings.add((*path, *location), in_words(error, model.model_fields))
        wrong = {error["loc"][0] for error in invalid.errors() if error["loc"]}
    try:
        return model.model_validate({key: value for key, value in table.items() if key not in wrong})
    except ValidationError:
        return None
