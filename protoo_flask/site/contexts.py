"""The Flask contexts in which code of the site runs, message after message.

A handler finds in ``flask.request`` and ``flask.session`` those of the handshake, a
fresh ``g``, and ``current_app``; and when it returns, whatever teardown functions the
site has registered run, as after an HTTP request. So a database session that a
handler used goes back to the pool while its peer is idle.

Flask's own push and pop make much that hardly any handler asks for, a URL adapter
above all. So :meth:`HandshakeContext.run` makes light contexts active and calls the
site where they would; it costs a tenth. Its slow twin, :meth:`HandshakeContext.run_fully`,
is for a Flask that keeps its contexts elsewhere, or a site that has its own. The tests
run every case through both.

This is the only module that knows how Flask's contexts are made.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
from contextvars import copy_context
from types import FunctionType
from typing import Any, Callable, Mapping

import flask.globals
from flask import (
    Flask,
    Request,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    request_tearing_down,
)
from flask.ctx import AppContext, RequestContext

#: What servers put into the environ besides the request: sockets, buffers, and objects
#: that lead to them. None of it means anything after the handshake.
_SERVER_KEYS = ("gunicorn.", "werkzeug.", "gevent.", "wsgi.file_wrapper", "wsgi.early_hints")

#: Where Flask 2.2 to 3.1 keep the active contexts; no other release has both.
_active_app: Any = getattr(flask.globals, "_cv_app", None)
_active_request: Any = getattr(flask.globals, "_cv_request", None)


class _Lazily:
    """An attribute that is made when somebody asks for it: most messages need none of these."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        value = self._make(instance)
        # Found before this from now on, as this is no data descriptor.
        instance.__dict__[self._name] = value
        return value


def _tokens_of_active(context: Any) -> list[Any]:
    # One for each time that a context was pushed. These two are made active without, and
    # when the site pushes one again (stream_with_context() does), it must not be the first.
    return [None]


class LightAppContext(AppContext):
    """An active app context of which only what is asked for is made.

    :meth:`HandshakeContext.run` sets its ``app``, and nothing else; an ``__init__`` written in
    Python would double what it costs.
    """

    __init__ = object.__init__

    g = _Lazily(lambda context: context.app.app_ctx_globals_class())
    url_adapter = _Lazily(lambda context: context.app.create_url_adapter(None))
    _cv_tokens = _Lazily(_tokens_of_active)


#: What differs from client to client, and so is not worth being shared.
_OWN_KEYS = {
    "HTTP_COOKIE",
    "HTTP_SEC_WEBSOCKET_KEY",
    "QUERY_STRING",
    "RAW_URI",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REQUEST_URI",
}


class MessageContext(RequestContext):
    """The request context of one message: that of the handshake, without matching its URL."""

    def match_request(self) -> None:
        """Nothing to match: no view is going to run."""

    def auto_pop(self, exc: Any) -> None:
        """Leave nothing for a debugger: before Flask 2.2, debug mode kept what had failed."""
        self.pop(exc)


class LightMessageContext(MessageContext):
    """The same of a request context; its ``app``, ``request`` and ``_session`` are set."""

    __init__ = object.__init__

    flashes = None

    # Since Flask 3.1.3, it takes note of who reads it.
    if not hasattr(RequestContext, "session"):
        session = property(lambda context: context._session)

    url_adapter = _Lazily(lambda context: context.app.create_url_adapter(context.request))
    _after_request_functions = _Lazily(lambda context: [])
    _cv_tokens = _Lazily(_tokens_of_active)

    def copy(self) -> RequestContext:
        """Return one to be pushed elsewhere, as Flask does."""
        return MessageContext(self.app, self.request.environ, self.request, self._session)


