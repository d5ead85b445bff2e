"""What the scoring routes share within one process."""

from __future__ import annotations

import threading
import time
from typing import cast

from flask import Flask, current_app
from sqlalchemy import Engine

from vedette_hub.config import Config
from vedette_hub.scoring.models import Models
from vedette_hub.scoring.scorer import Scorer
from vedette_hub.scoring.source_alerts import SourceAlerts

_EXTENSION = "vedette_scoring"


class Scoring:
    """Models, the scorer and the alerts of sources."""

    def __init__(self, engine: Engine, config: Config) -> None:
        settings = config.scoring
        self.models = Models(engine, settings.models)
        self.scorer = Scorer(settings.concurrent, settings.timeout)
        self.alerts = SourceAlerts(engine, config.limits.events_per_alert)
        self.waiting = threading.BoundedSemaphore(settings.waiting) if settings.waiting else None
        self.since = time.time()

    def attach(self, app: Flask) -> None:
        """Make it reachable from requests."""
        app.extensions[_EXTENSION] = self


def scoring() -> Scoring:
    """What scores for the application that handles this request."""
    return cast(Scoring, current_app.extensions[_EXTENSION])
