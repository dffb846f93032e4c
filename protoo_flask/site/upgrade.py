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
import sys
from functools import lru_cache, partial
from typing import Any, Callable, Iterable, Iterator

import gevent
from flask import Response

from ..transport.channel import Channel, Loop
from ..transport.greenlets.channel import GreenletChannel, PlainSocket
from ..transport.greenlets.greenlet_pool import GreenletPool
from ..transport.greenlets.loop import GreenletLoop
from ..transport.in_process import find_in_process_server
from ..transport.server_sockets import find_socket, is_tls, take_early_input
from ..transport.threads.channel import ThreadChannel
from ..transport.websocket.handshake import serialize_handshake
from .entrance import EmptyBody

#: ``start(channel, handshake) -> connection``, to be served.
Start = Callable[[Channel, bytes], Any]


class UpgradeResponse(Response):
    """101 Switching Protocols, and the life of the connection.

    :param headers: those of the WebSocket handshake.
    :param loop: of the world that the socket lives in.
    :param start: makes the connection of a channel; called when it may begin.
    :param refuse: returns the response for a client for which no descriptor or thread is left.
    """

    default_status = 101

    def __init__(
        self,
        headers: list[tuple[str, str]],
        loop: Loop,
        start: Start,
        refuse: Callable[[], Response],
    ) -> None:
        super().__init__(status=101)
        self._handshake = headers
        self._loop = loop
        self._start = start
        self._refuse = refuse

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        # Cookies that the site has set reach the browser with this response, or never.
        cookies = [("Set-Cookie", value) for value in self.headers.getlist("Set-Cookie")]
        handshake = serialize_handshake(self._handshake + cookies)
        server = find_in_process_server(environ)
        if server is not None:
            # With the cookies: Flask's test client keeps them.
            start_response("101 Switching Protocols", [("Content-Length", "0"), *cookies])
            server.accept(self._start, handshake)
            return []
        sock = find_socket(environ)
        greenlet = gevent.getcurrent()
        if not isinstance(self._loop, GreenletLoop):
            return self._attach(environ, start_response, sock, handshake, _make_thread_channel)
        pool = self._loop.pool
        if is_tls(sock) or not isinstance(greenlet, gevent.Greenlet):
            make_channel = partial(GreenletChannel, owned=False, pool=pool)
            return self._attach(environ, start_response, sock, handshake, make_channel)
        try:
            dead = os.dup(_dead_end())
        except OSError:
            # No descriptor is left: the server still has its socket, and tells the client.
            return self._refuse()(environ, start_response)
        early = _take_early_input(environ, sock)
        _accept(start_response)
        _detach(sock, greenlet, dead, partial(_begin, pool, self._start, handshake, early))
        return []

    def _attach(
        self,
        environ: Any,
        start_response: Any,
        sock: Any,
        handshake: bytes,
        make_channel: Callable[[Any], Channel],
    ) -> Iterable[bytes]:
        """Return a response body. To iterate over it is to serve the connection to its end.

        Nothing happens before: a WSGI middleware may throw the body away and answer itself.
        """
        _accept(start_response)

        def serve() -> Iterator[bytes]:
            timeout = sock.gettimeout()
            early = _take_early_input(environ, sock)
            try:
                channel = make_channel(sock)
            except (OSError, RuntimeError):
                # No thread is left, or no descriptor. Nothing has been sent yet.
                start_anew = partial(start_response, exc_info=sys.exc_info())
                sock.settimeout(timeout)
                yield from self._refuse()(environ, start_anew)
                return
            self._start(channel, handshake).serve_to_the_end(early)

        return serve()


def _accept(start_response: Any) -> None:
    """Tell the server the status, for its access log.

    The server writes this response when it has lost the socket, or when the connection is over:
    in both cases the other end is closed. The length is for middlewares that check it: a
    response of 101 has no body.
    """
    start_response("101 Switching Protocols", [("Content-Length", "0")])


def _take_early_input(environ: Any, sock: Any) -> bytes:
    body = environ.get("wsgi.input")
    while isinstance(body, EmptyBody):
        body = body.original
    return take_early_input(body, sock)


def _make_thread_channel(sock: Any) -> ThreadChannel:
    channel = ThreadChannel(sock)
    channel.start()
    return channel


def _detach(sock: Any, greenlet: Any, dead: int, begin: Callable[[Any], None]) -> None:
    """Take the socket from its server, and begin when the server's greenlet has ended.

    Before that, the server may still read from the connection: pywsgi does so, and drops the
    bytes. The connection sends the answer to the handshake.

    :param dead: a descriptor of a socket whose other end is closed; the server will close it.
    """
    # The server's socket object becomes that socket. Servers ignore the error of writing there
    # (EPIPE: the client has gone). The usual way to tell gunicorn, raising StopIteration, would
    # run through every WSGI middleware of the site, and some report it as a crash.
    own = PlainSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    sock.__init__(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=dead)
    # In the hub: link() would start a greenlet to call it.
    greenlet.rawlink(lambda _: begin(own))


def _begin(pool: GreenletPool, start: Start, handshake: bytes, early: bytes, own: Any) -> None:
    """Begin to serve a client; called in the hub."""
    try:
        connection = start(GreenletChannel(own, True, pool), handshake)
    except BaseException:
        own.close()
        raise
    pool.run(connection.serve, early)


@lru_cache(maxsize=None)
def _dead_end() -> int:
    """Return the descriptor of a socket with a closed other end: one for all handshakes.

    Several servers may hold it at once, as nothing is ever kept in it. A pair of sockets for
    each handshake would cost six system calls instead of one.
    """
    dead, other = socket.socketpair()
    other.close()
    return dead.detach()
