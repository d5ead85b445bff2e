"""Algorithms: by name, how each kind of model is trained."""

from __future__ import annotations

from collections.abc import Mapping

from vedette_hub.learning.training import isolation_forest
from vedette_hub.learning.training.trained import Train

DEFAULT = "isolation_forest"
ALGORITHMS: Mapping[str, Train] = {
    "isolation_forest": isolation_forest.train,
}
