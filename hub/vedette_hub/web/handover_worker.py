"""gunicorn's threaded worker, which lets go of connections that have become WebSockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from flask import Response
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]  # gunicorn has no types

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SOCKET = "gunicorn.socket"
"""Where the environment of a request has its connection."""

_handed_over: WeakSet[Any] = WeakSet()


class HandOver(Response):
    """An answer that is none: the connection goes to `take`, and this server neither writes to it nor closes it."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        super().__init__(status=101)
        self._take = take

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Give the connection away."""
        connection = environ[SOCKET]
        _handed_over.add(connection)
        self._take(connection)
        raise StopIteration  # gunicorn's way to be told that there is nothing to answer


class HandOverWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """As gunicorn's, but it forgets a connection that was handed over: it does not count, and stays open."""

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Called in the main thread when a thread is done with a connection."""
        if conn.sock in _handed_over:
            _handed_over.discard(conn.sock)
            self.nr_conns -= 1
            return
        super().finish_request(conn, fs)
