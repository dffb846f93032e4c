"""A socket on gevent's hub, under gunicorn's gevent worker and gevent's pywsgi."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, Callable

import gevent
import gevent.event
from gevent import monkey

from ..channel import READ_SIZE, send_without_delay
from ..forked_child import close_descriptor
from ..hang_up import has_hung_up, is_unanswered
from ..send_buffer import count_unacknowledged
from ..tls_records import write_records
from .greenlet_pool import GreenletPool

#: The socket class of the standard library, also in a process that gevent has patched.
#: gevent's is three times as large, for the sake of waiting, which a channel does itself.
PlainSocket = monkey.get_original("socket", "socket")

_READ, _WRITE = 1, 2
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class GreenletChannel:
    """A socket on gevent's hub.

    :param sock: a plain socket of our own, or one of gevent's (TLS) that stays the server's.
    :param owned: whether :meth:`close` closes the socket.
    :param pool: its greenlets call the function that :meth:`watch` is given.
    """

    __slots__ = (
        "_owned",
        "_pool",
        "_read_watcher",
        "_sock",
        "_write_watcher",
        "batch_writes",
        "buffers_input",
    )

    def __init__(self, sock: Any, owned: bool, pool: GreenletPool) -> None:
        sock.settimeout(0.0)
        send_without_delay(sock)
        self._sock = write_records(sock)
        self._owned = owned
        self._pool = pool
        self.batch_writes = pool.writes.add
        self._read_watcher: Any = None
        self._write_watcher: Any = None
        self.buffers_input = hasattr(sock, "pending")
        pool.channels.add(self)

    @property
    def encrypts(self) -> bool:
        return bool(self.buffers_input)

    def watch(self, function: Callable[[], None]) -> None:
        # Started once, not for each read: the watcher fires in each iteration of the hub as
        # long as there is something to read, and other sockets have their turn in between.
        if self._read_watcher is None:
            self._read_watcher = gevent.get_hub().loop.io(self._sock.fileno(), _READ)
            self._pool.attach()
        self._read_watcher.start(self._pool.run_readable, function)
        if self.buffers_input and self.has_buffered_input():
            self._pool.spawn(function)

    def unwatch(self) -> None:
        if self._read_watcher is not None:
            self._read_watcher.stop()

    def recv(self) -> bytes | None:
        try:
            data: bytes = self._sock.recv(READ_SIZE)
        except _NOT_NOW:
            return None
        except OSError:
            return b""
        return data

    def has_buffered_input(self) -> bool:
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            return bool(self._sock.pending())
        return False

    def send(self, data: bytes | memoryview) -> int:
        try:
            sent: int = self._sock.send(data)
        except _NOT_NOW:
            return 0
        return sent

    def count_unacknowledged(self) -> int:
        return count_unacknowledged(self._sock)

    def has_hung_up(self) -> bool:
        return has_hung_up(self._sock)

    def is_unanswered(self) -> bool:
        return is_unanswered(self._sock)

    def when_writable(self, function: Callable[[], None]) -> None:
        if self._write_watcher is None:
            self._write_watcher = gevent.get_hub().loop.io(self._sock.fileno(), _WRITE)
        self._write_watcher.start(self._on_writable, function)

    def _on_writable(self, function: Callable[[], None]) -> None:
        self._write_watcher.stop()
        function()

    def shut_down_writing(self) -> None:
        _shut_down(self._sock, socket.SHUT_WR)

    def abort(self) -> None:
        _shut_down(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        self._pool.channels.discard(self)
        if self._read_watcher is not None:
            self._pool.detach()
        for watcher in (self._read_watcher, self._write_watcher):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._read_watcher = self._write_watcher = None
        self.abort()
        if self._owned:
            self._sock.close()

    def leave_to_parent(self) -> None:
        for watcher in (self._read_watcher, self._write_watcher):
            if watcher is not None:
                watcher.stop()
        close_descriptor(self._sock)


def _shut_down(sock: Any, how: int) -> None:
    # An error says that the socket is not connected any more, so there is nothing to do.
    with contextlib.suppress(OSError):
        sock.shutdown(how)
