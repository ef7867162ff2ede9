"""A wire that can be cut. Each driver comes to the gateway through one."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards bytes between a port of its own and the gateway's."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._muted = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def mute(self) -> None:
        """What the gateway says from now on does not arrive."""
        self._muted = True

    def cut(self) -> None:
        """Breaks all connections. New ones work."""
        with self._lock:
            self._muted = False
            broken, self._open = self._open, set()
        for one in broken:
            _end(one)

    def close(self) -> None:
        _end(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:  # the gateway is down: so is the wire
                _end(client)
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            pairs = ((client, server, False), (server, client, True))
            for source, target, down in pairs:
                threading.Thread(
                    target=self._pump, args=(source, target, down), daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, down: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not (down and self._muted):
                    target.sendall(data)
        for one in (source, target):
            with self._lock:
                self._open.discard(one)
            _end(one)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        one.close()
