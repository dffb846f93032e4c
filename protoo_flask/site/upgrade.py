"""The response that upgrades: from an HTTP request of the site to a live connection.

The view returns it like any other response, so the site's ``after_request`` functions see it.
The next step depends on the owner of the socket:

- On gevent's hub, the socket leaves its server. The connection begins in a greenlet
  of its own when the server's greenlet has ended, and holds nothing of the request: no Flask
  context, no WSGI handler, no place among gunicorn's ``worker_connections``.
- Elsewhere (threads, or TLS in this process) the socket stays the server's, and the
  connection lives inside the iteration of the response. That is after Flask has left
  its contexts, so no database connection stays checked out either.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache, partial
from typing import Any, Callable, Iterable, Iterator

import gevent
from flask import Response

from ..transport.channel import Channel, Loop
from ..transport.greenlets.channel import GreenletChannel, PlainSocket
from ..transport.greenlets.greenlet_pool import GreenletPool
from ..transport.greenlets.loop import GreenletLoop
from ..transport.server_sockets import find_socket, is_tls
from ..transport.threads.channel import ThreadChannel
from ..transport.websocket.handshake import serialize_handshake

#: ``start(channel, handshake) -> connection``, to be served.
Start = Callable[[Channel, bytes], Any]


class UpgradeResponse(Response):
    """101 Switching Protocols, and the life of the connection.

    :param headers: those of the WebSocket handshake.
    :param loop: of the world that the socket lives in.
    :param start: makes the connection of a channel; called when it may begin.
    """

    default_status = 101

    def __init__(self, headers: list[tuple[str, str]], loop: Loop, start: Start) -> None:
        super().__init__(status=101)
        self._handshake = headers
        self._loop = loop
        self._start = start

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        # Cookies that the site has set reach the browser with this response, or never.
        cookies = [("Set-Cookie", value) for value in self.headers.getlist("Set-Cookie")]
        handshake = serialize_handshake(self._handshake + cookies)
        sock = find_socket(environ)
        greenlet = gevent.getcurrent()
        # For the server's access log. The server writes this response when it has lost the
        # socket, or when the connection is over: in both cases the other end is closed.
        # The length is for middlewares that check it: a response of 101 has no body.
        start_response("101 Switching Protocols", [("Content-Length", "0")])
        if not isinstance(self._loop, GreenletLoop):
            return _Attached(lambda: self._start(ThreadChannel(sock), handshake))
        pool = self._loop.pool
        if is_tls(sock) or not isinstance(greenlet, gevent.Greenlet):
            return _Attached(lambda: self._start(GreenletChannel(sock, False, pool), handshake))
        _detach(sock, greenlet, partial(_begin, pool, self._start, handshake))
        return []


def _detach(sock: Any, greenlet: Any, begin: Callable[[Any], None]) -> None:
    """Take the socket from its server, and begin when the server's greenlet has ended.

    Before that, the server may still read from the connection: pywsgi does so, and drops the
    bytes. The client sends nothing until it has the answer to its handshake, so the connection
    sends that answer.
    """
    # The server's socket object becomes a socket whose other end is closed. Servers ignore the
    # error of writing there (EPIPE: the client has gone). The usual way to tell gunicorn,
    # raising StopIteration, would run through every WSGI middleware of the site, and some
    # report it as a crash. This comes first, as there may be no descriptor left: then the server
    # still has its socket to answer with.
    dead = os.dup(_dead_end())  # the server will close it
    own = PlainSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    sock.__init__(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=dead)
    # In the hub: link() would start a greenlet to call it.
    greenlet.rawlink(lambda _: begin(own))


def _begin(pool: GreenletPool, start: Start, handshake: bytes, own: Any) -> None:
    """Begin to serve a client; called in the hub."""
    pool.run(start(GreenletChannel(own, True, pool), handshake).serve)


@lru_cache(maxsize=None)
def _dead_end() -> int:
    """Return the descriptor of a socket with a closed other end: one for all handshakes.

    Several servers may hold it at once, as nothing is ever kept in it. A pair of sockets for
    each handshake would cost six system calls instead of one.
    """
    dead, other = socket.socketpair()
    other.close()
    return dead.detach()


class _Attached:
    """A response body. To iterate over it is to serve the connection to its end.

    Nothing happens before: a WSGI middleware may throw the body away and answer itself.

    :param make_connection: takes the socket.
    """

    def __init__(self, make_connection: Callable[[], Any]) -> None:
        self._make_connection = make_connection

    def __iter__(self) -> Iterator[bytes]:
        self._make_connection().serve_to_the_end()
        return iter(())
