"""The world in which a server handles requests, and the servers that have none for us.

A connection lasts for hours. It must neither block its server nor keep one of the few threads
of a pool: after a handful of clients, the pages of the site would hang without a word in the
log. ``wsgi.multithread`` does not tell a pool from a thread for each connection. So the
servers with a thread for each connection are listed here, and the others are refused.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Mapping

from gevent import monkey

from .channel import Loop
from .greenlets.loop import GreenletLoop
from .greenlets.manual_loop import ManualLoop
from .in_process import find_in_process_server
from .server_sockets import find_socket, is_greenlet_socket, is_socket
from .threads.loop import ThreadLoop
from .websocket.handshake import HandshakeError

WAY_OUT = "use gunicorn --worker-class gevent, or flask run with threads"

#: The reason for a server with threads, but not for each connection.
POOL = (
    "this server has a few threads for all requests, and each connection would keep one of them: "
    f"{WAY_OUT}"
)


def make_loop(environ: Mapping[str, Any], may_pool: bool = False) -> Loop:
    """Return a loop of the world that this request's socket lives in.

    :param may_pool: whether the threads may be those of a pool: the site has made it large enough
        for flask-sock, which keeps a thread of it for each connection.
    :raises HandshakeError: 500 under a server that cannot work.
    """
    server = find_in_process_server(environ)
    if server is not None:
        return server.loop
    sock = find_socket(environ)
    if is_greenlet_socket(sock):
        _check_greenlets(environ)
        return GreenletLoop()
    if type(sock).__module__.startswith("eventlet"):
        raise HandshakeError(500, f"protoo does not run in eventlet's greenlets: {WAY_OUT}")
    if not is_socket(sock):
        raise HandshakeError(
            500,
            f"a WSGI middleware has put a {type(sock).__name__} in the place of the server's "
            "socket: let it pass WebSocket handshakes on as they are",
        )
    _check_multithread(environ)
    if "werkzeug.socket" not in environ and not may_pool:
        raise HandshakeError(500, POOL)
    return ThreadLoop()


def guess_loop(environ: Mapping[str, Any] | None) -> Loop:
    """Return a loop for code of a site that has no client here: a view, a job, a shell.

    :param environ: of the request that is handled, if one is.
    """
    # Sockets of a process that gevent has patched wait on the hub.
    is_on_hub = monkey.is_module_patched("socket")
    if environ is not None:
        with contextlib.suppress(HandshakeError):  # any server can handle plain requests
            is_on_hub = is_on_hub or is_greenlet_socket(find_socket(environ))
    return GreenletLoop() if is_on_hub else ThreadLoop()


def check_world(environ: Mapping[str, Any], loop: Loop) -> None:
    """Check that the socket of a request lives in the world of a loop.

    :raises HandshakeError: 500 if it does not, or cannot be found.
    """
    server = find_in_process_server(environ)
    if isinstance(loop, ManualLoop):
        if server is None:
            raise HandshakeError(
                503,
                "this app is under test: protoo.test_client() or protoo.test_clock moves its clock "
                "by hand, so it can serve no other clients. Make a new app for them",
            )
        return
    if server is not None:
        raise HandshakeError(
            503, "this app serves real clients, whose clock nobody moves by hand: make a new one"
        )
    if is_greenlet_socket(find_socket(environ)) is loop.preempts:
        raise HandshakeError(
            500,
            "one process serves this app by greenlets and by threads: give each of the two "
            "servers a process of its own",
        )


def _check_greenlets(environ: Mapping[str, Any]) -> None:
    """Refuse other servers than gevent's in a process that gevent has patched.

    Their sockets are gevent's, too, and their greenlets are not.
    """
    if "gunicorn.socket" in environ or "werkzeug.socket" in environ:
        _check_multithread(environ)
    # A request of the gevent worker has a greenlet of its own, which no Thread has started.
    is_in_greenlet = isinstance(threading.current_thread(), threading._DummyThread)
    if "gunicorn.socket" in environ and not is_in_greenlet:
        raise HandshakeError(500, POOL)


def _check_multithread(environ: Mapping[str, Any]) -> None:
    if not environ.get("wsgi.multithread"):
        raise HandshakeError(
            500,
            "this server handles one request at a time, and a connection would block it: "
            f"{WAY_OUT}",
        )
