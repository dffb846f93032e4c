"""Serving an app with gevent's own WSGI server, without a site's deployment."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any, Callable, Literal

import gevent
from flask import Flask
from gevent import monkey
from gevent.pywsgi import WSGIServer

_log = logging.getLogger(__name__)

Wsgi = Callable[..., Any]


def serve(app: Flask, host: str, port: int) -> None:
    """Serve ``app`` until SIGINT or SIGTERM; clients are told 1001 before it returns.

    SIGTERM drains them, and SIGINT, or a second signal, closes them at once.

    Call it in the main greenlet.
    """
    serve_until_signal(app, host, port)
    # The Close frames have been written; handlers of "offline" may still run.
    gevent.wait(timeout=1)


def serve_until_signal(
    app: Flask,
    host: str,
    port: int,
    *,
    wsgi: Wsgi | None = None,
    access_log: Literal["default"] | None = None,
    tls: dict[str, str] | None = None,
) -> None:
    """Serve ``app`` until SIGINT or SIGTERM, and write the Close frames.

    :param wsgi: called in place of ``app``: the app inside of a middleware, such as a debugger.
    :param access_log: ``"default"`` writes a line to stderr for each HTTP request.
    :param tls: ``{"certfile": path, "keyfile": path}``, PEM files: with them it serves HTTPS.
    :raises OSError: when it cannot listen, or cannot read these files.
    """
    if not monkey.is_module_patched("socket"):
        _log.warning(
            "gevent has not patched the standard library, so a handler that blocks (a "
            "database, an HTTP request) blocks every connection: start with `python -m "
            "protoo_flask MODULE:NAME`, or call gevent.monkey.patch_all() first"
        )
    options: dict[str, Any] = {**(tls or {})}
    server = WSGIServer((host, port), wsgi or app, log=access_log, **options)
    site = app.extensions.get("protoo")

    def end(is_quick: bool) -> None:
        if site is not None and (is_quick or site.is_draining):
            site.drain(0)
        # When the server closes, the site drains its clients, and serve_forever() waits for that.
        server.stop(0)

    gevent.signal_handler(signal.SIGINT, end, True)
    gevent.signal_handler(signal.SIGTERM, end, False)
    server.start()
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if tls else "http"
    print(
        f"protoo_flask: serving {app.name} on {scheme}://{shown}:{server.server_port}/",
        file=sys.stderr,
    )
    server.serve_forever(stop_timeout=0)
    if site is not None:
        site.close()
