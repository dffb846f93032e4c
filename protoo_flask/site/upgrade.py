"""The response that upgrades: from an HTTP request of the site to a live connection.

The site's ``after_request`` functions see it, like any other response. This one is for gevent's
hub, where the socket leaves its server. The connection begins in a greenlet
of its own when the server's greenlet has ended, and holds nothing of the request: no Flask
context, no WSGI handler, no place among gunicorn's ``worker_connections``.

Elsewhere the connection stays with its server: see :mod:`.attachment`.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache, partial
from typing import Any, Callable, Iterable

import gevent
from flask import Response

from ..transport.channel import Channel, Loop
from ..transport.greenlets.channel import GreenletChannel, PlainSocket
from ..transport.greenlets.greenlet_pool import GreenletPool
from ..transport.greenlets.loop import GreenletLoop
from ..transport.in_process import find_in_process_server
from ..transport.server_sockets import find_socket, is_tls, take_early_input
from ..transport.tap import dead_end
from ..transport.websocket.handshake import serialize_handshake
from .entrance import EmptyBody, keep_place

#: ``start(channel, handshake) -> connection``, to be served.
Start = Callable[[Channel, bytes], Any]


def can_leave(environ: Any, loop: Loop) -> bool:
    """Whether the socket of a request can leave its server: on gevent's hub, without TLS.

    In a test in this process, there is none.
    """
    if find_in_process_server(environ) is not None:
        return True
    if not isinstance(loop, GreenletLoop) or not isinstance(gevent.getcurrent(), gevent.Greenlet):
        return False
    return not is_tls(find_socket(environ))


class HandshakeResponse(Response):
    """101 Switching Protocols; for its class in an app see :func:`of_class`.

    :param headers: those of the WebSocket handshake.
    :param start: makes the connection of a channel; called when it may begin.
    """

    default_status = 101

    #: Frames of the view, to be sent behind the answer.
    written = b""

    def __init__(self, headers: list[tuple[str, str]], start: Start) -> None:
        super().__init__(None, status=101)  # called as Flask calls the class of the app
        self._handshake = headers
        self._start = start

    @property
    def cookies(self) -> list[tuple[str, str]]:
        """The headers that set cookies."""
        return [("Set-Cookie", value) for value in self.headers.getlist("Set-Cookie")]

    def serialize(self) -> bytes:
        """Return the bytes of the answer, and of the frames behind it."""
        # Cookies that the site has set reach the browser with this response, or never.
        return serialize_handshake(self._handshake + self.cookies) + self.written


@lru_cache(maxsize=16)
def of_class(kind: Any, response_class: Any) -> Any:
    """Return a class of a kind, such as :class:`UpgradeResponse`, and of an app's response class.

    Flask gives a response of another class the class of the app, as
    :meth:`werkzeug.wrappers.Response.force_type` documents, and the upgrade would be lost.
    """
    if issubclass(kind, response_class):
        return kind
    return type(kind.__name__, (kind, response_class), {})


class UpgradeResponse(HandshakeResponse):
    """The answer to a handshake, and the life of a connection that leaves its server.

    :param headers: those of the WebSocket handshake.
    :param loop: of the world that the socket lives in.
    :param start: makes the connection of a channel; called when it may begin.
    :param refuse: returns the response for a client for which no descriptor is left.
    """

    def __init__(
        self,
        headers: list[tuple[str, str]],
        loop: GreenletLoop,
        start: Start,
        refuse: Callable[[], Response],
    ) -> None:
        super().__init__(headers, start)
        self._loop = loop
        self._refuse = refuse

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        handshake = self.serialize()
        server = find_in_process_server(environ)
        if server is not None:
            keep_place(environ)
            # With the cookies: Flask's test client keeps them.
            start_response("101 Switching Protocols", [("Content-Length", "0"), *self.cookies])
            server.accept(self._start, handshake)
            return []
        sock = find_socket(environ)
        try:
            dead = os.dup(dead_end())
        except OSError:
            # No descriptor is left: the server still has its socket, and tells the client.
            return self._refuse()(environ, start_response)
        early = take_early(environ, sock)
        keep_place(environ)
        accept(start_response)
        pool = self._loop.pool
        _detach(
            sock,
            gevent.getcurrent(),
            dead,
            partial(_begin, pool, self._start, handshake, early),
        )
        return []


def accept(start_response: Any) -> None:
    """Tell the server the status, for its access log.

    The server writes this response when it has lost the socket, or when the connection is over:
    in both cases the other end is closed. The length is for middlewares that check it: a
    response of 101 has no body.
    """
    start_response("101 Switching Protocols", [("Content-Length", "0")])


def take_early(environ: Any, sock: Any) -> bytes:
    """Return the bytes that the server has read behind the handshake."""
    body = environ.get("wsgi.input")
    while isinstance(body, EmptyBody):
        body = body.original
    return take_early_input(body, sock)


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
