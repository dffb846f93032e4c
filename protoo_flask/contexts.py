"""The Flask contexts in which code of the site runs, message after message.

A handler finds in ``flask.request`` and ``flask.session`` those of the handshake, a
fresh ``g``, and ``current_app``; and when it returns, whatever teardown functions the
site has registered run, as after an HTTP request. So a database session that a
handler used goes back to the pool while its peer is idle.

This is the only module that knows how Flask's contexts are made.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Callable, Mapping

from flask import Flask, Request
from flask.ctx import RequestContext

#: What servers put into the environ besides the request: sockets, buffers, and objects
#: that lead to them. None of it means anything after the handshake.
_SERVER_KEYS = ("gunicorn.", "werkzeug.", "gevent.", "wsgi.file_wrapper", "wsgi.early_hints")


class MessageContext(RequestContext):
    """The request context of one message: that of the handshake, without matching its URL."""

    def match_request(self) -> None:
        """Nothing to match: no view is going to run."""

    def auto_pop(self, exc: Any) -> None:
        """Leave nothing for a debugger: before Flask 2.2, debug mode kept what had failed."""
        self.pop(exc)


class HandshakeContext:
    """What is kept of a handshake for the messages that follow.

    :param app: the site's Flask app.
    :param request: the request of the handshake.
    :param session: its session, which no response can change any more.
    """

    __slots__ = ("_app", "_request", "_session")

    def __init__(self, app: Flask, request: Request, session: Any) -> None:
        self._app = app
        self._session = session
        self._request = _repeat_request(app, request)

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in contexts of its own, then run the teardowns."""
        with MessageContext(
            self._app, self._request.environ, request=self._request, session=self._session
        ):
            function(*args)

    def run_anew(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` as if the handshake came now, then run the teardowns.

        The session is opened again, from the cookies of the handshake: with what a store
        on the server holds now, and empty when it has expired. It is a request of its own,
        too, lest the site find what it has kept in the other.
        """
        request = _repeat_request(self._app, self._request)
        context = MessageContext(self._app, request.environ, request=request)
        with contextlib.ExitStack() as stack:
            # Opening the session may fail (its store is down) when the contexts are active
            # already; ``with context`` would leave them so.
            stack.push(context)
            context.push()
            function(*args)


def _repeat_request(app: Flask, request: Request) -> Request:
    """Return a request that equals one whose server may have finished with it."""
    repeated = app.request_class(_strip_environ(request.environ))
    repeated.url_rule = request.url_rule
    repeated.view_args = request.view_args
    return repeated


def _strip_environ(environ: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in environ.items() if not key.startswith(_SERVER_KEYS)}
    kept["wsgi.input"] = io.BytesIO()
    kept.pop("wsgi.input_terminated", None)
    return kept
