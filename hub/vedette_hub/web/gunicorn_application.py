"""gunicorn around the web application."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # gunicorn has no types

from vedette_hub.live.exchange import stop
from vedette_hub.web.handover_worker import HandOverWorker
from vedette_hub.web.stopping import stopping
from vedette_hub.web.tls import Certificate

_WORKER_SECONDS = 60
_GARBAGE_OBJECTS = 20_000
"""New objects after which Python looks for garbage in cycles."""


class _Worker(HandOverWorker):
    """Lets the application know that it is to end: requests in flight may finish, others should not begin."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        stopping.set()
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not self.alive:
            # gunicorn would go on listening until the last request is answered: who comes now would wait for nobody.
            for listener in self.sockets:
                listener.close()


class _Log(Logger):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn has to say goes where the hub's log goes, in its form."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


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
            "worker_class": _Worker,
            "worker_exit": lambda _arbiter, worker: stop(worker.wsgi),
            "logger_class": _Log,
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
        application = self._make_application()
        # What is there now stays; and a request with a thousand events makes more objects than Python thinks normal:
        # looking for garbage among them again and again cost a third of such a request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_OBJECTS)
        return application
