"""The fast way into contexts: active without the work of Flask's own push and pop.

Flask's own push and pop make many objects that hardly any handler asks for: a URL adapter
above all. Here each attribute of a context is made when code of the site asks for it. The
contexts of one message then take 9,200 instructions instead of 119,600, or 1 microsecond
instead of 21. With the teardown function of an extension for a database they take 15,300
instead of 124,200. The whole request takes 47,000 instead of 167,000 (Flask 3.1.3, Python
3.11, ``dev.py bench instructions``). With Flask 3.2 the contexts take 6,800 instead of 117,000.

The classes are those of Flask otherwise: the site can push such a context again, pop it and
copy it, as any other. :mod:`.context_choice` compares this way with its plain twin,
:mod:`.contexts`, before it is used.

This is the only module that knows where a release of Flask keeps its active contexts. Its
two halves are for Flask 3.2, and for Flask 2.2 to 3.1.
"""

from __future__ import annotations

import builtins
import functools
import inspect
from contextvars import copy_context
from types import FunctionType
from typing import Any, Callable

import flask.ctx
import flask.globals
from flask import (
    Flask,
    Request,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    request_tearing_down,
)
from werkzeug.exceptions import HTTPException

from .contexts import CONTEXTS_ARE_MERGED, HandshakeContext, MessageContext, make_context

#: Where Flask 2.2 to 3.1 keep the active contexts. Flask 3.2 has only the first, and older
#: releases have neither.
_active_app: Any = getattr(flask.globals, "_cv_app", None)
_active_request: Any = getattr(flask.globals, "_cv_request", None)

#: Whether this release of Flask can have contexts that are active in this way.
ARE_POSSIBLE = _active_app is not None

_AppContext: Any = flask.ctx.AppContext
_RequestContext: Any = _AppContext if CONTEXTS_ARE_MERGED else flask.ctx.RequestContext

#: ``signal.receivers``, which is empty as a rule. Blinker never puts another object there, and
#: to look it up for each signal would be a tenth of all work for a message here.
_pushed_receivers = appcontext_pushed.receivers
_popped_receivers = appcontext_popped.receivers
_app_teardown_receivers = appcontext_tearing_down.receivers
_request_teardown_receivers = request_tearing_down.receivers

#: Flask 3.2 puts the errors of teardown functions in this, on Python 3.11 or newer.
_ErrorGroup: Any = getattr(builtins, "BaseExceptionGroup", None)


