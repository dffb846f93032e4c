"""A small site that notes all that code of a site can notice of the contexts of messages."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any, Callable

from flask import (
    Flask,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    copy_current_request_context,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    request_tearing_down,
    session,
    stream_with_context,
    url_for,
)

from .contexts import HandshakeContext

_SIGNALS = (appcontext_pushed, request_tearing_down, appcontext_tearing_down, appcontext_popped)


class _Failure(Exception):
    """An error of the site."""


def observe(kind: type[HandshakeContext]) -> list[str]:
    """Return the notes of a site that keeps its handshakes with a class of contexts.

    Where two classes give equal notes, code of a site cannot tell one from the other.
    """
    notes: list[str] = []
    for has_request_teardown in (False, True):
        site = _Site(kind, notes, has_request_teardown)
        for signals in ((), _SIGNALS):
            with ExitStack() as stack:
                for signal in signals:
                    receiver = partial(_receive, site.note, signal.name)
                    stack.enter_context(signal.connected_to(receiver, site.app))
                for event in ("nothing", "stream", "error", "error in the teardown"):
                    site.play(event)
    return notes


class _Site:
    """A Flask app that writes notes."""

    def __init__(
        self, kind: type[HandshakeContext], notes: list[str], has_request_teardown: bool
    ) -> None:
        self.notes = notes
        self.app = app = Flask("protoo_flask", static_folder=None)
        app.secret_key = "probe"
        app.add_url_rule("/probe/<name>", "page", str)
        app.teardown_appcontext(partial(self.note, "registered first, called last"))
        app.teardown_appcontext(self._tear_down)
        if has_request_teardown:
            app.teardown_request(partial(self.note, "teardown_request"))
        with app.test_request_context("/probe/alice") as handshake:
            session["name"] = "alice"
            self._context = kind(app, handshake.request, handshake.session)

    def play(self, event: str) -> None:
        """Handle a message, and another one inside of it, in which something happens."""
        self.note("begin", event)
        try:
            self._context.run(self._handle, event, True)
        except Exception as error:  # noqa: BLE001
            # Flask 3.2 puts errors of teardown functions in a group.
            self.note("raised", error)

    def note(self, *facts: object) -> None:
        """Write down these facts, and the contexts that are active."""
        self.notes.append(repr((*facts, has_app_context(), has_request_context())))
        if has_app_context():
            self.notes.append(repr((current_app.name, g.get("count"))))
        if has_request_context():
            self.notes.append(repr((request.path, request.endpoint, session.get("name"))))

    def _handle(self, event: str, is_outer: bool) -> None:
        g.count = g.get("count", 0) + 1
        g.event = event
        self.note("handler", url_for("page", name="bob"))
        copy_current_request_context(self.note)("copy")
        if is_outer:
            self._context.run(self._handle, event, False)
            self.note("after the inner message")
        elif event == "stream":
            # It pushes the context again.
            self.notes.extend(stream_with_context(note for note in [request.path]))
        elif event == "error":
            raise _Failure

    def _tear_down(self, error: BaseException | None) -> None:
        self.note("teardown_appcontext", error)
        if g.get("event") == "error in the teardown":
            raise _Failure


def _receive(note: Callable[..., None], name: str, sender: Flask, **facts: Any) -> None:
    note(name, facts.get("exc"))
