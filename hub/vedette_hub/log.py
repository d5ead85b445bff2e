"""The hub's log, on standard error: a line for people, or a JSON object for machines."""

from __future__ import annotations

import logging
import sys
import time

from pythonjsonlogger.json import JsonFormatter

from vedette_hub import tracing
from vedette_hub.config import HubSection
from vedette_hub.request_id import request_id


def configure(settings: HubSection) -> None:
    """Send everything that is logged to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_ids)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for chatty in ("alembic", "apscheduler", "mqtt", "urllib3", "websockets", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _add_ids(record: logging.LogRecord) -> bool:
    """Every line says which request it belongs to, and which trace; those that belong to none stay as they are."""
    for name, value in (("request_id", request_id()), ("trace_id", tracing.trace_id())):
        if value and not hasattr(record, name):
            setattr(record, name, value)
    return True


class _Json(JsonFormatter):
    """One object a line: asctime (UTC), levelname, name, message, and what else the line was given."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("{asctime}{levelname}{name}{message}", style="{")
        self.converter = time.gmtime


class _Text(logging.Formatter):
    """A line for people, with the request's id at its end."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name that logging gives it
        line = super().formatMessage(record)
        return f"{line} [{found}]" if (found := getattr(record, "request_id", "")) else line
