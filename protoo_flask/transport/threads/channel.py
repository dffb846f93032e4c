"""A socket that threads wait for, under the development server of ``flask run``."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import sys
import threading
from typing import Any, Callable

from ..channel import READ_SIZE, Corked, send_without_delay
from ..forked_child import close_descriptor, inherit
from ..hang_up import has_hung_up, is_unanswered
from ..send_buffer import count_unacknowledged
from ..tls_records import write_records

# Not the default selector: epoll would cost a file descriptor for each wait.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class ThreadChannel:
    """A socket that stays the server's, and the thread that waits for it in :meth:`read`."""

    buffers_input = False

    def __init__(self, sock: Any, has_reader: bool = False) -> None:
        sock.settimeout(0.0)
        send_without_delay(sock)
        self._sock = write_records(sock)
        # A TLS connection is one state machine for both directions, which two threads must
        # not use at once. Nothing in it blocks, so no thread waits for long.
        self._busy = threading.Lock()
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)
        #: Called by the thread that reads, while somebody watches.
        self._function: Callable[[], None] | None = None
        self._has_work = threading.Event()
        #: Whether a thread calls :meth:`read`. A connection to Redis has one of its own.
        self._has_reader = has_reader
        self._is_closed = False
        inherit(self)

    @property
    def encrypts(self) -> bool:
        return self._pending is not None

    def watch(self, function: Callable[[], None]) -> None:
        self._function = function
        if not self._has_reader:
            self._has_reader = True
            threading.Thread(target=self.read, name="protoo-reader", daemon=True).start()
        self._has_work.set()

    def read(self) -> None:
        """Call the functions that watch, to the end of the connection.

        This is for a thread that has nothing else to do: that of simple-websocket.
        """
        while True:
            self._has_work.wait()
            if self._is_closed:
                return
            if not self.has_buffered_input():
                self._wait(selectors.EVENT_READ)
            function = self._function
            if function is not None:
                try:
                    function()
                except BaseException:  # noqa: BLE001
                    # An error ends one turn, not the watch, as on gevent's hub: the end
                    # of the connection must still be noticed.
                    _report_error()

    def unwatch(self) -> None:
        if not self._is_closed:
            self._function = None
            self._has_work.clear()

    def recv(self) -> bytes | None:
        try:
            with self._busy:
                return bytes(self._sock.recv(READ_SIZE))
        except _NOT_NOW:
            return None
        except OSError:
            return b""

    def has_buffered_input(self) -> bool:
        with self._busy, contextlib.suppress(OSError, ValueError):
            return self._pending is not None and self._pending() > 0
        return False

    def batch_writes(self, corked: Corked) -> bool:
        return False  # threads have no common moment at which a batch could end

    def send(self, data: bytes | memoryview) -> int:
        try:
            with self._busy:
                return int(self._sock.send(data))
        except _NOT_NOW:
            return 0

    def count_unacknowledged(self) -> int:
        return count_unacknowledged(self._sock)

    def has_hung_up(self) -> bool:
        return has_hung_up(self._sock)

    def is_unanswered(self) -> bool:
        return is_unanswered(self._sock)

    def when_writable(self, function: Callable[[], None]) -> None:
        def wait_and_call() -> None:
            self._wait(selectors.EVENT_WRITE)
            function()

        try:
            threading.Thread(target=wait_and_call, name="protoo-writer", daemon=True).start()
        except RuntimeError:
            # No more threads. The caller may be sending on behalf of another client, whom this
            # is no matter of; the client of this connection gets the rest over its next one.
            self.abort()

    def shut_down_writing(self) -> None:
        self._shut_down(socket.SHUT_WR)

    def abort(self) -> None:
        self._shut_down(socket.SHUT_RDWR)

    def close(self) -> None:
        self._function = None
        self._is_closed = True
        self._has_work.set()  # the thread ends
        # The server closes its socket; its later writes fail.
        self.abort()

    def leave_to_parent(self) -> None:
        self._busy = threading.Lock()  # a thread that the child does not have may hold it
        close_descriptor(self._sock)

    def _shut_down(self, how: int) -> None:
        # An error says that the socket is not connected any more, so nothing is left to do.
        with contextlib.suppress(OSError), self._busy:
            self._sock.shutdown(how)

    def _wait(self, event: int) -> None:
        with _Selector() as selector:
            try:
                selector.register(self._sock, event)
            except (ValueError, KeyError):
                return  # closed meanwhile: the next recv or send reports it
            selector.select()


def _report_error() -> None:
    """Report the current error like an error that has ended its thread."""
    details = (*sys.exc_info(), threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(details))
