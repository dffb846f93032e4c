"""Flask, as the framework of the site: its contexts, its signals, its errors."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Callable, Dict, List

from flask import Flask, has_request_context
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .. import signals
from ..core.events import SiteEvent
from ..core.excerpts import excerpt_of
from ..core.exits import is_contained
from ..core.functions import name_function
from ..core.observer import Observer
from ..core.peers.peer import Peer
from ..core.request import Request
from ..core.tracebacks import log_error
from .teardown_log import TeardownLog

#: Listeners given to ``protoo.on(name)``: ``{name of the signal: functions}``.
Listeners = Dict[str, List[Callable[..., Any]]]

#: The names that ``on()`` knows, and the signal that each stands for.
EVENTS = {
    "online": "peer_online",
    "disconnect": "peer_disconnect",
    "reconnect": "peer_reconnect",
    "offline": "peer_offline",
    "user_online": "user_online",
    "user_offline": "user_offline",
    "routing_error": "routing_error",
}

#: What others call these events, among them Socket.IO and Django Channels: ``{name: ours}``.
FOREIGN_EVENTS = {
    **dict.fromkeys(["connect", "connected", "connection", "open", "opened"], "online"),
    **dict.fromkeys(["join", "joined", "enter", "arrive", "login", "peer_online"], "online"),
    **dict.fromkeys(["close", "closed", "leave", "left", "exit", "logout"], "offline"),
    **dict.fromkeys(["disconnected", "disconnecting", "disconnection"], "offline"),
    **dict.fromkeys(["end", "gone", "peer_offline"], "offline"),
    **dict.fromkeys(["drop", "dropped", "lost", "peer_disconnect"], "disconnect"),
    **dict.fromkeys(["resume", "resumed", "back", "peer_reconnect"], "reconnect"),
    **dict.fromkeys(["user_connect", "user_connected", "user_join", "user_joined"], "user_online"),
    **dict.fromkeys(["user_disconnect", "user_disconnected", "user_left"], "user_offline"),
    **dict.fromkeys(["error", "exception", "connect_error"], "routing_error"),
}

#: The arguments of functions given to ``on()``, where they are not ``fn(peer)``.
FORMS = {
    "user_online": "fn(username)",
    "user_offline": "fn(username)",
    "routing_error": "fn(error, request)",
}


class FlaskFramework:
    """Runs code of a site the way Flask would; see :class:`~.core.handling.Framework`.

    :param observer: told of errors of listeners and teardown functions; ``None``: nobody is.
    """

    def __init__(self, app: Flask, listeners: Listeners, observer: Observer | None = None) -> None:
        self._app = app
        self._listeners = listeners
        self._observer = observer
        self._teardown_log = TeardownLog()

    @property
    def logger(self) -> logging.Logger:
        return self._app.logger

    def tell(self, event: SiteEvent) -> None:
        if isinstance(event.subject, Peer):
            peer = event.subject
            own = peer.listeners(event.name)
            self._send(event.name, {"peer": peer}, own, peer.context.run)
        else:
            self._send(event.name, {"username": event.subject}, [], self._run_in_app)

    def tell_error(self, error: Any, request: Request) -> None:
        assert request.peer is not None
        arguments = {"error": error, "request": request}
        # Usually inside the contexts of the message, which must be torn down only once.
        run = _run_here if has_request_context() else request.peer.context.run
        self._send("routing_error", arguments, [], run)

    def log_teardown(self, occasion: str, error: BaseException) -> None:
        self._teardown_log.add(self.logger, occasion, error)
        self._observe(error)

    def _observe(self, error: BaseException) -> None:
        """Tell an observer of an error that has been logged."""
        if self._observer is not None:
            self._observer.failed(error, None)

    def describe_error(self, error: Any) -> tuple[int, str] | None:
        """Return the code and the description of a werkzeug ``HTTPException``."""
        if not isinstance(error, HTTPException):
            return None
        code = error.code
        if code is None and error.response is not None:
            code = getattr(error.response, "status_code", None)
        if not isinstance(code, int) or not 300 <= code <= 699:
            return None
        # That of abort(response) has no name but "Unknown Error"; the body is for browsers.
        return code, error.description or HTTP_STATUS_CODES.get(code, error.name)

    def _run_in_app(self, function: Callable[..., Any], *args: Any) -> None:
        with self._app.app_context():
            function(*args)

    def _send(
        self,
        name: str,
        arguments: dict[str, Any],
        own: list[Callable[..., Any]],
        run: Callable[..., None],
    ) -> None:
        """Call the receivers of a signal, and the functions given to ``on()``, in one context."""
        signal = getattr(signals, name)
        receivers = list(signal.receivers_for(self._app)) if signal.receivers else []
        listeners = own + self._listeners.get(name, [])
        if not receivers and not listeners:
            return
        if len(listeners) == 1 and not receivers:
            # The usual case, for each connection that comes or goes.
            self._run(name, run, self._call, listeners[0], *arguments.values())
            return

        def call_all() -> None:
            with contextlib.ExitStack() as calls:
                # All of them are called even if one raises an exception that ends this greenlet
                # (gevent.Timeout, say): calls and rooms learn of departures here, too.
                for listener in reversed(listeners):
                    calls.callback(self._call, listener, *arguments.values())
                for receiver in reversed(receivers):
                    calls.callback(self._call, receiver, self._app, **arguments)

        self._run(name, run, call_all)

    def _run(self, name: str, run: Callable[..., None], *args: Any) -> None:
        try:
            run(*args)
        except BaseException as error:
            if not is_contained(error):
                raise
            # Errors of listeners are logged below. This one is of a teardown function.
            self.log_teardown(f"the listeners of {name}", error)

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        # One receiver that fails must not keep the others from being told.
        try:
            function(*args, **kwargs)
        except BaseException as error:
            if not is_contained(error):
                raise
            log_error(
                self.logger,
                error,
                "error in %s, called with %s %s",
                name_function(function),
                excerpt_of(args),
                excerpt_of(kwargs),
            )
            self._observe(error)


def _run_here(function: Callable[..., Any], *args: Any) -> None:
    function(*args)
