"""The Flask contexts in which code of the site runs, message after message.

A handler finds in ``flask.request`` and ``flask.session`` those of the handshake, a
fresh ``g``, and ``current_app``. When the handler returns, the teardown functions of
the site run, as after an HTTP request. So a database session that a handler has used
goes back to the pool while its peer is idle.

This module uses only the public interface of Flask, and works with every release since
2.0. :mod:`.fast_contexts` gives the same in less time, on the releases that it knows.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
from contextvars import copy_context
from typing import Any, Callable, Mapping

from flask import Flask, Request

from ..origins import page_scheme

#: Whether one object is both the app context and the request context, as since Flask 3.2.
#: Since then, the methods of an app that handle a request take that object as an argument.
CONTEXTS_ARE_MERGED = "ctx" in inspect.signature(Flask.preprocess_request).parameters

#: Keys that servers add to the environ: sockets, buffers, and objects that lead to them.
#: The last one is ours. None of them has a meaning after the handshake.
_SERVER_KEYS = (
    *("gunicorn.", "werkzeug.", "gevent.", "wsgi.file_wrapper", "wsgi.early_hints"),
    "protoo_flask.",
)

#: The key of the environ that tells a repeated request from that of the server. Its value is
#: ``True``, or the site's own answer to the question who the client is; see :mod:`.sock_routes`.
REPEATED = "protoo_flask.repeated"

#: Keys with a value that differs from client to client, so that sharing it gains nothing.
_OWN_KEYS = {
    "HTTP_COOKIE",
    "HTTP_SEC_WEBSOCKET_KEY",
    "QUERY_STRING",
    "RAW_URI",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REQUEST_URI",
}


class HandshakeContext:
    """The part of a handshake that code of the site sees in the messages after it.

    :param app: the site's Flask app.
    :param request: the request of the handshake.
    :param session: its session, which no response can change any more.
    """

    __slots__ = ("_app", "_request", "_session")

    def __init__(self, app: Flask, request: Request, session: Any) -> None:
        self._app = app
        self._request = _repeat_request(app, request)
        self._session = session

    @property
    def request(self) -> Request:
        """The request of the handshake, without the objects of its server."""
        return self._request

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in contexts of its own, then run the teardowns."""
        context = make_context(self._app, self._request, self._session)
        # In a copy of the context variables: those that the site sets in one message are
        # not for the next.
        copy_context().run(_run_inside, context, function, args)

    def run_anew(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` as if the handshake came now, then run the teardowns.

        The session is opened again, from the cookies of the handshake: a session on the
        server has its current values, and is empty when it has expired. The request is
        another object, so that the site does not find its notes in the first one.
        """
        request = _repeat_request(self._app, self._request)
        _match_again(self._app, request)
        context = make_context(self._app, request)
        copy_context().run(_open_and_run_inside, context, function, args)


def _run_inside(context: Any, function: Callable[..., Any], args: Any) -> None:
    with context:
        function(*args)


def _open_and_run_inside(context: Any, function: Callable[..., Any], args: Any) -> None:
    with contextlib.ExitStack() as stack:
        # A session cannot be opened while its store is down. The context is active by
        # then, and ``with context`` would not pop it.
        stack.push(context)
        context.push()
        function(*args)


# Making a context -------------------------------------------------------------------


class MessageContext:
    """The differences between the context of a message and that of an HTTP request.

    :func:`make_context` adds the class of the app's own request contexts as a base.
    """

    def match_request(self) -> None:
        """Match nothing: the request has the URL rule of the handshake, and no view runs."""

    def auto_pop(self: Any, error: BaseException | None) -> None:
        """Pop the context. Before Flask 2.2, debug mode kept it after an error."""
        self.pop(error)


def make_context(app: Flask, request: Request, session: Any = None) -> Any:
    """Return a request context for a request that exists already.

    :param session: with ``None``, Flask opens the session when the context is pushed.
    """
    kind = _context_class(app, request)
    # These are the arguments that ``context.copy()`` passes, in each release of Flask.
    if CONTEXTS_ARE_MERGED:
        return kind(app, request=request, session=session)
    return kind(app, environ=request.environ, request=request, session=session)


#: ``{class of apps: class of the contexts of their messages}``
_context_classes: dict[type[Flask], Any] = {}


def _context_class(app: Flask, request: Request) -> Any:
    kind = _context_classes.get(type(app))
    if kind is None:
        # The environ is a copy, as the request that is made here leaves itself in it.
        base = type(app.request_context(dict(request.environ)))
        kind = type(base.__name__, (MessageContext, base), {})
        _context_classes[type(app)] = kind
    return kind


def preprocess_request(app: Any) -> Any:
    """Call the site's ``before_request`` functions, as Flask does before a view.

    :param app: the app of the context that is active.
    :returns: the response of the first function that returns one, or ``None``.
    """
    if CONTEXTS_ARE_MERGED:
        from flask.globals import app_ctx

        return app.preprocess_request(app_ctx._get_current_object())  # type: ignore[attr-defined]
    return app.preprocess_request()


# Repeating a request ----------------------------------------------------------------


def _repeat_request(app: Flask, request: Request) -> Request:
    """Return an equal request that holds nothing of the server's."""
    repeated = app.request_class(_strip_environ(request.environ))
    # The request leaves itself in its environ: a circle, which would need the garbage
    # collector. Flask breaks the circle in this way, too, when it pops a context.
    repeated.environ["werkzeug.request"] = None
    repeated.url_rule = request.url_rule
    repeated.view_args = request.view_args
    # Since Flask 3.1, matching a URL sets this.
    if request.trusted_hosts is not None:
        repeated.trusted_hosts = request.trusted_hosts
    return repeated


def _match_again(app: Flask, request: Request) -> None:
    """Find the variable parts of the URL once more.

    Functions of the site that run before a view (``url_value_preprocessor``) take them out, and
    they will run again.
    """
    if request.url_rule is None or not request.url_rule.arguments:
        return
    adapter = app.create_url_adapter(request)
    assert adapter is not None  # there is a request
    request.url_rule, view_args = adapter.match(return_rule=True)
    request.view_args = dict(view_args)


def _strip_environ(environ: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in environ.items():
        if "." in key and key.startswith(_SERVER_KEYS):
            continue
        # Long strings would fill the table, and those of one client push out the others.
        if type(value) is str and len(key) + len(value) < 300 and key not in _OWN_KEYS:
            key, value = _share(key), _share(value)
        kept[key] = value
    # Some proxies say "wss" of a handshake, and werkzeug would build links that begin with "http:".
    kept["wsgi.url_scheme"] = _share(page_scheme(environ["wsgi.url_scheme"]))
    kept["wsgi.input"] = io.BytesIO()
    kept[REPEATED] = environ.get(REPEATED, True)
    kept.pop("wsgi.input_terminated", None)
    return kept


@functools.lru_cache(maxsize=1024)
def _share(text: str) -> str:
    """Return the first of all strings that are equal to ``text``.

    The headers of two clients are mostly equal, and each connected client keeps its own:
    2 KiB for each. (``sys.intern`` is not for strings from a client, which are untrusted:
    Python 3.12 keeps interned strings for ever.)
    """
    return text
