"""Algorithms: by name, how each kind of model is trained.

What trains a model is imported when it is used: whoever only asks for names (API, console, configuration) needs neither
scikit-learn nor its memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette_hub.learning.datasets import Dataset
    from vedette_hub.learning.training.trained import Settings, Tell, Train, Trained

DEFAULT = "isolation_forest"


def _of(name: str) -> Train:
    """`train` of the module of this name beside this one."""

    def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
        trained: Trained = import_module(f"vedette_hub.learning.training.{name}").train(dataset, settings, tell)
        return trained

    return train


ALGORITHMS: Mapping[str, Train] = {
    **{name: _of(name) for name in ("isolation_forest", "lof", "one_class_svm", "ensemble", "mahalanobis", "forecast")},
}


def unknown(name: str) -> str:
    """What to say of a name that is no algorithm's."""
    return f'there is no algorithm "{name}"; there are {", ".join(sorted(ALGORITHMS))}'
