"""Waiting on gevent's hub: under gunicorn's gevent worker and gevent's pywsgi."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Any, Callable, ContextManager

import gevent
import gevent.event
from gevent import monkey

from .channel import READ_SIZE, send_without_delay

#: The socket class of the standard library, also in a process that gevent has patched:
#: it is a third of the size of gevent's, whose waiting is not needed here.
PlainSocket = monkey.get_original("socket", "socket")

_READ, _WRITE = 1, 2
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class GreenletTimer:
    """A timer of the hub that starts a greenlet."""

    __slots__ = ("_watcher",)

    def __init__(self, seconds: float, function: Callable[..., Any], args: Any) -> None:
        self._watcher: Any = gevent.get_hub().loop.timer(seconds)
        self._watcher.start(self._fire, function, args)

    def _fire(self, function: Callable[..., Any], args: Any) -> None:
        # In the hub, where nothing may block.
        self.cancel()
        gevent.spawn(function, *args)

    def cancel(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


class GreenletLoop:
    """Time and concurrency by greenlets."""

    now = staticmethod(time.monotonic)

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> GreenletTimer:
        return GreenletTimer(seconds, function, args)

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        gevent.spawn(function, *args)

    def event(self) -> Any:
        return gevent.event.Event()

    def lock(self) -> ContextManager[Any]:
        # Greenlets switch where they block, and nothing blocks while holding a lock.
        return contextlib.nullcontext()

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any | None:
        # The hub runs its callbacks as soon as this greenlet lets it; stop() unasks.
        return gevent.get_hub().loop.run_callback(function, *args)


class GreenletChannel:
    """A socket on gevent's hub.

    :param sock: a plain socket of our own, or one of gevent's (TLS) that stays the server's.
    :param owned: whether :meth:`close` closes it.
    """

    __slots__ = (
        "_hub",
        "_maybe_more",
        "_owned",
        "_pending",
        "_read_watcher",
        "_sock",
        "_write_watcher",
    )

    def __init__(self, sock: Any, owned: bool) -> None:
        sock.settimeout(0.0)
        send_without_delay(sock)
        self._sock = sock
        self._owned = owned
        self._hub = gevent.get_hub()
        self._read_watcher: Any = self._hub.loop.io(sock.fileno(), _READ)
        self._write_watcher: Any = None
        self._maybe_more = True
        #: TLS may hold decrypted bytes that no watcher sees.
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)

    def recv(self) -> bytes:
        while True:
            # Waiting first spares a recv that fails. And even if there is more to read,
            # it is the others' turn now: a client that never stops sending would
            # otherwise have the hub for itself.
            if not self._maybe_more:
                self._hub.wait(self._read_watcher)
            try:
                data: bytes = self._sock.recv(READ_SIZE)
            except _NOT_NOW:
                self._maybe_more = False
                continue
            except OSError:
                return b""
            self._maybe_more = self._pending is not None and self._pending() > 0
            return data

    def send(self, data: bytes | memoryview) -> int:
        try:
            return int(self._sock.send(data))
        except _NOT_NOW:
            return 0

    def when_writable(self, function: Callable[[], None]) -> None:
        if self._write_watcher is None:
            self._write_watcher = self._hub.loop.io(self._sock.fileno(), _WRITE)
        self._write_watcher.start(self._on_writable, function)

    def _on_writable(self, function: Callable[[], None]) -> None:
        self._write_watcher.stop()
        function()

    def shut_down_writing(self) -> None:
        _shut_down(self._sock, socket.SHUT_WR)

    def abort(self) -> None:
        _shut_down(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        for watcher in (self._read_watcher, self._write_watcher):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._write_watcher = None
        self.abort()
        if self._owned:
            self._sock.close()


def _shut_down(sock: Any, how: int) -> None:
    # What is not connected any more is shut down already.
    with contextlib.suppress(OSError):
        sock.shutdown(how)
