"""gunicorn around the web application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # gunicorn has no types

_WORKER_SECONDS = 60


class GunicornApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn, configured here and by nothing else."""

    def __init__(
        self, make_application: Callable[[], Flask], socket_number: int, threads: int, stop_seconds: int
    ) -> None:
        self._make_application = make_application
        self._options: dict[str, Any] = {
            "bind": [f"fd://{socket_number}"],
            "worker_class": "gthread",
            "workers": 1,
            "threads": threads,
            "timeout": _WORKER_SECONDS,
            "graceful_timeout": stop_seconds,
            "keepalive": 5,
            "loglevel": "warning",
            "control_socket_disable": True,
            "limit_request_line": 8190,
            "proc_name": "vedette-hub web",
        }
        super().__init__()

    def load_config(self) -> None:
        """Take over the options; the environment has no say."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, made in each worker: a database connection cannot cross a fork."""
        return self._make_application()
