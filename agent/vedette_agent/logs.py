"""Where log lines go and what they look like."""

from __future__ import annotations

import logging
import sys
import time

TEXT = "%(asctime)s %(levelname)-7s %(message)s"
FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configure(level: str, form: str) -> None:
    """Log to stderr, as text for people or as `json` for machines."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        from pythonjsonlogger.json import JsonFormatter

        formatter = JsonFormatter(FIELDS)
        # In UTC, as the hub's: lines of machines in several places are read side by side.
        formatter.converter = time.gmtime
        formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
        handler.setFormatter(formatter)
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
