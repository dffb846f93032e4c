"""Advice in the log of a site: once in each process, about a deployment that cannot work well.

Each piece is about something that looks like an ordinary answer: nobody is there, nobody has
logged in. The log is the only place where the cause can be told.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Mapping

from flask import Flask, has_request_context

_SEVERAL_PROCESSES = (
    "several worker processes serve this site (this one is %d), and peers see only the peers of "
    'their own worker process: messages to others are lost, with 404 "peer not found", and it is '
    "chance in which process a client is. Make the workers one site with a Redis: "
    'PROTOO_CLUSTER_URL = "redis://localhost:6379/0" (docs/cluster.md). Or serve the site with one '
    "worker: gunicorn --workers 1 (-w 1, or WEB_CONCURRENCY=1)"
)
_NOBODY_SERVED = (
    "no client has ever connected to this process (%d), so protoo.%s() finds nobody here: peers "
    "live in the process of the server. Call it there, for example in a view of the site. Or set "
    "PROTOO_CLUSTER_URL for the server and for this process, which then sees them "
    "(docs/cluster.md)"
)
_NO_SESSION = (
    "the authorizer looked into flask.session and then refused a client, but this app has no "
    "sessions, as app.secret_key is not set"
)

_NO_LOGIN = (
    "cannot authorize: the user is in flask.session, and this app has no sessions, as "
    "app.secret_key is not set. Set it, or recognise users in another way, with "
    "@protoo.authorize"
)


class Advice:
    """What one app is told about its processes and sessions."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        #: ``{(id of a process, text): a mark}``; a forked process begins anew.
        self._given: dict[tuple[int, str], object] = {}

    def at_first_handshake(self, environ: Mapping[str, Any]) -> None:
        """Warn if users may be connected to different processes."""
        if environ.get("wsgi.multiprocess"):
            self._give(_SEVERAL_PROCESSES, os.getpid())

    def when_nobody_is_served(self, method: str) -> None:
        """Warn a caller who expects peers in a process that serves none: a shell, a job.

        Inside a request, this is a process of the server, and the answer is true.
        """
        if not has_request_context():
            self._give(_NOBODY_SERVED, os.getpid(), method)

    def when_refused_without_session(self) -> None:
        """Warn that an authorizer may have refused a client for a session that cannot exist."""
        self._give(_NO_SESSION)

    def when_nobody_can_log_in(self) -> None:
        """Tell that the default authorizer can recognise nobody."""
        self._give(_NO_LOGIN, level=logging.ERROR)

    def _give(self, text: str, *args: Any, level: int = logging.WARNING) -> None:
        mark = object()
        # In one step, as threads may come at once.
        if self._given.setdefault((os.getpid(), text), mark) is mark:
            self._app.logger.log(level, text, *args)