class HandshakeContext:
    """What is kept of a handshake for the messages that follow.

    :param app: the site's Flask app.
    :param request: the request of the handshake.
    :param session: its session, which no response can change any more.
    """

    __slots__ = ("_app", "_is_light", "_request", "_session")

    def __init__(self, app: Flask, request: Request, session: Any) -> None:
        self._app = app
        self._is_light = _is_known(type(app))  # type: ignore[arg-type]
        self._session = session
        self._request = _repeat_request(app, request)

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in contexts of its own, then run the teardowns."""
        if self._is_light:
            # What is set in a copy need not be put back, which would be half of the work.
            # And what the site leaves in context variables of its own is not for the next.
            copy_context().run(_run_lightly, self, function, args)
        else:
            self.run_fully(function, *args)

    def _run_lightly(self, function: Callable[..., Any], args: Any) -> None:
        app = self._app
        outer = _active_app.get(None)
        # As with Flask, code of the site inside of other code of the site shares its ``g``.
        is_outermost = outer is None or outer.app is not app
        if is_outermost:
            app_context = LightAppContext()
            app_context.app = app
            _active_app.set(app_context)
            if appcontext_pushed.receivers:
                appcontext_pushed.send(app)
        context = LightMessageContext()
        context.app, context.request, context._session = app, self._request, self._session
        token = _active_request.set(context)
        try:
            function(*args)
        except BaseException as error:
            self._tear_down(error, token, outer, is_outermost)
            raise
        if (
            app.teardown_request_funcs
            or app.teardown_appcontext_funcs
            or request_tearing_down.receivers
            or appcontext_tearing_down.receivers
            or appcontext_popped.receivers
        ):
            self._tear_down(None, token, outer, is_outermost)

    def _tear_down(
        self, error: BaseException | None, token: Any, outer: Any, is_outermost: bool
    ) -> None:
        """Run what the site has registered for the end of contexts.

        :param token: what brings back the request context before; ``outer``: the app context.
        """
        app = self._app
        try:
            if app.teardown_request_funcs or request_tearing_down.receivers:
                app.do_teardown_request(error)
        finally:
            _active_request.reset(token)
            if is_outermost:
                _tear_down_app_context(app, error)
                _active_app.set(outer)
                if appcontext_popped.receivers:
                    appcontext_popped.send(app)

    def run_fully(self, function: Callable[..., Any], *args: Any) -> None:
        """Do what :meth:`run` does by Flask's own push and pop."""
        with MessageContext(self._app, self._request.environ, self._request, self._session):
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


#: Without making a bound method for each message.
_run_lightly = HandshakeContext._run_lightly


def _tear_down_app_context(app: Flask, error: BaseException | None) -> None:
    """Do what ``app.do_teardown_appcontext(error)`` does.

    Most sites have one such function, of an extension for a database, and no receiver. To
    find out each time that it is no coroutine, and to tell nobody, costs more than the rest
    of a message's contexts.
    """
    if appcontext_tearing_down.receivers:
        app.do_teardown_appcontext(error)
        return
    for function in reversed(app.teardown_appcontext_funcs):
        target = getattr(function, "__func__", function)
        if type(target) is FunctionType and _is_synchronous(target):
            function(error)
        else:
            app.ensure_sync(function)(error)


@functools.lru_cache(maxsize=256)
def _is_synchronous(function: FunctionType) -> bool:
    return not inspect.iscoroutinefunction(function)


#: What a subclass of Flask may do in its own way.
_METHODS = (
    "app_context",
    "request_context",
    "do_teardown_appcontext",
    "do_teardown_request",
    "ensure_sync",
)


@functools.lru_cache(maxsize=None)
def _is_known(kind: Any) -> bool:
    """Whether contexts of such an app can be made active in the short way."""
    own = [name for name in _METHODS if getattr(kind, name) is not getattr(Flask, name)]
    return _active_app is not None and _active_request is not None and not own


def _repeat_request(app: Flask, request: Request) -> Request:
    """Return a request that equals one whose server may have finished with it."""
    repeated = app.request_class(_strip_environ(request.environ))
    # A circle, which would be left to the garbage collector; Flask breaks it, too.
    repeated.environ.pop("werkzeug.request", None)
    repeated.url_rule = request.url_rule
    repeated.view_args = request.view_args
    return repeated


def _strip_environ(environ: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in environ.items():
        if "." in key and key.startswith(_SERVER_KEYS):
            continue
        # Neither what would fill the table, nor what would push the rest out of it.
        if type(value) is str and len(key) + len(value) < 300 and key not in _OWN_KEYS:
            key, value = _share(key), _share(value)
        kept[key] = value
    kept["wsgi.input"] = io.BytesIO()
    kept.pop("wsgi.input_terminated", None)
    return kept


@functools.lru_cache(maxsize=1024)
def _share(text: str) -> str:
    """Return the string that was met first among those equal to ``text``.

    The headers of two clients are mostly the same, and every one that is connected keeps
    its own: that is 2 KiB each. (``sys.intern`` is not for what a client can choose: Python
    3.12 keeps such strings for ever.)
    """
    return text
