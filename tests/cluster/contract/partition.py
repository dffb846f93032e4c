"""A network between one node and Redis, which a test can break in the ways of networks."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.browser.proxy import Proxy


class Partition(Proxy):
    """A proxy that can also stop forwarding, with its connections open.

    ``cut()`` and ``restore()`` are those of the proxy: connections are reset, then refused.
    """

    def __init__(self, target_port: int) -> None:
        self._forwards = threading.Event()
        self._forwards.set()
        super().__init__(target_port)

    def hold(self) -> None:
        """Forward nothing, without a word. What comes is kept."""
        self._forwards.clear()

    def release(self) -> None:
        """Forward what was kept, and go on."""
        self._forwards.set()

    def drop(self) -> None:
        """Go on after :meth:`hold` with new connections: what was kept is lost."""
        self.reset()
        self._forwards.set()

    def close(self) -> None:
        if self._listener is not None:
            self.cut()
        self._forwards.set()
        super().close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while True:
                data = source.recv(65536)
                self._forwards.wait()
                if not data:
                    break
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it was cut, or one of the ends has reset the connection
        finally:
            # A peer of a connection that has been reset must not be left waiting.
            with contextlib.suppress(OSError):
                source.shutdown(socket.SHUT_RD)
