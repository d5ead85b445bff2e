"""gunicorn around the web application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # gunicorn has no types

from vedette_hub.web.tls import Certificate

_WORKER_SECONDS = 60


class GunicornApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn, configured here and by nothing else."""

    def __init__(
        self,
        make_application: Callable[[], Flask],
        socket_number: int,
        threads: int,
        stop_seconds: int,
        certificate: tuple[str, str] | None = None,
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
            # Who a proxy speaks for is said by web.proxy_hops alone; gunicorn would believe anybody on this machine.
            "forwarded_allow_ips": "",
            "secure_scheme_headers": {},
        }
        if certificate is not None:
            served = Certificate(*certificate)
            self._options |= {
                "certfile": certificate[0],
                "keyfile": certificate[1],
                "do_handshake_on_connect": True,  # where the context can put an end to it
                "ssl_context": lambda _settings, _default: served.context(),
            }
        super().__init__()

    def load_config(self) -> None:
        """Take over the options; the environment has no say."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, made in each worker: a database connection cannot cross a fork."""
        return self._make_application()
