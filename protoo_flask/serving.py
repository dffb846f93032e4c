"""Serving an app with gevent's own WSGI server, without a site's deployment."""

from __future__ import annotations

import logging
import signal
import sys

import gevent
from flask import Flask
from gevent import monkey
from gevent.pywsgi import WSGIServer

_log = logging.getLogger(__name__)


def serve(app: Flask, host: str, port: int) -> None:
    """Serve ``app`` until SIGINT or SIGTERM; clients are told 1001 before it returns."""
    if not monkey.is_module_patched("socket"):
        _log.warning(
            "gevent has not patched the standard library, so a handler that blocks (a "
            "database, an HTTP request) blocks every connection: start with `python -m "
            "protoo_flask MODULE:NAME`, or call gevent.monkey.patch_all() first"
        )
    server = WSGIServer((host, port), app, log=None)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, server.stop, 0)
    server.start()
    shown = f"[{host}]" if ":" in host else host
    print(
        f"protoo_flask: serving {app.name} on http://{shown}:{server.server_port}/", file=sys.stderr
    )
    server.serve_forever(stop_timeout=0)
    site = app.extensions.get("protoo")
    if site is not None:
        site.close()
        # The Close frames have been written; handlers of "offline" may still run.
        gevent.wait(timeout=1)
