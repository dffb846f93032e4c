"""The response of a connection that stays with its server: among threads, or with TLS.

The connection lives inside the iteration over the body of the response. That is after Flask has
left its contexts, so no database connection stays checked out, the session has been saved, and
each teardown function has run once.
"""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from ..transport.channel import Channel, Loop
from ..transport.greenlets.channel import GreenletChannel
from ..transport.greenlets.loop import GreenletLoop
from ..transport.server_sockets import find_socket
from ..transport.tap import Tap
from ..transport.threads.channel import ThreadChannel
from .entrance import keep_place
from .upgrade import HandshakeResponse, Start, accept, take_early


class AttachedResponse(HandshakeResponse):
    """The answer to a handshake, and the life of a connection that stays with its server.

    :param headers: those of the WebSocket handshake.
    :param loop: of the world that the socket lives in.
    :param start: makes the connection of a channel; called when it may begin.
    :param tap: of the request. It has been bound.
    """

    def __init__(self, headers: list[tuple[str, str]], loop: Loop, start: Start, tap: Tap) -> None:
        super().__init__(headers, start)
        self._loop = loop
        self._tap = tap

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        handshake = self.serialize()
        keep_place(environ)
        accept(start_response)
        self._tap.is_kept = True
        return Attachment(environ, handshake, self._start, self._loop, self._tap)


class Attachment:
    """A body without bytes. To iterate over it is to serve the connection to its end.

    Nothing happens before: a WSGI middleware may throw the body away and answer itself.
    """

    def __init__(self, environ: Any, handshake: bytes, start: Start, loop: Loop, tap: Tap) -> None:
        self._environ = environ
        self._handshake = handshake
        self._start = start
        self._loop = loop
        self._tap = tap

    def __iter__(self) -> Iterator[bytes]:
        sock = find_socket(self._environ)
        early = take_early(self._environ, sock)
        loop, tap = self._loop, self._tap
        try:
            if isinstance(loop, GreenletLoop):
                tap.release()  # the greenlets of the pool read
                channel: Channel = GreenletChannel(sock, False, loop.pool)
                connection = self._start(channel, self._handshake)
            else:
                threaded = ThreadChannel(sock, has_reader=True)
                connection = self._start(threaded, self._handshake)
                tap.lend(threaded.read)
            connection.serve_to_the_end(early)
        finally:
            tap.release()
        return iter(())

    def close(self) -> None:
        """Let go of everything: the server, or a middleware, is done with this body."""
        self._tap.release()
