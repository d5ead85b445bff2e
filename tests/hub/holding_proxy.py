"""A TCP proxy before a broker that can hold back what a client sends from a certain topic on."""

from __future__ import annotations

import socket
import threading


class HoldingProxy:
    """Passes bytes both ways; once `hold` is seen on the way to the broker, nothing more is passed on to it."""

    def __init__(self, broker_port: int) -> None:
        self.hold: bytes | None = None
        self.held = threading.Event()
        self._broker_port = broker_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._broker_port))
            self._sockets += [client, broker]
            threading.Thread(target=self._pass_on, args=(client, broker, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(broker, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, to_broker: bool) -> None:
        held = False
        try:
            while data := source.recv(65_536):
                if to_broker and self.hold is not None and self.hold in data:
                    held = True
                    self.held.set()
                if not held:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
