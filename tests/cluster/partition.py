"""A network between one node and Redis, which a test can break in the ways of networks."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.browser.proxy import RESET_ON_CLOSE


class Partition:
    """Forwards connections, with a thread for each direction.

    :param target_port: of Redis. While nobody listens there, connections are reset.
    :ivar port: of the proxy.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._forwards = threading.Event()
        self._forwards.set()
        self._is_open = True
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def hold(self) -> None:
        """Forward nothing, without a word. What comes is kept, and new connections hang."""
        self._forwards.clear()

    def release(self) -> None:
        """Forward what was kept, and go on."""
        self._forwards.set()

    def cut(self) -> None:
        """Reset all connections, and new ones at once."""
        with self._lock:
            self._is_open = False
        self.reset()

    def restore(self) -> None:
        """Undo :meth:`cut`."""
        with self._lock:
            self._is_open = True

    def reset(self) -> None:
        """Reset the connections that there are; what was kept is lost."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            _reset(sock)

    def close(self) -> None:
        self.cut()
        self._forwards.set()
        # Wakes up accept(); close() would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _start(self, function, *args) -> None:
        thread = threading.Thread(target=function, args=args, name="partition")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                node, _ = self._listener.accept()
            except OSError:
                return  # it was closed
            try:
                redis = socket.create_connection(self._target)
            except OSError:
                _reset(node)
                continue
            with self._lock:
                is_open = self._is_open
                if is_open:
                    self._sockets |= {node, redis}
            if not is_open:
                _reset(node)
                redis.close()
                continue
            self._start(self._pass_on, node, redis)
            self._start(self._pass_on, redis, node)

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
            pass  # it was reset, by us or by one of the ends
        with self._lock:
            ours = {source, target} & self._sockets
        # The other end is told; both threads of a pair end.
        for sock in ours:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        # Wakes up recv() in its thread. It is no error if the other end has already closed.
        sock.shutdown(socket.SHUT_RD)
    sock.close()
