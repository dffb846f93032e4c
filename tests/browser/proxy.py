"""A TCP proxy between a browser and the server, to cut the network in a test."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

#: Makes close() send RST instead of FIN, so that readers get an error as in a network failure.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards bytes, with a thread for each direction.

    ::

        proxy = Proxy(server.port)
        ...                 # the browser opens proxy.url
        proxy.reset()       # every connection is reset, new ones work
        proxy.cut()         # every connection is reset, new ones are refused
        proxy.restore()     # new ones work again
        proxy.silence()     # every connection is open and dead, new ones work
        proxy.move(port)    # the server is at this port from now on
        proxy.close()
    """

    def __init__(self, target_port: int, delay: float = 0) -> None:
        """:param delay: seconds that each part of the data takes, in each direction."""
        self._delay = delay
        self._target_port = target_port
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._dead: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.restore()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def move(self, target_port: int) -> None:
        """Forward new connections to another port."""
        self._target_port = target_port

    def restore(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._start(self._accept, listener)

    def cut(self) -> None:
        assert self._listener is not None
        # Wakes up accept(); close() would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        self.reset()

    def silence(self) -> None:
        """Drop all that comes on the connections of now, their end included."""
        with self._lock:
            self._dead |= self._sockets

    def reset(self) -> None:
        with self._lock:
            cut, self._sockets = self._sockets, set()
            self._dead = set()
        for sock in cut:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            # Wakes up recv() in its thread. It is no error if the other end has already closed.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RD)
            sock.close()

    def close(self) -> None:
        if self._listener is not None:
            self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _start(self, function, *args) -> None:
        thread = threading.Thread(target=function, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                browser, _ = listener.accept()
            except OSError:
                return  # the proxy was cut
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:  # the server has gone
                browser.close()
                continue
            with self._lock:
                if self._listener is not listener:
                    browser.close()
                    server.close()
                    return
                self._sockets |= {browser, server}
            self._start(self._pass_on, browser, server)
            self._start(self._pass_on, server, browser)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while True:
                data = source.recv(65536)
                if source in self._dead:
                    if not data:
                        return
                    continue
                if not data:
                    break
                if self._delay:
                    time.sleep(self._delay)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the proxy was cut, or one of the ends has reset the connection
