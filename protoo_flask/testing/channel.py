"""A channel without a socket: the bytes of a connection go through memory."""

from __future__ import annotations

from typing import Callable

from ..transport.channel import READ_SIZE, Corked
from ..transport.greenlets.manual_loop import ManualLoop


class MemoryChannel:
    """The server's end of a connection: a :class:`~protoo_flask.transport.channel.Channel`.

    As of a socket, its reader is called as long as there is something to read.

    :param receive: called with the bytes that the server sends.
    :param receive_eof: called when the server sends nothing more.
    """

    buffers_input = False

    def __init__(
        self, loop: ManualLoop, receive: Callable[[bytes], None], receive_eof: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._receive = receive
        self._receive_eof = receive_eof
        self._input = bytearray()
        #: Whether the client sends nothing more, and whether it receives nothing more.
        self._has_ended = False
        self._is_broken = False
        self._has_finished = False
        self._function: Callable[[], None] | None = None
        self._is_scheduled = False
        #: Whether the server has given it back.
        self.is_closed = False

    # The client's side -------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Let the server read bytes of the client."""
        if not self._has_ended:
            self._input += data
            self._schedule()

    def feed_eof(self) -> None:
        """Let the server read that the client sends nothing more."""
        self._has_ended = True
        self._schedule()

    def cut(self) -> None:
        """Break the connection: the server reads its end, and cannot write."""
        self._is_broken = True
        self.feed_eof()

    # The server's side -------------------------------------------------------------------

    def watch(self, function: Callable[[], None]) -> None:
        self._function = function
        self._schedule()

    def unwatch(self) -> None:
        self._function = None

    def recv(self) -> bytes | None:
        if self._input:
            data = bytes(self._input[:READ_SIZE])
            del self._input[:READ_SIZE]
            return data
        return b"" if self._has_ended else None

    def has_buffered_input(self) -> bool:
        return False

    def batch_writes(self, corked: Corked) -> bool:
        return False

    def send(self, data: bytes | memoryview) -> int:
        if self._is_broken or self._has_finished:
            raise BrokenPipeError("the client has gone")
        self._receive(bytes(data))
        return len(data)

    def count_unacknowledged(self) -> int:
        return 0

    def has_hung_up(self) -> bool:
        return self._has_ended

    def is_unanswered(self) -> bool:
        return False

    def when_writable(self, function: Callable[[], None]) -> None:
        """Never called: :meth:`send` takes everything."""
        raise AssertionError("a channel in memory is never full")

    def shut_down_writing(self) -> None:
        self._finish()

    def abort(self) -> None:
        self._is_broken = True
        self._input.clear()
        self.feed_eof()
        self._finish()

    def close(self) -> None:
        self.is_closed = True
        self.unwatch()
        self._finish()

    def _finish(self) -> None:
        if not self._has_finished:
            self._has_finished = True
            self._receive_eof()

    def _schedule(self) -> None:
        has_news = bool(self._input) or self._has_ended
        if has_news and self._function is not None and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.spawn(self._call)

    def _call(self) -> None:
        self._is_scheduled = False
        function = self._function
        if function is None or not (self._input or self._has_ended):
            return
        # Before the call, which may block: then the rest is read in another greenlet.
        self._schedule()
        function()