class _Lazy:
    """An attribute that is made when it is asked for."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        value = self._make(instance)
        # From now on Python finds the value first, as this is not a data descriptor.
        instance.__dict__[self._name] = value
        return value


def _make_g(context: Any) -> Any:
    return context.app.app_ctx_globals_class()


def _make_url_adapter(context: Any) -> Any:
    try:
        return context.app.create_url_adapter(context.request)
    except HTTPException as error:
        context.request.routing_exception = error
        return None


class _LightContext(MessageContext):
    """The attributes of a request context that Flask's own ``__init__`` would set.

    A message sets the others one by one: an ``__init__`` in Python would double its cost.
    """

    __init__ = object.__init__

    url_adapter = _Lazy(_make_url_adapter)
    _after_request_functions = _Lazy(lambda context: [])

    def copy(self: Any) -> Any:
        """Return a context to be pushed elsewhere, with the same request and session."""
        return make_context(self.app, self.request, self._session)


def _call_teardown(app: Flask, function: Callable[..., Any]) -> None:
    """Do what ``app.ensure_sync(function)(None)`` does.

    Most sites have one teardown function, of an extension for a database. To find out each
    time that the function is no coroutine costs more than all other work for a message here.
    """
    target = getattr(function, "__func__", function)
    if type(target) is FunctionType and _is_synchronous(target):
        function(None)
    else:
        app.ensure_sync(function)(None)


@functools.lru_cache(maxsize=256)
def _is_synchronous(function: FunctionType) -> bool:
    return not inspect.iscoroutinefunction(function)


# Flask 3.2: one context -------------------------------------------------------------


class _LightMergedContext(_LightContext, _AppContext):  # type: ignore[misc]
    """A context that has been pushed once."""

    g = _Lazy(_make_g)
    _flashes = None

    _push_count = 1
    #: Flask only asks whether this is ``None``. The real token would form a circle with the
    #: context, so only :func:`_pop_merged_context` sets it.
    _cv_token: Any = "active"


def _run_in_merged_context(
    app: Flask, request: Request, session: Any, function: Callable[..., Any], args: Any
) -> None:
    context = _LightMergedContext()
    context.app, context._request, context._session = app, request, session
    token = _active_app.set(context)
    try:
        function(*args)
    except BaseException as error:
        _pop_merged_context(context, token, error)
        raise
    if (
        app.teardown_request_funcs
        or _request_teardown_receivers
        or _app_teardown_receivers
        or _popped_receivers
        or context._push_count > 1
    ):
        _pop_merged_context(context, token, None)
    elif app.teardown_appcontext_funcs:
        _tear_down_merged_context(app)


def _pop_merged_context(context: Any, token: Any, error: BaseException | None) -> None:
    context._cv_token = token
    context.pop(error)


def _tear_down_merged_context(app: Flask) -> None:
    """Do what ``context.pop(None)`` does for teardown functions of the app context only."""
    errors = []
    for function in reversed(app.teardown_appcontext_funcs):
        try:
            _call_teardown(app, function)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
    if errors and _ErrorGroup is None:
        raise errors[0]
    if errors:
        inner = _ErrorGroup("Errors during app teardown", errors)
        raise _ErrorGroup("Errors during context teardown", [inner])


# Flask 2.2 to 3.1: an app context and a request context -----------------------------


def _note_push(context: Any) -> list[Any]:
    context.is_pushed_again = True
    return [None]


class _LightAppContext(_AppContext):  # type: ignore[misc]
    """An app context that has been pushed once."""

    __init__ = object.__init__

    g = _Lazy(_make_g)
    url_adapter = _Lazy(lambda context: context.app.create_url_adapter(None))

    is_pushed_again = False
    #: Flask's list of pushes. Flask asks for it when the site pushes an active context, as
    #: stream_with_context() does. The list begins with the push that was made here: with
    #: ``None``, as the real token would form a circle with the context.
    _cv_tokens = _Lazy(_note_push)


class _LightRequestContext(_LightContext, _RequestContext):  # type: ignore[misc]
    """A request context that has been pushed once."""

    flashes = None

    is_pushed_again = False
    _cv_tokens = _Lazy(_note_push)

    # Since Flask 3.1.3, this is a property that notes that the session was read.
    if not hasattr(_RequestContext, "session"):
        session = property(lambda context: context._session)


def _run_in_two_contexts(
    app: Flask, request: Request, session: Any, function: Callable[..., Any], args: Any
) -> None:
    context = _LightRequestContext()
    context.app, context.request, context._session = app, request, session
    app_context = app_token = None
    outer = _active_app.get(None)
    # As in Flask, code of a site inside of other code of the site shares its ``g``.
    if outer is None or outer.app is not app:
        app_context = _LightAppContext()
        app_context.app = app
        app_token = _active_app.set(app_context)
    token = _active_request.set(context)
    try:
        function(*args)
    except BaseException as error:
        _pop(context, token, app_context, app_token, error)
        raise
    if _request_teardown_receivers or _app_teardown_receivers or _popped_receivers:
        _pop(context, token, app_context, app_token, None)
    elif app.teardown_request_funcs or app.teardown_appcontext_funcs:
        _tear_down(context, token, app_context, app_token)


def _pop(
    context: Any, token: Any, app_context: Any, app_token: Any, error: BaseException | None
) -> None:
    """Have Flask pop contexts that were made active here.

    :param token: resets the variable that holds the active request context.
    :param app_context: ``None`` if the app context was active before; then it stays so.
    """
    context._cv_tokens[0] = (token, app_context)
    if app_context is not None:
        app_context._cv_tokens[0] = app_token
    context.pop(error)


def _tear_down(context: Any, token: Any, app_context: Any, app_token: Any) -> None:
    """Do what :func:`_pop` does when no signal has a receiver, and there is no error."""
    if context.is_pushed_again or (app_context is not None and app_context.is_pushed_again):
        _pop(context, token, app_context, app_token, None)
        return
    app = context.app
    try:
        if app.teardown_request_funcs:
            app.do_teardown_request(None)
    finally:
        _active_request.reset(token)
        if app_context is not None:
            for function in reversed(app.teardown_appcontext_funcs):
                _call_teardown(app, function)


#: Calls ``function(*args)`` in light contexts, then runs the teardowns. The caller sees to it
#: that the context variables are those of a copy, and that "appcontext_pushed" has no receiver.
run_in_light_contexts = _run_in_merged_context if CONTEXTS_ARE_MERGED else _run_in_two_contexts


class FastHandshakeContext(HandshakeContext):
    """The same as its base class, in less time."""

    __slots__ = ()

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in contexts of its own, then run the teardowns."""
        if _pushed_receivers:
            HandshakeContext.run(self, function, *args)
        else:
            # Variables that are set in a copy need not be set back: half of the work.
            copy_context().run(
                run_in_light_contexts, self._app, self._request, self._session, function, args
            )
