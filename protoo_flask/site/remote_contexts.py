"""Contexts of remote peers: the handshake of another node, sent as data and made anew here.

Code of the site may run on one node for a peer that is connected to another: ``on_response``, the
listeners of a room. It finds ``flask.request`` and ``flask.session`` of that peer's handshake, as
everywhere. The request is made of the strings of its WSGI environ, and the session is opened anew:
a session in a cookie is that of the handshake, and one on the server has its current values.
Objects that a WSGI middleware has put into the environ stay where they are.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from contextvars import Context
from typing import Any

from flask import Flask, Request
from flask import session as flask_session
from werkzeug.exceptions import HTTPException

from .contexts import HandshakeContext, make_context

#: The strings of a request without headers (PEP 3333).
_OF_NOBODY = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
}


def describe_context(context: Any) -> bytes:
    """Write the handshake of a local peer as JSON: strings of its environ, names of arguments.

    :param context: a :class:`.contexts.HandshakeContext`.
    """
    request = context.request
    strings = {key: value for key, value in request.environ.items() if isinstance(value, str)}
    # Functions of the site may have taken some out (url_value_preprocessor).
    view_args = sorted(request.view_args or ())
    return json.dumps([strings, view_args]).encode()


def restore_context(app: Flask, kind: type[HandshakeContext], data: bytes) -> HandshakeContext:
    """Return the context of a remote peer.

    May block, where sessions are on a server, and raise whatever the site's sessions raise.

    :param kind: the class that keeps handshakes; see :func:`.context_choice.choose_context`.
    :param data: the JSON of :func:`describe_context`; empty when the other node could not tell.
        The request is then one of nobody, and the session is empty.
    """
    # Contexts that are active now are of another peer.
    return Context().run(_restore, app, kind, data)


def _restore(app: Flask, kind: type[HandshakeContext], data: bytes) -> HandshakeContext:
    strings, view_args = json.loads(data) if data else (_OF_NOBODY, [])
    request = app.request_class({**_make_environ(), **strings})
    _match(app, request, view_args)
    context = make_context(app, request)
    with contextlib.ExitStack() as stack:
        # As a session cannot be opened while its store is down; see ``contexts``.
        stack.push(context)
        context.push()
        session = flask_session._get_current_object()  # type: ignore[attr-defined]
        return kind(app, request, session)


def _make_environ() -> dict[str, Any]:
    """Return the keys of an environ that are no strings (PEP 3333)."""
    return {
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _match(app: Flask, request: Request, names: list[str]) -> None:
    """Find the URL rule and its variable parts: those that the handshake has kept."""
    adapter = app.create_url_adapter(request)
    assert adapter is not None  # there is a request
    # A node with another version of the site may have other routes.
    with contextlib.suppress(HTTPException):
        request.url_rule, view_args = adapter.match(return_rule=True)
        request.view_args = {name: view_args[name] for name in names if name in view_args}
